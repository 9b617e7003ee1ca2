"""Decisions that rounding may turn: found, excused only where they are close, and only for what lies below."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.parity import decisions
from harness.parity.bench import Bench
from harness.parity.compare import SIGMAS
from harness.parity.levels import check_gradient, check_training
from harness.parity.miniature import MINIATURE
from impls.oracle import operators
from impls.spec import Conv, Dense, MaxPool, Network, Padding, ReLU

Array = NDArray[Any]
NET = Network(
    name="deciding",
    summary="a ReLU and a max-pool between learned layers",
    source="this test",
    height=6,
    width=5,
    channels=2,
    classes=3,
    layers=(
        Conv(name="conv1", kernels=4, size=1),
        ReLU(name="relu1"),
        Conv(name="conv2", kernels=7, size=1),
        MaxPool(name="pool2", size=2, stride=2),
        Dense(name="fc3", units=3),
    ),
)
SHAPES = {"conv1": (2, 6, 5, 4), "relu1": (2, 6, 5, 4), "conv2": (2, 6, 5, 7), "pool2": (2, 3, 2, 7), "fc3": (2, 3)}
IMAGES = np.zeros((2, 6, 5, 2))


class Pass:
    """A reference pass with wide margins, another that starts as its copy, and upstream gradients of ones."""

    def __init__(self, sigma: float = 0.01) -> None:
        rng = np.random.default_rng(1)
        self.reference = {"conv1": rng.choice([-1.0, 1.0], SHAPES["conv1"]) * (1 + rng.random(SHAPES["conv1"]))}
        self.reference["relu1"] = np.maximum(self.reference["conv1"], 0)
        self.reference["conv2"] = rng.permutation(2 * 6 * 5 * 7).reshape(SHAPES["conv2"]) + 1.0
        self.reference["pool2"] = operators.forward(NET.layer("pool2"), self.reference["conv2"], {})
        self.reference["fc3"] = np.ones(SHAPES["fc3"])
        self.found = {name: value.copy() for name, value in self.reference.items()}
        self.upstream = {name: np.ones(shape) for name, shape in SHAPES.items()}
        self.sigma = {name: np.full(shape, sigma) for name, shape in SHAPES.items()}

    def turned(self) -> list[decisions.Turned]:
        return decisions.turned(NET, IMAGES, self.found, self.reference, self.upstream, self.sigma)

    def turn_relu(self, count: int, margin: float) -> None:
        """Turn `count` units whose reference input lies `margin` above 0."""
        for index in range(count):
            self.reference["conv1"].flat[index] = margin
            self.reference["relu1"].flat[index] = margin
            self.found["conv1"].flat[index] = -margin
            self.found["relu1"].flat[index] = 0


# --- finding ----------------------------------------------------------------------------------------------------------


def test_the_same_pass_turns_nothing() -> None:
    assert Pass().turned() == []


def test_rounding_that_decides_nothing_turns_nothing() -> None:
    seen = Pass()
    for name in ("conv1", "relu1", "conv2", "pool2"):
        seen.found[name] = (seen.found[name] * (1 + 1e-6)).astype(np.float32)
    assert seen.turned() == []


def test_a_turned_relu_is_found_in_both_directions() -> None:
    seen = Pass()
    seen.turn_relu(2, 0.001)
    seen.reference["conv1"].flat[5], seen.found["conv1"].flat[5], seen.found["relu1"].flat[5] = -0.001, 0.001, 0.001
    seen.reference["relu1"].flat[5] = 0
    (row,) = seen.turned()
    assert (row.layer, row.count, row.unexcused) == ("relu1", 3, 0)


def test_a_turned_choice_of_a_pool_is_found() -> None:
    seen = Pass()
    x, y = seen.found["conv2"], seen.found["pool2"]
    window = x[1, 2:4, 0:2, 3]
    best = np.unravel_index(window.argmax(), window.shape)
    window[best] -= 1000
    y[1, 1, 0, 3] = window.max()
    (row,) = seen.turned()
    assert (row.layer, row.count) == ("pool2", 1)


def test_equal_zeros_of_a_relu_in_a_window_are_no_choice() -> None:
    seen = Pass()
    for arrays in (seen.reference, seen.found):
        arrays["conv2"][0, 0:2, 0:2, 0] = 0
        arrays["pool2"][0, 0, 0, 0] = 0
    seen.found["conv2"][0, 1, 1, 0] = 1e-9
    assert seen.turned() == []


@given(st.integers(1, 4), st.integers(1, 3), st.tuples(*[st.integers(0, 1)] * 4), st.integers(4, 7), st.integers(4, 7))
@settings(max_examples=30, deadline=None)
def test_the_largest_of_each_window_is_the_pools_output(
    size: int, stride: int, padding: tuple[int, ...], height: int, width: int
) -> None:
    layer = MaxPool(name="pool", size=size, stride=stride, padding=Padding(*(min(p, size - 1) for p in padding)))
    x = np.random.default_rng(0).standard_normal((2, height, width, 3))
    found = decisions.windows(layer, x)
    assert found.shape[-1] == size * size
    np.testing.assert_array_equal(found.max(-1), operators.forward(layer, x, {}))


def test_the_deciding_layers_are_relus_and_pools_and_what_pools_look_at() -> None:
    assert decisions.deciding_layers(NET) == ["relu1", "conv2", "pool2"]


def test_the_deciding_layers_alone_tell_every_decision() -> None:
    seen = Pass()
    seen.found = {name: seen.found[name] for name in decisions.deciding_layers(NET)}
    assert seen.turned() == []
    seen.reference["conv1"].flat[3], seen.found["relu1"].flat[3] = -0.001, 0.001
    (row,) = seen.turned()
    assert (row.layer, row.count, row.unexcused) == ("relu1", 1, 0)
    assert row.share > 0


def test_a_layer_of_another_shape_decides_everything_otherwise() -> None:
    seen = Pass()
    seen.found["relu1"] = seen.found["relu1"][:, :-1]
    row = seen.turned()[0]
    assert row.layer == "relu1" and row.count == row.unexcused == seen.reference["relu1"].size and row.share == 0


# --- excusing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("deviations", "unexcused"), [(SIGMAS - 0.1, 0), (SIGMAS + 0.1, 1)])
def test_a_turned_relu_is_excused_within_eight_deviations_only(deviations: float, unexcused: int) -> None:
    seen = Pass(sigma=0.01)
    seen.turn_relu(1, deviations * 0.01)
    (row,) = seen.turned()
    assert (row.count, row.unexcused) == (1, unexcused)


@pytest.mark.parametrize(("margin", "unexcused"), [(2 * SIGMAS - 0.1, 0), (2 * SIGMAS + 0.1, 1)])
def test_a_turned_pool_is_excused_within_eight_deviations_of_both_elements(margin: float, unexcused: int) -> None:
    seen = Pass(sigma=0.01)
    for arrays, first in ((seen.reference, 1000.0), (seen.found, 1000.0 - 0.02 * margin)):
        arrays["conv2"][0, 0, 0, 0] = first
        arrays["conv2"][0, 0, 1, 0] = 1000.0 - 0.01 * margin
        arrays["conv2"][0, 1, 0:2, 0] = 0
        arrays["pool2"][0, 0, 0, 0] = max(first, 1000.0 - 0.01 * margin)
    (row,) = seen.turned()
    assert (row.layer, row.count, row.unexcused) == ("pool2", 1, unexcused)


def test_a_relu_on_the_images_themselves_has_no_rounding_to_excuse_it() -> None:
    first = replace(NET, layers=(ReLU(name="relu0"), *NET.layers))
    images = np.full(IMAGES.shape, 1e-20)
    relu = {"relu0": np.maximum(images, 0)}
    found = {"relu0": np.zeros_like(images)}
    seen = Pass()
    rows = decisions.turned(
        first, images, seen.found | found, seen.reference | relu, {"relu0": np.ones_like(images)}, seen.sigma
    )
    assert rows[0].layer == "relu0" and rows[0].unexcused == images.size


@pytest.mark.parametrize("count", [1, 7, 100])
def test_the_share_is_that_of_the_gradient_which_went_through(count: int) -> None:
    seen = Pass()
    seen.turn_relu(count, 0.001)
    seen.upstream["relu1"] = np.random.default_rng(4).standard_normal(SHAPES["relu1"])
    (row,) = seen.turned()
    through = seen.upstream["relu1"].reshape(-1)[:count]
    assert row.share == pytest.approx(math.sqrt(np.sum(through**2) / np.sum(seen.upstream["relu1"] ** 2)))


def test_a_decision_without_any_gradient_has_no_share() -> None:
    seen = Pass()
    seen.turn_relu(3, 0.001)
    seen.upstream["relu1"][...] = 0
    assert seen.turned()[0].share == 0


# --- allowing ---------------------------------------------------------------------------------------------------------


def test_the_allowance_goes_to_the_layers_below_and_adds_up_in_squares() -> None:
    rows = [decisions.Turned("relu1", 1, 0, 0.3), decisions.Turned("pool2", 1, 0, 0.4)]
    found = decisions.allowance(NET, rows)
    multiple = decisions.SHARE_MULTIPLE
    assert found == {"fc3": 0.0, "conv2": pytest.approx(multiple * 0.4), "conv1": pytest.approx(multiple * 0.5)}


def test_no_turned_decision_allows_nothing() -> None:
    assert set(decisions.allowance(MINIATURE, []).values()) == {0.0}


# --- at the levels ----------------------------------------------------------------------------------------------------


def exact_pass(bench: Bench) -> dict[str, Array]:
    """The reference's own gradient task, as if an implementation had no rounding at all."""
    result = bench.gradient.result
    outputs = {f"activation/{name}": value.copy() for name, value in result.activations.items()}
    outputs |= {f"gradient/{name}": np.asarray(value) for name, value in result.gradients.items()}
    return outputs | {"loss": np.array([result.loss])}


