"""The networks called AlexNet: all of them fit together, and each differs from the paper where its source does."""

from __future__ import annotations

import json

import pytest

from impls import catalog, derive
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, MaxPool, Network, SpatialNorm
from impls.spec_json import network_from_json, network_to_json

PARAMETERS = {
    "paper": 60_965_224,
    "original-2012": 60_965_224,
    "caffe": 60_965_224,
    "caffenet": 60_965_224,
    "torchvision": 61_100_840,
}


@pytest.mark.parametrize("name", catalog.NETWORKS)
def test_every_network_fits_together_and_says_where_it_comes_from(name: str) -> None:
    network = catalog.get(name)
    assert derive.facts(network)[-1].output_shape == (network.classes,)
    assert network.source
    assert len(network.summary) > 20


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_published_ones(name: str) -> None:
    assert derive.parameter_count(catalog.get(name)) == PARAMETERS[name]


def test_the_keras_note_has_its_882_million_weights_in_one_layer() -> None:
    shapes = derive.parameter_shapes(catalog.NOTE_004)
    assert derive.volume(shapes["fc5/weight"]) == 881_856_512 - 4096
    assert [network.name for network in catalog.NETWORKS.values() if network.large] == ["note-004"]


def test_the_paper_pads_right_and_bottom_only() -> None:
    conv1 = catalog.PAPER.layer("conv1")
    assert isinstance(conv1, Conv)
    assert conv1.padding._asdict() == {"top": 0, "bottom": 3, "left": 0, "right": 3}


@pytest.mark.parametrize(
    ("name", "base", "alpha", "groups"),
    [("paper", 2.0, 1e-4, 1), ("original-2012", 2.0, 2e-5, 2), ("caffe", 1.0, 2e-5, 1), ("note-000", 1.0, 2e-6, 1)],
)
def test_response_normalisation_follows_each_source(name: str, base: float, alpha: float, groups: int) -> None:
    norms = [layer for layer in catalog.get(name).layers if isinstance(layer, LRN)]
    assert len(norms) == 2
    for norm in norms:
        assert (norm.k, norm.alpha, norm.groups, norm.size) == (base, pytest.approx(alpha), groups, 5)


def test_the_2012_source_normalises_before_pooling_before_relu() -> None:
    assert [layer.name for layer in catalog.ORIGINAL_2012.layers[:4]] == ["conv1", "norm1", "pool1", "relu1"]
    assert isinstance(catalog.ORIGINAL_2012.layer("cnorm2"), SpatialNorm)


def test_caffenet_pools_before_it_normalises_and_caffe_after() -> None:
    def order(name: str) -> list[str]:
        return [layer.name for layer in catalog.get(name).layers if isinstance(layer, LRN | MaxPool)][:2]

    assert order("caffenet") == ["pool1", "norm1"]
    assert order("caffe") == ["norm1", "pool1"]


def test_dropout_is_scaled_where_each_source_scales_it() -> None:
    def scalings(name: str) -> set[DropoutScaling]:
        return {layer.scaling for layer in catalog.get(name).layers if isinstance(layer, Dropout)}

    assert scalings("paper") == {DropoutScaling.AT_TEST}
    assert scalings("torchvision") == {DropoutScaling.IN_TRAINING}


def test_an_unknown_network_gets_the_nearest_name() -> None:
    with pytest.raises(catalog.UnknownNetwork, match=r"unknown network 'papper': did you mean 'paper'\?"):
        catalog.get("papper")


def test_a_name_like_no_other_gets_the_list_only() -> None:
    with pytest.raises(catalog.UnknownNetwork, match=r"unknown network 'zzz': the catalog has paper, original-2012"):
        catalog.get("zzz")


def test_the_2012_recipe_follows_the_authors_log() -> None:
    recipe = catalog.ORIGINAL_2012.recipe
    assert (recipe.epochs, recipe.drop_epochs, recipe.decay_biases) == (93, (23, 51, 78), False)
    assert [(change.epoch, change.bias_factor) for change in recipe.changes[:2]] == [(0, 2.0), (23, 1.0)]
    assert [change.layer_factors for change in recipe.changes[2:]] == [(("conv1", 0.1),), (("conv1", 0.0),)]
    assert recipe.changes[2].colour_noise == "none" and recipe.colour_noise == "original-2012"


@pytest.mark.parametrize("network", catalog.NETWORKS.values(), ids=lambda network: network.name)
def test_what_a_recipe_changes_is_there_to_be_changed(network: Network) -> None:
    recipe = network.recipe
    learned = {layer.name for layer in network.layers if isinstance(layer, Conv | Dense)}
    assert {name for change in recipe.changes for name, _ in change.layer_factors or ()} <= learned
    assert all(0 <= change.epoch < recipe.epochs for change in recipe.changes)
    assert list(recipe.drop_epochs) == sorted(recipe.drop_epochs)
    assert recipe.source


@pytest.mark.parametrize("network", catalog.NETWORKS.values(), ids=lambda network: network.name)
def test_a_network_survives_json_with_its_recipe(network: Network) -> None:
    assert network_from_json(json.loads(json.dumps(network_to_json(network)))) == network
