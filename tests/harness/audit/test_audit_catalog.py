"""Every network of the catalog against the paper's: the departures, and no others.

The lists are written by hand from the sources of each network. Where the common account of a network has no word for
what its source does, the line says where that stands.
"""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from harness.audit.departure import together
from harness.audit.departures import compare
from harness.reading import sources
from impls import catalog, derive
from impls.reading import of_network

Line = tuple[str, str, str, str]  # facet, place, theirs, reference

NO_PADDING_227 = ("input", "conv1", "227x227, no padding", "224x224, pad bottom 3 right 3")
PADDED_BY_2 = ("input", "conv1", "224x224, pad 2", "224x224, pad bottom 3 right 3")
ONE_GROUP = ("groups", "conv2, conv4, conv5", "1", "2")
NO_LRN = ("lrn", "norm1, norm2", "none", "LRN n=5 alpha=0.0001 beta=0.75 k=2")
INVERTED = ("dropout-scaling", "drop6, drop7", "in training", "at test")
EARLIER_DROPOUT = ("dropout-position", "drop6, drop7", "before fc6 and fc7", "before fc7 and fc8")
ALPHA_BY_5 = ("lrn-alpha", "norm1, norm2", "2e-05", "0.0001")
K_IS_1 = ("lrn-k", "norm1, norm2", "1", "2")
ALL_LEARNED = "conv1, conv2, conv3, conv4, conv5, fc6, fc7, fc8"
TORCH = ("init", ALL_LEARNED, "PyTorch's uniform", "Gaussian, std 0.01")
NARROW_DENSE = ("init", "fc6, fc7", "Gaussian, std 0.005", "Gaussian, std 0.01")
POOL_FIRST = ("order", "conv1, conv2", "ReLU, pool, LRN", "ReLU, LRN, pool")
UNIT_SCALE = ("preprocessing", "input", "unit-scale", "mean-image")

EXPECTED: dict[str, list[Line]] = {
    "paper": [],
    "original-2012": [
        ("preprocessing", "input", "mean-image-centre", "mean-image"),
        ALPHA_BY_5,
        ("lrn-towers", "norm1, norm2", "2 towers", "across all channels"),
        ("spatial-norm", "after conv2", "5x5 alpha=4e-05 beta=0.75 k=1", "none"),
        ("order", "conv1", "LRN, pool, ReLU", "ReLU, LRN, pool"),
        ("order", "conv5", "pool, ReLU", "ReLU, pool"),  # layers-145.cfg: pool5 before its neurons
        ("init", "conv3, conv4, conv5", "Gaussian, std 0.03", "Gaussian, std 0.01"),
    ],
    "one-tower": [("kernels", "conv1, conv2, conv3, conv4", "48, 128, 192, 192", "96, 256, 384, 384"), ONE_GROUP],
    "caffe": [
        NO_PADDING_227, ALPHA_BY_5, K_IS_1, INVERTED, NARROW_DENSE,
        ("init-bias", "conv2, conv4, conv5, fc6, fc7", "0.1", "1"),
    ],
    "caffenet": [NO_PADDING_227, ALPHA_BY_5, K_IS_1, POOL_FIRST, INVERTED, NARROW_DENSE],
    "torchvision": [
        PADDED_BY_2,
        ("preprocessing", "input", "mean-and-std", "mean-image"),
        ("kernels", "conv1, conv2, conv4", "64, 192, 256", "96, 256, 384"),
        ONE_GROUP, NO_LRN, EARLIER_DROPOUT, INVERTED, TORCH,
    ],
    # The paper prints no table of its four-layer network; example-layers/layers-18pct.cfg does.
    "cifar-4layer": [
        ("input", "conv1", "32x32, pad 2", "224x224, pad bottom 3 right 3"),
        ("depth", "conv3, conv4", "3 convolutions", "5 convolutions"),
        ("depth", "fc6, fc7", "1 dense layer", "3 dense layers"),
        ("kernels", "conv1, conv2, conv5", "32, 32, 64", "96, 256, 256"),
        ("kernel-size", "conv1", "5x5", "11x11"),
        ("kernel-size", "conv5", "5x5, pad 2", "3x3, pad 1"),
        ("stride", "conv1", "1", "4"),
        ("groups", "conv2, conv5", "1", "2"),
        NO_LRN,
        ("spatial-norm", "after conv1, conv2", "3x3 alpha=5.55556e-06 beta=0.75 k=1", "none"),
        ("pooling", "pool1, pool2, pool5", "3x3 / 2, pad bottom 1 right 1", "3x3 / 2"),  # cuda-convnet rounds up
        ("classes", "fc8", "10", "1000"),
        ("init", "conv1", "Gaussian, std 0.0001", "Gaussian, std 0.01"),
        ("init-bias", "conv2, conv5", "0", "1"),
    ],
    # The notes 000, 001 and 002 print no training: what they do to an image before the first layer is not said.
    "note-000": [
        PADDED_BY_2, ONE_GROUP,
        ("activation", "relu6, relu7", "none", "ReLU"),
        ("lrn-alpha", "norm1, norm2", "2e-06", "0.0001"),
        K_IS_1, POOL_FIRST, INVERTED, TORCH,
    ],
    "note-001": [
        ("input", "conv1", "224x224, no padding", "224x224, pad bottom 3 right 3"),
        ("channels", "input", "1", "3"),
        ONE_GROUP, NO_LRN,
        ("classes", "fc8", "10", "1000"),
        INVERTED, TORCH,
    ],
    "note-002": [
        NO_PADDING_227, ONE_GROUP, ALPHA_BY_5,
        ("order", "conv1, conv2", "pool, LRN, ReLU", "ReLU, LRN, pool"),
        ("order", "conv5", "pool, ReLU", "ReLU, pool"),  # its listing has Conv2d, MaxPool2d, ReLU
        EARLIER_DROPOUT, INVERTED, TORCH,
    ],
    "note-003": [
        NO_PADDING_227, UNIT_SCALE, ONE_GROUP, NO_LRN, ("classes", "fc8", "2", "1000"), INVERTED, TORCH,
    ],
    "note-004": [
        ("input", "conv1", "256x256, no padding", "224x224, pad bottom 3 right 3"),
        ("preprocessing", "input", "per-image-standard", "mean-image"),
        ("depth", "conv4", "4 convolutions", "5 convolutions"),
        ("groups", "conv2, conv5", "1", "2"),
        NO_LRN,
        ("pooling", "pool1, pool2", "3x3 / 1", "3x3 / 2"),
        ("pooling", "pool5", "2x2 / 2", "3x3 / 2"),
        ("classes", "fc8", "10", "1000"),
        INVERTED,
        ("init", "conv1, conv2, conv3, conv5, fc6, fc7, fc8", "Glorot's uniform", "Gaussian, std 0.01"),
    ],
}  # fmt: skip