def open_unit(x: Array, upstream: Array) -> int:
    """The open ReLU that most of the gradient goes through: on the edge of 0 it may shut without being wrong."""
    return int(np.argmax(np.abs(upstream) * (x > 0)))


def test_the_references_own_gradients_pass(bench: Bench) -> None:
    findings = list(check_gradient(bench, exact_pass(bench)))
    assert {finding.judgement.verdict for finding in findings} == {"pass"}
    assert {finding.tensor for finding in findings} >= {"loss", "conv1/weight", "relu1/decisions", "pool3/decisions"}


def test_a_decision_with_a_wide_margin_fails_in_its_layer(bench: Bench) -> None:
    outputs = exact_pass(bench)
    outputs["activation/relu1"].flat[outputs["activation/relu1"].argmax()] = 0
    failed = [finding for finding in check_gradient(bench, outputs) if finding.judgement.verdict == "fail"]
    assert [(finding.tensor, finding.layer) for finding in failed] == [("relu1/decisions", "relu1")]
    assert failed[0].judgement.reason == "1 decisions differ by more than rounding"


def test_a_turned_decision_excuses_gradients_below_it_and_none_above(bench: Bench) -> None:
    outputs = exact_pass(bench)
    wanted = bench.gradient
    before = wanted.result.activations["fc6"]
    unit = open_unit(before, wanted.result.upstream["relu6"])
    kept = float(before.flat[unit])
    other = {"conv1": "conv1/bias", "fc6": "fc6/bias", "fc7": "fc7/bias"}
    for name in other.values():
        outputs[f"gradient/{name}"] = outputs[f"gradient/{name}"] * 1.02
    try:
        before.flat[unit] = 1e-9
        outputs["activation/relu6"].flat[unit] = 0
        verdicts = {finding.tensor: finding.judgement.verdict for finding in check_gradient(bench, outputs)}
    finally:
        before.flat[unit] = kept
    assert verdicts["relu6/decisions"] == "pass"
    assert [verdicts[name] for name in other.values()] == ["pass", "pass", "fail"]


