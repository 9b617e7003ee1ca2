"""PyTorch modules as readings: listings as people write them become the layers that they are, and never others."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reading_program import bare, kinds, read_all

from impls import catalog
from impls.reading import Foreign, Reading
from impls.spec import (
    LRN,
    Conv,
    Dense,
    Dropout,
    DropoutScaling,
    Init,
    Layer,
    MaxPool,
    Network,
    Padding,
    SpatialNorm,
)

pytestmark = pytest.mark.needs("torch")

TARGETS: dict[str, int | None] = {
    "Note000": None, "Note003": None, "Torchvision": None, "TwoTowers": 227, "Idioms": 64, "Chunks": None,
    "CrossedChunks": None, "Residual": None, "Initialised": None, "ThreeDimensional": None,
    "WithArguments": None, "AsksForValues": None, "constant": 32, "instance": None, "number": None,
    "DropsByHand": 32, "Unscaled": 32, "CeilMode": 32, "scripted": 32, "Strange": 32, "Masks": 32, "lazy": 64,
    "Tied": 32,
    "Huge": 224,
    "paper": 224, "original": 224, "caffe": 227, "cifar": 32,
}  # fmt: skip
LISTINGS = Path(__file__).parent / "torch_listings.py"


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    return read_all("torch", LISTINGS, TARGETS)


def reading_of(answers: dict[str, dict[str, Any]], name: str) -> Reading:
    assert "reading" in answers[name], answers[name]
    found: Reading = answers[name]["reading"]
    return found


def without_sources(layers: tuple[Layer, ...]) -> list[Layer]:
    return [replace(layer, source="") for layer in layers]


@pytest.mark.parametrize(
    ("name", "network"),
    [("Note000", catalog.NOTE_000), ("Note003", catalog.NOTE_003), ("Torchvision", catalog.TORCHVISION)],
    ids=["note-000", "note-003", "torchvision"],
)
def test_a_listing_reads_to_the_layers_of_the_catalog(
    answers: dict[str, dict[str, Any]], name: str, network: Network
) -> None:
    found = reading_of(answers, name)
    ours, theirs = without_sources(network.layers), bare(found)
    if network.name == "torchvision":  # the catalog calls a dropout before fc6 drop6, a reading drop5
        ours, theirs = ([replace(layer, name="") for layer in layers] for layers in (ours, theirs))
    assert theirs == ours
    assert (found.height, found.width, found.channels) == (network.height, network.width, network.channels)
    assert found.silent == {"preprocessing"} and found.preprocessing is None
    assert any(f"{network.height} x {network.height} is the first usual one" in remark for remark in found.remarks)


def test_layers_keep_the_names_that_they_have_over_there(answers: dict[str, dict[str, Any]]) -> None:
    found = [layer.source for layer in reading_of(answers, "Torchvision").layers if isinstance(layer, Conv | Dense)]
    assert found == [
        *(f"features.{place}" for place in (0, 3, 6, 8, 10)),
        *(f"classifier.{place}" for place in (1, 4, 6)),
    ]
    assert reading_of(answers, "Note003").layers[2].source == "conv1.2"


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("paper", catalog.PAPER), ("original", catalog.ORIGINAL_2012), ("caffe", catalog.CAFFE),
        ("cifar", catalog.CIFAR_4LAYER),
    ],
    ids=["paper", "original-2012", "caffe", "cifar-4layer"],
)  # fmt: skip
def test_a_catalog_network_written_out_reads_back(
    answers: dict[str, dict[str, Any]], name: str, network: Network
) -> None:
    found = reading_of(answers, name)
    wanted: list[Layer] = []
    for layer in network.layers:
        if isinstance(layer, Conv):
            thin = replace(layer, kernels=layer.kernels // 8, init=Init.TORCH, init_bias=0.0)
        elif isinstance(layer, Dense):
            units = 10 if layer.name == network.logits else 32
            thin = replace(layer, units=units, init=Init.TORCH, init_bias=0.0)
        else:
            thin = layer
        wanted.append(replace(thin, source=""))
    for ours, theirs in zip(wanted, bare(found), strict=True):
        if isinstance(ours, LRN | SpatialNorm):  # the factor on the sum is computed back: one rounding is free
            assert isinstance(theirs, LRN | SpatialNorm) and math.isclose(ours.alpha, theirs.alpha, rel_tol=1e-6)
            theirs = replace(theirs, name=ours.name, alpha=ours.alpha)  # noqa: PLW2901
        assert theirs == ours


def test_two_towers_are_groups(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "TwoTowers")
    convs = [layer for layer in found.layers if isinstance(layer, Conv)]
    assert [(conv.kernels, conv.groups) for conv in convs] == [(12, 1), (32, 2), (48, 1), (48, 2), (32, 2)]
    assert [layer.groups for layer in found.layers if isinstance(layer, LRN)] == [2, 2]
    assert [layer.units for layer in found.layers if isinstance(layer, Dense)] == [16, 10]
    assert not found.foreign and "Tanh" in kinds(found)
    assert convs[0].source == "left.0 + right.0"
    assert found.remarks == ()  # the size was given


def test_slices_that_are_convolved_apart_are_groups(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "Chunks")
    assert kinds(found) == ["Conv", "ReLU", "Conv", "Dense"]
    assert isinstance(found.layers[2], Conv) and (found.layers[2].kernels, found.layers[2].groups) == (12, 2)


def test_crossed_slices_are_no_groups(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "CrossedChunks")
    assert kinds(found) == ["Conv", "ReLU", "concatenation", "Dense"]
    assert found.foreign[0].parameters == 2 * 6 * (4 * 9 + 1)


def test_a_branch_is_foreign_and_never_a_chain(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "Residual")
    assert kinds(found) == ["add", "ReLU", "Dense"]
    (join,) = found.foreign
    assert join.parameters == 3 * 3 * 9 + 3 and join.output_shape == (32, 32, 3) and "Conv" in join.detail


def test_idioms_become_exact_layers_or_are_named(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "Idioms")
    assert kinds(found) == [
        "Conv", "BatchNorm2d", "GELU", "LRN", "SpatialNorm", "Conv", "ReLU", "MaxPool", "LocalResponseNorm", "Dropout",
        "Conv2d", "AdaptiveAvgPool2d", "pad", "Tanh", "Dropout", "ReLU", "Dense",
    ]  # fmt: skip
    norm, spatial = found.layers[3:5]
    assert isinstance(norm, LRN) and (norm.size, norm.alpha, norm.beta, norm.k) == (5, 2e-5, 0.75, 1.0)
    assert isinstance(spatial, SpatialNorm) and (spatial.size, spatial.k) == (3, 2.0)
    assert math.isclose(spatial.alpha, 2e-3 / 9, rel_tol=1e-6)
    first, second = (layer for layer in found.layers if isinstance(layer, Conv))
    assert first.padding == Padding.same(2)
    assert second.padding == Padding(bottom=3, right=3)  # zeros in front of a convolution are its padding
    assert found.biasless == ("body.0",)
    assert found.channels == 1
    plain, scaled = (layer for layer in found.layers if isinstance(layer, Dropout))
    assert (plain.rate, plain.scaling) == (0.3, DropoutScaling.IN_TRAINING)
    assert (scaled.rate, scaled.scaling) == (0.4, DropoutScaling.AT_TEST)
    by_kind = {layer.kind: layer for layer in found.foreign}
    assert by_kind["BatchNorm2d"].parameters == 16
    assert by_kind["Conv2d"].parameters == 8 * 8 * 3 + 8
    assert by_kind["AdaptiveAvgPool2d"].output_shape == (4, 4, 8)


def test_ceil_mode_pads_where_it_changes_the_size(answers: dict[str, dict[str, Any]]) -> None:
    first, second = (layer for layer in reading_of(answers, "CeilMode").layers if isinstance(layer, MaxPool))
    assert first.padding == Padding(bottom=1, right=1)  # 32 to 16
    assert second.padding == Padding()  # 16 to 8, as without
    (zeros,) = (layer for layer in reading_of(answers, "Idioms").layers if isinstance(layer, MaxPool))
    assert zeros.padding == Padding.same(1)  # zeros around a ReLU's map lose to what is there, as minus infinity would


def test_dropout_by_hand_is_dropout(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "DropsByHand")
    assert kinds(found) == [
        "Conv", "ReLU", "LRN", "Dense", "Dropout", "Dense", "Dropout", "Dense", "Dropout", "Dense",
    ]  # fmt: skip
    drops = [(layer.rate, layer.scaling) for layer in found.layers if isinstance(layer, Dropout)]
    assert drops == [
        (0.5, DropoutScaling.AT_TEST), (0.25, DropoutScaling.IN_TRAINING), (0.1, DropoutScaling.IN_TRAINING),
    ]  # fmt: skip
    assert found.remarks == ("dropout: it drops at test time too",)
    (norm,) = (layer for layer in found.layers if isinstance(layer, LRN))
    assert (norm.size, norm.alpha, norm.beta, norm.k) == (5, 1e-4, 0.75, 2.0)


def test_lazy_layers_take_what_comes_and_it_is_said(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "lazy")
    assert kinds(found) == ["Conv", "ReLU", "Dense"]
    assert found.remarks == ("the file leaves the images' channels open: 3 are taken",)


def test_a_mask_that_is_not_drawn_is_no_dropout(answers: dict[str, dict[str, Any]]) -> None:
    assert kinds(reading_of(answers, "Masks")) == ["Dense", "ReLU", "mul", "Dense"]


def test_masks_without_a_factor_are_remarked(answers: dict[str, dict[str, Any]]) -> None:
    (remark,) = reading_of(answers, "Unscaled").remarks
    assert "nothing is scaled at test time" in remark
    assert not any("test time" in remark for remark in reading_of(answers, "Idioms").remarks)


def test_initial_weights_of_the_files_own_are_told_by_their_values(answers: dict[str, dict[str, Any]]) -> None:
    conv, dense, last = (
        layer for layer in reading_of(answers, "Initialised").layers if isinstance(layer, Conv | Dense)
    )
    assert (conv.init, conv.init_bias) == (0.03, 1.0)
    assert (dense.init, dense.init_bias) == (Init.GLOROT, 0.0)
    assert (last.init, last.init_bias) == (Init.TORCH, 0.0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ThreeDimensional", "ThreeDimensional cannot be run: RuntimeError"),
        ("WithArguments", "cannot be built without arguments, it needs options"),
        ("number", "number gives a int, expected a torch.nn.Module"),
        ("scripted", "compiled by torch.jit"),
        ("constant", "does not depend on the images"),
    ],
    ids=lambda value: value.partition(" ")[0],
)
def test_what_is_no_network_is_refused_in_one_line(answers: dict[str, dict[str, Any]], name: str, words: str) -> None:
    complaint = answers[name]["error"]
    assert words in complaint and complaint.startswith("NotLoadable") != complaint.startswith("_NotAModule")
    assert "\n" not in complaint and len(complaint) < 500


def test_a_module_that_asks_for_values_is_built_with_some(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "AsksForValues")
    assert kinds(found) == ["Dense"]
    assert any("returns 2 things" in remark for remark in found.remarks)


def test_an_instance_is_read_as_it_is(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "instance")
    assert kinds(found) == ["Conv", "ReLU", "Dense"] and found.height == 28
    assert not any(isinstance(layer, Foreign) for layer in found.layers)


def test_strange_arguments_are_foreign_and_no_mistake_of_ours(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "Strange")
    assert kinds(found) == ["Conv2d", "ConvTranspose2d", "getitem", "MaxPool2d", "Dense"]
    assert found.foreign[0].parameters == 4 * 27 + 4 and "dilation" in found.foreign[0].detail


def test_a_huge_module_is_read_without_its_weights(answers: dict[str, dict[str, Any]]) -> None:
    assert kinds(reading_of(answers, "Huge")) == ["Conv", "Dense"]
    assert "init" in reading_of(answers, "Huge").silent
    assert max(answer["peak_mb"] for answer in answers.values()) < 2500  # its weights alone are 3.5 GB


def test_weights_that_are_used_more_than_once_are_remarked_upon(answers: dict[str, dict[str, Any]]) -> None:
    said = [remark for remark in reading_of(answers, "Tied").remarks if "same weights" in remark]

    assert [remark.partition(" is used 2 times")[0] for remark in said] == ["piece", "whole"]
    assert not any("same weights" in remark for remark in reading_of(answers, "Chunks").remarks)
