"""Values of every layout come to the place the formulas say, and what cannot be placed is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.exchange.foreign import ForeignTensor, ForeignWeights, FormatError, Learned
from harness.exchange.placing import Layout, rounded, tensors
from impls.spec import Conv, Dense, MaxPool, Network, ReLU

# Every side differs, so that no exchange of axes goes unseen; the dense layer looks at a map of 2 x 3 x 8.
NETWORK = Network(
    name="sides", summary="", source="", height=9, width=11, channels=3, classes=5,
    layers=(
        Conv(name="conv1", kernels=4, size=3, stride=2), ReLU(name="relu1"),
        Conv(name="conv2", kernels=8, size=2, groups=2), MaxPool(name="pool2", size=2, stride=1),
        Dense(name="fc3", units=7), Dense(name="fc4", units=5),
    ),
)  # fmt: skip
SHAPES = {"conv1": (3, 3, 3, 4), "conv2": (2, 2, 2, 8), "fc3": (2 * 3 * 8, 7), "fc4": (7, 5)}
RNG = np.random.default_rng(5)
CANONICAL = {name: RNG.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
BIASES = {name: RNG.standard_normal(shape[-1]).astype(np.float32) for name, shape in SHAPES.items()}


def tensor(name: str, values: np.ndarray) -> ForeignTensor:
    return ForeignTensor(name, values.shape, values.dtype.name, lambda: values)


def file_of(conv_axes: str = "hwio", dense_axes: str = "io", **changes: np.ndarray) -> ForeignWeights:
    layers = []
    for name, values in CANONICAL.items():
        axes, canonical = (conv_axes, "hwio") if values.ndim == 4 else (dense_axes, "io")
        turned = changes.get(name, values).transpose([canonical.index(axis) for axis in axes])
        layers.append(Learned(name, tensor(f"{name}.w", turned), tensor(f"{name}.b", BIASES[name]), axes))
    return ForeignWeights(path=Path("theirs.bin"), format="test", layers=tuple(layers), flatten="hwc")


def placed(found: ForeignWeights, flatten: str = "hwc", colours: str = "rgb") -> dict[str, np.ndarray]:
    return dict(tensors(found, NETWORK, Layout(flatten, colours)))  # type: ignore[arg-type]


def is_canonical(found: dict[str, np.ndarray]) -> bool:
    expected = {f"{name}/weight": values for name, values in CANONICAL.items()}
    expected |= {f"{name}/bias": values for name, values in BIASES.items()}
    assert found.keys() == expected.keys()
    return all(np.array_equal(found[name], values) for name, values in expected.items())


@pytest.mark.parametrize("axes", ["".join(order) for order in itertools.permutations("hwio")])
def test_every_order_of_a_kernels_axes_is_turned(axes: str) -> None:
    assert is_canonical(placed(file_of(conv_axes=axes)))


def test_a_dense_layer_is_turned_too() -> None:
    assert is_canonical(placed(file_of(dense_axes="oi")))


def test_inputs_in_the_order_of_channels_height_width_are_reordered_by_the_index_formula() -> None:
    theirs = np.empty_like(CANONICAL["fc3"])
    height, width, channels = 2, 3, 8
    for h, w, c in itertools.product(range(height), range(width), range(channels)):
        theirs[(c * height + h) * width + w] = CANONICAL["fc3"][(h * width + w) * channels + c]
    assert is_canonical(placed(file_of(fc3=theirs), flatten="chw"))
    assert is_canonical(placed(file_of(dense_axes="oi", fc3=theirs), flatten="chw"))
    assert not is_canonical(placed(file_of(fc3=theirs), flatten="hwc"))


def test_blue_first_becomes_red_first_in_the_first_layer_alone() -> None:
    theirs = CANONICAL["conv1"][:, :, [2, 1, 0], :]
    assert is_canonical(placed(file_of(conv1=theirs), colours="bgr"))
    assert not is_canonical(placed(file_of(), colours="bgr"))


def test_grey_networks_have_no_colours_to_exchange() -> None:
    grey = replace(NETWORK, channels=1)
    kernels = CANONICAL["conv1"][:, :, :1]
    whole = file_of()
    first = Learned("conv1", tensor("conv1.w", kernels), whole.layers[0].bias, "hwio")
    found = dict(tensors(replace(whole, layers=(first, *whole.layers[1:])), grey, Layout("hwc", "bgr")))
    assert np.array_equal(found["conv1/weight"], kernels)


def test_biases_of_any_shape_with_the_right_count_are_taken() -> None:
    whole = file_of()
    first = replace(whole.layers[0], bias=tensor("conv1.b", BIASES["conv1"].reshape(1, 4, 1, 1)))
    assert is_canonical(placed(replace(whole, layers=(first, *whole.layers[1:]))))


def with_first(**changes: object) -> ForeignWeights:
    whole = file_of()
    return replace(whole, layers=(replace(whole.layers[0], **changes), *whole.layers[1:]))


def test_a_missing_bias_and_one_of_another_size_are_named() -> None:
    with pytest.raises(FormatError, match=r"has no bias for 'conv1'.*4 numbers"):
        placed(with_first(bias=None))
    with pytest.raises(FormatError, match=r"'conv1.b' has shape \(5,\), conv1 needs 4"):
        placed(with_first(bias=tensor("conv1.b", np.zeros(5, np.float32))))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300], ids=["nan", "inf", "beyond-float32"])
def test_values_that_float32_cannot_hold_are_refused_with_their_index(value: float) -> None:
    values = np.zeros((3, 3, 3, 4))
    values[1, 2, 0, 3] = value
    with pytest.raises(FormatError, match=r"'conv1.w' is (nan|inf) at index \(1, 2, 0, 3\)"):
        placed(with_first(weight=tensor("conv1.w", values)))


def test_an_array_of_another_shape_than_was_said_is_refused() -> None:
    liar = ForeignTensor("conv1.w", (3, 3, 3, 4), "float32", lambda: np.zeros((3, 3, 3, 5), np.float32))
    with pytest.raises(FormatError, match=r"has shape \(3, 3, 3, 5\), it said \(3, 3, 3, 4\)"):
        placed(with_first(weight=liar))


def test_half_precision_comes_through_exactly_and_double_is_told() -> None:
    half = CANONICAL["conv1"].astype(np.float16)
    found = with_first(weight=tensor("conv1.w", half))
    assert np.array_equal(placed(found)["conv1/weight"], half.astype(np.float32))
    assert rounded(found) == ()
    assert rounded(with_first(weight=tensor("conv1.w", half.astype(np.float64)))) == ("conv1.w",)