def test_the_references_own_training_passes(bench: Bench) -> None:
    wanted = bench.training
    outputs: dict[str, Array] = {"losses": np.asarray(wanted.expected["losses"].value)}
    outputs |= {f"weights/{name}": np.asarray(wanted.expected[name].value) for name in bench.material.weights}
    outputs |= {
        f"step0/{name}": wanted.passes[0].activations[name] for name in decisions.deciding_layers(bench.network)
    }
    assert {finding.judgement.verdict for finding in check_training(bench, outputs)} == {"pass"}


def test_training_excuses_a_relu_on_the_edge_below_it(bench: Bench) -> None:
    wanted = bench.training
    outputs: dict[str, Array] = {"losses": np.asarray(wanted.expected["losses"].value)}
    outputs |= {f"weights/{name}": np.array(wanted.expected[name].value) for name in bench.material.weights}
    # fc6's biases end away by a twentieth of their way: a real error, unless a ReLU above decided otherwise.
    moved = outputs["weights/fc6/bias"] - bench.training_start["fc6/bias"]
    outputs["weights/fc6/bias"] += 0.05 * moved
    for step, seen in enumerate(wanted.passes):
        outputs |= {
            f"step{step}/{name}": seen.activations[name].copy() for name in decisions.deciding_layers(bench.network)
        }
    first, before = wanted.passes[0], wanted.passes[0].activations["fc6"]
    unit = open_unit(before, first.upstream["relu6"])
    kept = float(before.flat[unit])
    strict = {finding.tensor: finding.judgement.verdict for finding in check_training(bench, outputs)}
    try:
        before.flat[unit] = 1e-9
        outputs["step0/relu6"].flat[unit] = 0
        relaxed = {finding.tensor: finding.judgement.verdict for finding in check_training(bench, outputs)}
    finally:
        before.flat[unit] = kept
    assert (strict["fc6/bias"], relaxed["fc6/bias"]) == ("fail", "pass")
    assert set(strict.values()) == {"pass", "fail"}