PAIRS = [(a, b) for a, b in itertools.product(catalog.NETWORKS, repeat=2) if a != b]


def test_every_network_of_the_catalog_has_its_list() -> None:
    assert list(EXPECTED) == list(catalog.NETWORKS)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_network_departs_from_the_paper_in_these_ways_and_no_others(name: str) -> None:
    found = compare(sources.read(name), catalog.get("paper"))

    lines = [(one.facet, one.place, one.theirs, one.reference) for one in found]
    assert sorted(lines) == sorted(EXPECTED[name])


@pytest.mark.parametrize("name", catalog.NETWORKS)
def test_a_network_does_not_depart_from_itself(name: str) -> None:
    assert compare(of_network(catalog.get(name)), catalog.get(name)) == []


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_departures_are_of_the_same_facets_in_both_directions(one: str, other: str) -> None:
    there = compare(of_network(catalog.get(one)), catalog.get(other))
    back = compare(of_network(catalog.get(other)), catalog.get(one))

    assert Counter(departure.facet for departure in there) == Counter(departure.facet for departure in back)
    assert there  # no two networks of the catalog are the same


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_the_reference_with_every_departure_is_the_network(one: str, other: str) -> None:
    network, reference = catalog.get(one), catalog.get(other)

    made = together(compare(of_network(network), reference))(reference)

    assert derive.parameter_count(made) == derive.parameter_count(network)
    assert derive.multiply_adds(made) == derive.multiply_adds(network)
    assert compare(of_network(network), made) == []


@pytest.mark.parametrize(("name", "facet", "said"), [
    ("caffe", "lrn-alpha", "divided by n = 5: PyTorch's, Caffe's and ONNX's convention"),
    ("note-004", "pooling", "windows do not overlap"),
    ("cifar-4layer", "pooling", "ceil mode"),
    ("original-2012", "order", "the same function"),
    ("torchvision", "init", "PyTorch's layers"),
    ("note-003", "groups", "no towers"),
])  # fmt: skip
def test_why_names_the_convention_behind_a_departure(name: str, facet: str, said: str) -> None:
    found = compare(of_network(catalog.get(name)), catalog.get("paper"))

    assert [one for one in found if one.facet == facet and said in one.why]
