"""Which network a file's shapes are of, and what is said where they are of several or of none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.exchange.foreign import ForeignTensor, ForeignWeights, FormatError, Learned
from harness.exchange.recognise import network_for
from impls import catalog, derive, reading
from impls.catalog import UnknownNetwork
from impls.spec import LRN, Dropout, Network

SAME_TENSORS = ("paper", "original-2012", "caffe", "caffenet")  # their weights have the same shapes
ALSO_SAME = ("note-000", "note-002")
ALONE = [name for name in catalog.NETWORKS if name not in (*SAME_TENSORS, *ALSO_SAME)]


def tensor(name: str, *shape: int) -> ForeignTensor:
    def read() -> np.ndarray:
        raise AssertionError("a network is recognised without reading a value")

    return ForeignTensor(name, shape, "float32", read)


def weights_of(network: Network, **changes: object) -> ForeignWeights:
    layers = []
    for name, shape in derive.parameter_shapes(network).items():
        layer, kind = name.split("/")
        if kind == "weight":
            axes = "hwio" if len(shape) == 4 else "io"
            layers.append(Learned(layer, tensor(name, *shape), tensor(f"{layer}/bias", shape[-1]), axes))
    made = ForeignWeights(path=Path("theirs.bin"), format="NumPy", layers=tuple(layers), flatten="hwc")
    return replace(made, **changes)


@pytest.mark.parametrize("name", ALONE)
def test_a_network_whose_shapes_are_its_own_is_recognised_by_them(name: str) -> None:
    assert network_for(weights_of(catalog.get(name)))[0] is catalog.get(name)


@pytest.mark.parametrize("group", [SAME_TENSORS, ALSO_SAME], ids=["towers", "one-tower"])
def test_what_fits_several_networks_is_not_guessed(group: tuple[str, ...]) -> None:
    for name in group:
        with pytest.raises(FormatError) as caught:
            network_for(weights_of(catalog.get(name), hint='its net is called "AlexNet"'))
        message = str(caught.value)
        assert f"fits {', '.join(other for other in catalog.NETWORKS if other in group)}, whose" in message
        assert "--network" in message and '"AlexNet"' in message and "\n" not in message


@pytest.mark.parametrize("name", SAME_TENSORS)
def test_the_user_or_the_file_itself_may_say_which(name: str) -> None:
    found = weights_of(catalog.get("paper"))
    assert network_for(found, name)[0].name == name
    assert network_for(replace(found, network=name))[0].name == name
    assert network_for(replace(found, network="paper"), name)[0].name == name


@pytest.mark.parametrize("name", [*SAME_TENSORS, *ALSO_SAME])
def test_the_files_own_structure_decides_where_it_has_one(name: str) -> None:
    network = catalog.get(name)
    found = weights_of(network, reading=reading.of_network(network))
    assert network_for(found)[0] is network


def test_a_structure_is_compared_without_dropout_where_the_file_keeps_none() -> None:
    network = catalog.get("caffe")
    without = tuple(layer for layer in network.layers if not isinstance(layer, Dropout))
    told = replace(reading.of_network(network, ["init", "dropout"]), layers=without)
    assert network_for(weights_of(network, reading=told))[0] is network
    with pytest.raises(FormatError, match="fits paper, original-2012, caffe, caffenet"):
        network_for(weights_of(network, reading=replace(told, silent=frozenset())))


def test_a_structure_that_is_no_networks_decides_nothing() -> None:
    network = catalog.get("caffe")
    layers = tuple(replace(one, k=3.0) if isinstance(one, LRN) else one for one in network.layers)
    told = replace(reading.of_network(network), layers=layers)
    with pytest.raises(FormatError, match="--network"):
        network_for(weights_of(network, reading=told))


def test_a_single_fit_of_another_structure_is_taken_with_a_remark() -> None:
    network = catalog.get("torchvision")
    told = replace(reading.of_network(network), layers=network.layers[1:])
    found, notes = network_for(weights_of(network, reading=told))
    assert found is network
    assert "alexbench audit" in notes[0]


def test_a_structure_that_is_not_the_one_asked_for_is_remarked_upon() -> None:
    """CaffeNet's file taken for Caffe's AlexNet, as the user or the file itself says: the shapes are the same."""
    asked, other = catalog.get("caffe"), catalog.get("caffenet")
    found = weights_of(asked, reading=reading.of_network(other))
    for network, notes in (network_for(found, "caffe"), network_for(replace(found, network="caffe"))):
        assert network is asked
        assert notes == ("only the shapes are those of caffe: alexbench audit tells what else differs",)
    assert network_for(found, "caffenet") == (other, ())


def test_what_fits_no_network_is_told_the_nearest_one_and_where_it_parts() -> None:
    network = catalog.get("torchvision")
    whole = weights_of(network)
    last = replace(whole.layers[-1], weight=tensor("classifier.6.weight", 4096, 37))
    with pytest.raises(FormatError) as caught:
        network_for(replace(whole, layers=(*whole.layers[:-1], last)))
    assert "nearest is torchvision, but its 'classifier.6.weight' is 4096x37, fc8 there 4096x1000" in str(caught.value)


def test_a_network_that_was_asked_for_and_does_not_fit_is_refused_with_both_shapes() -> None:
    with pytest.raises(
        FormatError, match="not of network 'caffe': its 'conv1/weight' is 11x11x3x64, conv1 there 11x11"
    ):
        network_for(weights_of(catalog.get("torchvision")), "caffe")
    with pytest.raises(UnknownNetwork, match="did you mean 'caffe'"):
        network_for(weights_of(catalog.get("torchvision")), "cafe")


def test_layers_too_few_or_none_are_said() -> None:
    whole = weights_of(catalog.get("torchvision"))
    with pytest.raises(FormatError, match="it has 7 learned layers, that network 8"):
        network_for(replace(whole, layers=whole.layers[:-1]), "torchvision")
    with pytest.raises(FormatError, match="holds no convolution and no dense layer"):
        network_for(replace(whole, layers=()))


def test_shapes_of_a_hundred_gigabytes_are_only_compared() -> None:
    whole = weights_of(catalog.get("paper"))
    first = replace(whole.layers[0], weight=tensor("conv1", 1 << 20, 1 << 20, 3, 96))
    with pytest.raises(FormatError, match="fits no network"):
        network_for(replace(whole, layers=(first, *whole.layers[1:])))
