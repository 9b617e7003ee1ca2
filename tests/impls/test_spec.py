"""The vocabulary: defaults that carry meaning, and errors that name what was asked for."""

from __future__ import annotations

import dataclasses

import pytest

from impls import catalog, spec


def test_padding_same_pads_all_four_sides() -> None:
    assert spec.Padding.same(2) == (2, 2, 2, 2)


def test_a_network_finds_its_layers_by_name() -> None:
    assert catalog.PAPER.layer("conv3") is next(layer for layer in catalog.PAPER.layers if layer.name == "conv3")


def test_a_layer_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(KeyError, match=r"'paper' has no layer 'conv9'; it has conv1, relu1"):
        catalog.PAPER.layer("conv9")


def test_the_last_layer_gives_the_logits() -> None:
    assert catalog.PAPER.logits == "fc8"


def test_networks_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        catalog.PAPER.classes = 10  # type: ignore[misc]


def test_the_default_recipe_is_the_papers() -> None:
    recipe = spec.Recipe()
    assert (recipe.batch_size, recipe.momentum, recipe.weight_decay, recipe.learning_rate) == (128, 0.9, 0.0005, 0.01)
