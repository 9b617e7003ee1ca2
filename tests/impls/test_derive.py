"""Counts that follow from a network, against the paper's own and against values worked by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impls import catalog, derive
from impls.spec import LRN, Conv, Dense, Dropout, Layer, MaxPool, Network, Padding, ReLU

PAPER_ROWS = {  # output shape, parameters, multiply-adds
    "conv1": ((55, 55, 96), 34_944, 105_415_200),
    "conv2": ((27, 27, 256), 307_456, 223_948_800),
    "conv3": ((13, 13, 384), 885_120, 149_520_384),
    "conv4": ((13, 13, 384), 663_936, 112_140_288),
    "conv5": ((13, 13, 256), 442_624, 74_760_192),
    "fc6": ((4096,), 37_752_832, 37_748_736),
    "fc7": ((4096,), 16_781_312, 16_777_216),
    "fc8": ((1000,), 4_097_000, 4_096_000),
}


def network(*layers: Layer, **changes: object) -> Network:
    """A small network [8, 8, 4] -> 10 for one fault each."""
    made = Network(name="small", summary="", source="", height=8, width=8, channels=4, classes=10, layers=layers)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("layer", PAPER_ROWS)
def test_a_layer_of_the_paper_has_its_published_size(layer: str) -> None:
    rows = {row.layer.name: row for row in derive.facts(catalog.PAPER)}
    row = rows[layer]
    assert (row.output_shape, row.parameter_count, row.multiply_adds) == PAPER_ROWS[layer]


def test_the_papers_totals() -> None:
    assert derive.parameter_count(catalog.PAPER) == 60_965_224
    assert derive.multiply_adds(catalog.PAPER) == 724_406_816
    assert derive.neuron_count(catalog.PAPER) == 659_272
    assert derive.training_flops(catalog.PAPER) == 2 * (3 * 724_406_816 - 105_415_200)
    assert round(derive.training_flops(catalog.PAPER) / 1e9, 3) == 4.136


def test_feature_maps_of_the_paper_are_55_27_13_and_6_wide() -> None:
    sides = [row.output_shape[1] for row in derive.facts(catalog.PAPER) if len(row.output_shape) == 3]
    assert list(dict.fromkeys(sides)) == [55, 27, 13, 6]


def test_dense_weights_take_the_flattened_map() -> None:
    assert derive.parameter_shapes(catalog.PAPER)["fc6/weight"] == (6 * 6 * 256, 4096)


def test_layers_without_weights_have_no_neurons() -> None:
    row = derive.layer_facts(ReLU(name="relu"), (5, 6, 7))
    assert (row.output_shape, row.neurons, row.parameter_count, row.multiply_adds) == ((5, 6, 7), 0, 0, 0)


@given(length=st.integers(1, 40), size=st.integers(1, 7), stride=st.integers(1, 5), low=st.integers(0, 4))
def test_output_side_counts_the_windows_that_fit(length: int, size: int, stride: int, low: int) -> None:
    conv = Conv(name="c", kernels=2, size=size, stride=stride, padding=Padding(top=low, left=low))
    starts = range(-low, length - size + 1, stride)
    if len(starts) == 0:
        with pytest.raises(derive.InvalidNetwork):
            derive.layer_facts(conv, (length, length, 3))
    else:
        assert derive.layer_facts(conv, (length, length, 3)).output_shape == (len(starts), len(starts), 2)


def conv(**changes: object) -> Conv:
    return dataclasses.replace(Conv(name="conv", kernels=6, size=3), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((conv(groups=3),), r"layer 'conv': 4 channels and 6 kernels must both be divisible by groups = 3"),
        ((conv(size=11),), r"layer 'conv': window of 11 does not fit height 8 with padding 0"),
        ((conv(stride=0),), r"layer 'conv': size 3, stride 0"),
        ((conv(padding=Padding(top=-1)),), r"padding \(-1, 0, 0, 0\)"),
        ((MaxPool(name="pool", size=9, stride=2),), r"layer 'pool': window of 9 does not fit height 8"),
        ((Dense(name="a", units=10), conv()), r"layer 'conv' needs a feature map \[H, W, C\], its input .* \(10,\)"),
        ((LRN(name="n", size=5, alpha=1, beta=1, k=1, groups=3),), r"layer 'n': 4 channels in 3 groups"),
        ((LRN(name="n", size=4, alpha=1, beta=1, k=1),), r"layer 'n': window size 4 must be odd"),
        ((Dropout(name="d", rate=1.0),), r"layer 'd': dropout rate 1.0 must be in \[0, 1\)"),
        ((ReLU(name="r"), ReLU(name="r")), r"network 'small' has two layers called 'r'"),
        ((Dense(name="fc", units=7),), r"ends with shape \(7,\), expected \(10,\) classes"),
        ((), r"ends with shape \(8, 8, 4\)"),
    ],
)
def test_layers_that_do_not_fit_are_named_with_both_numbers(layers: tuple[Layer, ...], message: str) -> None:
    with pytest.raises(derive.InvalidNetwork, match=message):
        derive.facts(network(*layers))


def test_tensors_that_do_not_fit_are_named_with_what_they_are() -> None:
    made = network(Dense(name="d", units=10))
    fitting = {name: np.zeros(shape, np.float32) for name, shape in derive.parameter_shapes(made).items()}
    derive.require_tensors(made, fitting | {"other/bias": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match=r"weights for 'small': tensor 'd/bias' is missing, expected \(10,\)"):
        derive.require_tensors(made, {"d/weight": fitting["d/weight"]})
    with pytest.raises(ValueError, match=r"velocity for 'small': tensor 'd/bias' is \(9,\), expected \(10,\)"):
        derive.require_tensors(made, fitting | {"d/bias": np.zeros(9, np.float32)}, "velocity")
