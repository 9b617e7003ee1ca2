"""Flax modules as readings, of flax.linen and flax.nnx: the few primitives that all of them end in become layers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from reading_program import bare, kinds, read_all

from impls.reading import Reading
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, MaxPool, Padding, SpatialNorm

pytestmark = pytest.mark.needs("jax")

LISTINGS = Path(__file__).parent / "flax_listings.py"
TARGETS: dict[str, int | None] = {
    "Paper": 224, "Towers": 32, "Foreigners": 32, "Objects": None, "smaller": None, "Huge": 224, "instance": 32,
    "Undecided": 32, "Needs": None, "Constant": 32, "number": None,
    "Halves": 32, "Masks": 32, "Tied": 32,
}  # fmt: skip


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    return read_all("flax", LISTINGS, TARGETS)


def reading_of(answers: dict[str, dict[str, Any]], name: str) -> Reading:
    assert "reading" in answers[name], answers[name]
    found: Reading = answers[name]["reading"]
    return found


def test_functions_and_modules_read_to_the_same_layers(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "Paper")
    assert kinds(found) == [
        "Conv", "ReLU", "LRN", "MaxPool", "Conv", "ReLU", "LRN", "MaxPool", "Conv", "ReLU", "Conv", "ReLU", "ReLU",
        "Conv", "LRN", "MaxPool", "Dense", "ReLU", "Dropout", "Dense", "ReLU", "Dropout", "Dense",
    ]  # fmt: skip
    convs = [layer for layer in found.layers if isinstance(layer, Conv)]
    assert [(conv.kernels, conv.size, conv.stride, conv.groups) for conv in convs] == [
        (32, 11, 4, 1), (64, 5, 1, 2), (96, 3, 1, 1), (96, 3, 1, 2), (64, 3, 1, 2),
    ]  # fmt: skip
    assert convs[0].padding == Padding(bottom=3, right=3)
    assert [convs[1].padding, convs[2].padding] == [Padding.same(2), Padding.same(1)]
    assert [layer.source for layer in (convs[0], convs[1], convs[3])] == ["Conv_0", "second", "Conv_2 + Conv_3"]
    assert (found.height, found.channels, found.classes) == (224, 3, 1000)
    assert found.silent == {"init", "preprocessing"}


def test_norms_are_known_however_they_are_written(answers: dict[str, dict[str, Any]]) -> None:
    norms = [layer for layer in reading_of(answers, "Paper").layers if isinstance(layer, LRN)]
    assert [(norm.size, norm.alpha, norm.beta, norm.k, norm.groups) for norm in norms] == [(5, 1e-4, 0.75, 2.0, 1)] * 3


def test_dropout_is_told_apart_by_where_it_scales(answers: dict[str, dict[str, Any]]) -> None:
    first, second = (layer for layer in reading_of(answers, "Paper").layers if isinstance(layer, Dropout))
    assert (first.rate, first.scaling) == (0.5, DropoutScaling.IN_TRAINING)
    assert second.rate == pytest.approx(0.4) and second.scaling is DropoutScaling.AT_TEST


def test_towers_are_groups_with_norms_of_their_own(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "Towers")
    assert kinds(found) == ["Conv", "ReLU", "LRN", "Conv", "ReLU", "Dense"]
    first, second = (layer for layer in found.layers if isinstance(layer, Conv))
    assert (first.padding, first.groups) == (Padding(bottom=1, right=1), 1)  # SAME with a stride of 2
    assert (second.kernels, second.groups) == (12, 2)
    (norm,) = (layer for layer in found.layers if isinstance(layer, LRN))
    assert (norm.groups, norm.alpha) == (2, 2e-5)
    assert isinstance(found.layers[-1], Dense) and found.layers[-1].units == 7  # over (H, W, C) at once
    assert bare(reading_of(answers, "instance")) == bare(found)


def test_what_has_no_class_is_named(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "Foreigners")
    assert kinds(found) == [
        "Conv", "BatchNorm", "Tanh", "average pool", "GELU", "SpatialNorm", "add", "SiLU", "Conv", "mean", "LayerNorm",
        "Dense",
    ]  # fmt: skip
    (spatial,) = (layer for layer in found.layers if isinstance(layer, SpatialNorm))
    assert (spatial.size, spatial.k) == (3, 1.0) and math.isclose(spatial.alpha, 3e-3, rel_tol=1e-6)
    counts = {layer.kind: layer.parameters for layer in found.foreign}
    assert (counts["BatchNorm"], counts["LayerNorm"], counts["add"]) == (16, 8, 8 * 8 + 8)
    assert next(layer for layer in found.foreign if layer.kind == "BatchNorm").source == "bn"
    assert counts["Conv"] == 4 * 8 * 3 + 4  # a kernel that is not square
    assert found.biasless == ("Conv_0",)


def test_objects_of_nnx_are_read_in_training_mode(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "Objects")
    assert kinds(found) == ["Conv", "BatchNorm", "ReLU", "MaxPool", "Dropout", "Dense"]
    assert (found.height, found.channels) == (28, 1)
    conv, pool, dropout = found.layers[0], found.layers[3], found.layers[4]
    assert isinstance(conv, Conv) and conv.source == "conv" and conv.padding == Padding(1, 2, 1, 2)
    assert isinstance(pool, MaxPool) and pool.padding == Padding.same(1)
    assert isinstance(dropout, Dropout) and (dropout.rate, dropout.scaling) == (0.25, DropoutScaling.IN_TRAINING)
    assert any("28 x 28 is the first usual one" in remark for remark in found.remarks)


def test_a_mask_that_is_not_drawn_is_no_dropout(answers: dict[str, dict[str, Any]]) -> None:
    assert kinds(reading_of(answers, "Masks")) == ["Dense", "ReLU", "mul", "Dense"]


def test_half_types_and_sequences_are_seen_through(answers: dict[str, dict[str, Any]]) -> None:
    found = reading_of(answers, "Halves")
    assert kinds(found) == ["Conv", "ReLU", "MaxPool", "Dense", "Dropout"]
    assert isinstance(found.layers[-1], Dropout) and found.layers[-1].rate == pytest.approx(0.3)


def test_a_function_that_returns_a_module_is_read(answers: dict[str, dict[str, Any]]) -> None:
    assert kinds(reading_of(answers, "smaller")) == ["Conv", "ReLU"]


def test_a_huge_module_is_read_without_its_weights(answers: dict[str, dict[str, Any]]) -> None:
    assert kinds(reading_of(answers, "Huge")) == ["Conv", "Dense"]
    assert max(answer["peak_mb"] for answer in answers.values()) < 2500  # its weights alone are 3.5 GB


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Undecided", "Undecided cannot be run: ValueError"),
        ("Needs", "cannot be built without arguments, it needs width"),
        ("number", "number gives a int, expected a module of flax.nnx or flax.linen"),
        ("Constant", "does not depend on the images"),
    ],
    ids=lambda value: value.partition(" ")[0],
)
def test_what_is_no_network_is_refused_in_one_line(answers: dict[str, dict[str, Any]], name: str, words: str) -> None:
    complaint = answers[name]["error"]
    assert complaint.startswith("NotLoadable: ") and words in complaint
    assert "\n" not in complaint and len(complaint) < 500


def test_weights_that_are_used_more_than_once_are_remarked_upon(answers: dict[str, dict[str, Any]]) -> None:
    said = [remark for remark in reading_of(answers, "Tied").remarks if "same weights" in remark]

    assert said == ["same is used 2 times with the same weights, which are counted each time"]
