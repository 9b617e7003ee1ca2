"""A run of layers of which only the end was returned: mistakes in one layer, in all of a kind, and two at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.parity import segment
from harness.parity.bench import Bench
from harness.parity.causes import Reference
from harness.parity.composed import FaultyOperators
from harness.parity.fault import Fault
from harness.parity.faults import FAULTS
from harness.parity.forward_level import check
from harness.parity.miniature import MINIATURE
from harness.parity.mistakes import mistakes
from harness.parity.segment import Told, explain, joined, narrowing
from impls.oracle import network as oracle
from impls.oracle import operators
from impls.spec import Conv, Dense, Layer, ReLU

Array = NDArray[Any]
CONVOLUTIONS = MINIATURE.layers[:8]  # conv1 to cnorm2


class Everywhere:
    """The oracle in float32 with these faults in every layer that they concern, but for those named."""

    def __init__(self, *names: str, but: tuple[str, ...] = ()) -> None:
        self._faults = [FAULTS[name] for name in names]
        self._but = but

    def forward(self, layer: Layer, x: Array, parameters: Any, mask: Any = None) -> Array:
        """One layer, with the first of the faults that concerns it."""
        for fault in self._faults:
            if fault.concerns(layer) and layer.name not in self._but:
                return fault.forward(Reference(), layer, x, parameters, mask).astype(np.float32)
        return operators.forward(layer, x.astype(np.float32), parameters, mask)


def end(bench: Bench, layers: tuple[Layer, ...], operators_: Any, x: Array) -> Array:
    for layer in layers:
        x = operators_.forward(layer, x, oracle.layer_parameters(layer, bench.material.weights))
    return x


def told(bench: Bench, layers: tuple[Layer, ...], operators_: Any) -> Told:
    x = bench.material.images[:3]
    return explain(layers, x, end(bench, layers, operators_, x), bench.material.weights)


@pytest.mark.parametrize("name", ["bgr", "alpha-over-n", "k-is-1", "swapped-groups", "no-relu", "spatial-mean"])
def test_the_layer_at_fault_within_a_run_is_named(bench: Bench, name: str) -> None:
    fault: Fault = FAULTS[name]
    made = told(bench, CONVOLUTIONS, FaultyOperators(Everywhere(), fault))  # type: ignore[arg-type]
    assert made == Told(fault.target, f"yours has {fault.told(MINIATURE.layer(fault.target))}")


# faults in every layer they concern: (where not, the first layer at fault, what is said)
IN_ALL: dict[tuple[str, ...], tuple[tuple[str, ...], str, str]] = {
    ("unscaled-dropout",): ((), "drop6", "outputs not scaled at test"),  # drop7 scales in training
    ("alpha-over-n",): ((), "norm1", "the reference's α divided by n = 5, in norm1 and norm2"),
    ("alpha-times-n",): ((), "norm1", "the reference's α multiplied by n = 5, in norm1 and norm2"),
    ("k-is-1",): ((), "norm1", "k = 1, in norm1 and norm2"),
    ("flipped-kernel",): ((), "conv1", "kernels flipped (a true convolution), in conv1, conv2 and conv3"),
    ("no-relu",): ((), "relu1", "a missing ReLU, in relu1, relu2, relu6 and relu7"),
    ("conv-no-bias", "dense-no-bias"): (
        (), "conv1", "a missing bias, in conv1, conv2, conv3, fc4, fc6, fc7 and fc8",
    ),
    ("dense-no-bias",): ((), "fc4", "a missing bias, in fc4, fc6, fc7 and fc8"),
    ("tf32-conv", "tf32-dense"): (
        (), "conv1", "operands rounded to TF32, in conv1, conv2, conv3, fc4, fc6, fc7 and fc8",
    ),
    ("alpha-over-n", "unscaled-dropout"): (
        (), "norm1", "the reference's α divided by n = 5, in norm1 and norm2, and outputs not scaled at test, in drop6",
    ),
    ("nchw-flatten",): ((), "fc4", "inputs flattened channels first"),
}  # fmt: skip


@pytest.mark.parametrize("names", IN_ALL, ids=" ".join)
def test_a_mistake_in_every_layer_of_a_kind_is_named_by_the_logits(bench: Bench, names: tuple[str, ...]) -> None:
    but, layer, said = IN_ALL[names]
    assert told(bench, MINIATURE.layers, Everywhere(*names, but=but)) == Told(layer, f"yours has {said}")


def test_norm_and_pool_in_the_wrong_order_in_every_block_are_named(bench: Bench) -> None:
    layers = (*MINIATURE.layers[:6], replace(MINIATURE.layer("norm2"), groups=1), *MINIATURE.layers[8:])
    swapped = [*layers]
    swapped[2:4], swapped[6:8] = swapped[2:4][::-1], swapped[6:8][::-1]
    x = bench.material.images[:3]
    made = explain(layers, x, end(bench, tuple(swapped), Everywhere(), x), bench.material.weights)
    assert made == Told("norm1", "yours has this layer and the next in the wrong order, in norm1 and norm2")


@pytest.mark.parametrize("layers", [CONVOLUTIONS, MINIATURE.layers], ids=["convolutions", "whole"])
def test_what_is_right_noise_and_other_mistakes_name_nobody(bench: Bench, layers: tuple[Layer, ...]) -> None:
    x = bench.material.images[:3]
    right = end(bench, layers, Everywhere(), x)
    noisy = right * (1 + np.random.default_rng(0).normal(0, 0.3, right.shape))
    for found in (
        right,
        noisy,
        right + 3,
        1.37 * right,
        right[..., :-1],
        right[:1],
        right[:0],
        np.full_like(right, np.nan),
    ):
        assert explain(layers, x, found, bench.material.weights) == Told(), found.shape


def test_what_could_not_be_tried_in_time_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    x = bench.material.images[:3]
    found = end(bench, MINIATURE.layers, Everywhere("unscaled-dropout"), x)
    assert explain(MINIATURE.layers, x, found, bench.material.weights, longest_s=-1) == Told(all_tried=False)
    monkeypatch.setattr(segment, "explain", lambda *given: Told(all_tried=False))
    (chunk,) = bench.chunks
    findings = check(bench, *chunk, {"fc8": np.zeros((len(chunk[1]), 11), np.float32)})
    reason = next(finding.judgement.reason for finding in findings if finding.tensor == "fc8")
    assert "in conv1 to fc8; not every known mistake could be tried in time: return conv2, " in reason


def test_mistakes_are_those_of_one_layer_and_those_of_all_layers_of_a_kind() -> None:
    run = [
        Conv(name="a", kernels=2, size=3),
        ReLU(name="r"),
        Conv(name="b", kernels=2, size=3),
        Dense(name="f", units=2),
    ]
    bias = [made.layers for made in mistakes(run) if made.told == "a missing bias"]
    assert bias == [("a",), ("b",), ("f",), ("a", "b"), ("a", "b", "f")]
    three = [Dense(name=name, units=2) for name in "fgh"]
    bias = [made.layers for made in mistakes(three, combined=True) if made.told == "a missing bias"]
    assert bias == [("f",), ("g",), ("h",), ("f", "g"), ("f", "h"), ("g", "h"), ("f", "g", "h")]


@pytest.mark.parametrize(
    ("count", "said"), [(2, "0"), (3, "0 and 1"), (4, "0, 1 and 2"), (5, "1, 2 and 3"), (14, "3, 6 and 9")]
)
def test_outputs_that_cut_a_run_into_equal_parts_are_asked_for(count: int, said: str) -> None:
    assert narrowing([str(number) for number in range(count)]) == said


def test_names_are_joined_as_a_sentence_has_them() -> None:
    assert [joined(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
