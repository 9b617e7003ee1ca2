"""Which weight goes with which bias, in which order, and what is left over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.exchange import pairing
from harness.exchange.foreign import ForeignTensor, FormatError, Learned

PATH = Path("net")


def tensor(name: str, *shape: int) -> ForeignTensor:
    return ForeignTensor(name, shape, "float32", lambda: np.zeros(shape, np.float32))


def paired(*tensors: ForeignTensor, ordered: bool = False) -> tuple[Learned, ...]:
    return pairing.pair(
        PATH, tensors, suffixes=pairing.COMMON, conv_axes="hwio", dense_axes="io", ordered=ordered
    )  # fmt: skip


@pytest.mark.parametrize(
    ("weight", "bias"),
    [("a/weight", "a/bias"), ("a.weight", "a.bias"), ("a_W", "a_b"), ("a/kernel", "a/bias"), ("a_weights", "a_biases")],
)
def test_the_usual_names(weight, bias):
    (layer,) = paired(tensor(bias, 4), tensor(weight, 3, 3, 2, 4))
    assert layer.bias is not None
    assert (layer.name, layer.weight.name, layer.bias.name) == ("a", weight, bias)
    assert layer.canonical_shape == (3, 3, 2, 4)


def test_without_an_order_kernels_come_first_and_numbers_count():
    names = ("fc10", "classifier2", "conv2", "fc9", "conv10", "conv1")
    found = paired(*(tensor(f"{name}.weight", *((1, 1, 1, 1) if "conv" in name else (1, 1))) for name in names))
    assert [layer.name for layer in found] == ["conv1", "conv2", "conv10", "classifier2", "fc9", "fc10"]


def test_the_files_order_is_kept_where_it_says_something():
    found = paired(tensor("z.weight", 2, 2), tensor("a.bias", 2), tensor("a.weight", 2, 2), ordered=True)
    assert [layer.name for layer in found] == ["z", "a"]
    assert [layer.bias is None for layer in found] == [True, False]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([tensor("a.weight", 2, 2), tensor("bn.running_mean", 2)], r"'bn\.running_mean' \(2,\); no network here"),
        ([tensor("a.weight", 2, 2), tensor("bn.weight", 2), tensor("bn.bias", 2)], r"'bn\.weight' .*'bn\.bias'"),
        ([tensor("a.weight", 2, 2), *(tensor(f"x{n}", 2) for n in range(9))], "and 5 more"),
        ([tensor("a.weight", 2, 2), tensor("a/weight", 2, 2)], "two weights of layer 'a'"),
        ([tensor("a.weight", 2, 2), tensor("a.weight", 2, 2)], "two tensors called 'a.weight'"),
        ([tensor("a.weight", 2, 3), tensor("a.bias", 2)], r"bias 'a\.bias' has shape \(2,\), .* wants \(3,\)"),
        ([tensor("a.weight", 2, 3), tensor("a.bias", 1, 3)], "expected one side"),
        ([tensor("a.weight", 2, 3, 4)], r"'a\.weight' \(2, 3, 4\)"),
        ([tensor("a.weight", 1 << 20, 1 << 20)], "1,099,511,627,776 numbers, at most 1,200,000,000"),
        ([tensor("a.weight", 2, 0)], r"has shape \(2, 0\)"),
        ([tensor(f"{n}.weight", 1, 1) for n in range(2001)], "2,001 tensors, at most 2,000"),
        ([tensor("a\n.weight", 1, 1)], "no name of a tensor"),
        ([], "it has nothing"),
    ],
)
def test_what_is_left_over_or_does_not_fit_is_named(tensors, message):
    with pytest.raises(FormatError, match=message) as caught:
        paired(*tensors)
    assert "\n" not in str(caught.value)


def test_torchvisions_names():
    names = [f"features.{n}" for n in (0, 3, 6, 8, 10)] + [f"classifier.{n}" for n in (1, 4, 6)]
    shapes = [(1, 1, 1, 1)] * 5 + [(1, 1)] * 3
    layers = paired(*(tensor(f"{name}.weight", *shape) for name, shape in zip(names, shapes, strict=True)))
    assert pairing.is_torchvision(layers)
    assert not pairing.is_torchvision(layers[:-1])
