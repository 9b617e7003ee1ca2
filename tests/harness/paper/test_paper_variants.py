"""One thing is changed in each variant, and what the paper says of it holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.paper import study, variants
from impls import catalog, derive, weights
from impls.spec import LRN, Conv, Dense, Dropout, MaxPool, Network, ReLU, Tanh

PAPER, MINIATURE = catalog.get("paper"), variants.MINIATURE
BOTH = pytest.mark.parametrize("network", [PAPER, MINIATURE], ids=lambda network: str(network.name))


def pooled(network: Network) -> list[tuple[int, ...]]:
    return [row.output_shape for row in derive.facts(network) if isinstance(row.layer, MaxPool)]


def kinds(network: Network) -> list[type]:
    return [type(layer) for layer in network.layers]


def test_one_tower_made_from_the_paper_is_the_catalogs() -> None:
    made = variants.one_tower(PAPER)
    assert derive.parameter_shapes(made) == derive.parameter_shapes(catalog.get("one-tower"))
    assert kinds(made) == kinds(catalog.get("one-tower"))


@BOTH
def test_every_variant_is_a_network_that_fits_together(network: Network) -> None:
    for ablation in variants.ABLATIONS:
        for made in (ablation.baseline(network), ablation.variant(network)):
            assert derive.facts(made)[-1].output_shape == (network.classes,)


@BOTH
def test_both_kinds_of_pooling_give_maps_of_one_size(network: Network) -> None:
    assert pooled(variants.non_overlapping(network)) == pooled(network)
    assert all(layer.size == 2 for layer in variants.non_overlapping(network).layers if isinstance(layer, MaxPool))


@BOTH
def test_tanh_stands_where_each_relu_stood_and_nothing_else_changes(network: Network) -> None:
    made = variants.tanh(network)
    assert [Tanh if kind is ReLU else kind for kind in kinds(network)] == kinds(made)
    assert derive.parameter_shapes(made) == derive.parameter_shapes(network)


@BOTH
def test_what_is_taken_out_is_gone_and_the_rest_is_as_it_was(network: Network) -> None:
    for made, kind in ((variants.without_normalisation(network), LRN), (variants.without_dropout(network), Dropout)):
        assert made.layers == tuple(layer for layer in network.layers if not isinstance(layer, kind))
        assert len(made.layers) < len(network.layers)


def test_the_convolution_taken_out_is_a_middle_one_with_its_relu() -> None:
    for network, gone in ((PAPER, {"conv4", "relu4"}), (MINIATURE, {"conv3", "relu3"})):
        left = {layer.name for layer in variants.without_a_convolution(network).layers}
        assert {layer.name for layer in network.layers} - left == gone


def test_a_network_whose_convolutions_are_all_pooled_loses_none() -> None:
    network = catalog.get("cifar-4layer")
    assert variants.without_a_convolution(network) == network


def test_the_miniature_network_is_made_of_the_papers_kinds_of_layers() -> None:
    assert set(kinds(MINIATURE)) == set(kinds(PAPER))
    settings = {(layer.size, layer.alpha, layer.beta, layer.k) for layer in MINIATURE.layers if isinstance(layer, LRN)}
    assert settings == {(5, 1e-4, 0.75, 2.0)}
    assert [layer.groups for layer in MINIATURE.layers if isinstance(layer, Conv)] == [1, 2, 1]


def test_equal_shapes_start_from_equal_weights_in_every_variant() -> None:
    base = weights.generate(MINIATURE, "own", 3)
    for name, made in study.plan(MINIATURE).networks.items():
        for tensor, values in weights.generate(made, "own", 3).items():
            if tensor in base and base[tensor].shape == values.shape:
                assert np.array_equal(base[tensor], values), (name, tensor)


def test_the_plan_trains_equal_networks_once_and_scores_the_ten_crops_on_mirrored_training() -> None:
    made = study.plan(MINIATURE)
    assert list(made.networks) == [
        "base", "one-tower", "no-lrn", "non-overlapping", "no-augmentation", "mirrored", "no-dropout",
        "one-layer-less",
    ]  # fmt: skip
    assert made.crops["mirrored"] == (1, 10)
    assert ("one-crop", "mirrored", "mirrored") in [(one.name, base, variant) for one, base, variant in made.ablations]
    assert len({network.name for network in made.networks.values()}) == len(made.networks)


def test_the_papers_own_recipe_flips_so_its_base_serves_the_ten_crops() -> None:
    made = study.plan(PAPER)
    assert made.crops["base"] == (1, 10)
    assert "mirrored" not in made.networks
    assert "no-colour-noise" in made.networks


def test_only_those_asked_for_are_planned() -> None:
    made = study.plan(MINIATURE, ("no-lrn",))
    assert list(made.networks) == ["base", "no-lrn"]


def test_an_ablation_that_changes_nothing_is_left_out() -> None:
    bare = variants.without_dropout(MINIATURE)
    assert "no-dropout" not in [ablation.name for ablation, _, _ in study.plan(bare).ablations]
    one = replace(MINIATURE, layers=tuple(
        replace(layer, groups=1) if isinstance(layer, Conv) else layer for layer in MINIATURE.layers
    ))  # fmt: skip
    assert "one-tower" not in [ablation.name for ablation, _, _ in study.plan(one).ablations]


def test_the_miniature_networks_last_layer_has_a_class_per_digit() -> None:
    last = MINIATURE.layers[-1]
    assert isinstance(last, Dense)
    assert (last.units, MINIATURE.classes) == (10, 10)
    assert MINIATURE.width < variants.MINIATURE_SIDE
