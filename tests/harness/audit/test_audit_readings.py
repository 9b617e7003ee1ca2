"""Readings that a `Network` could not be: foreign layers, silence, layers that do not fit together."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from audit_changed import PAPER, after, at, whole

from harness.audit.between_layers import FACET_OF
from harness.audit.blocks import kind
from harness.audit.departure import Departure
from harness.audit.departures import compare
from harness.audit.wording import between, in_order
from impls import derive
from impls.reading import FACETS, Facet, Foreign, Reading, ReadLayer, numbered, of_network
from impls.spec import (
    LRN,
    Conv,
    Dense,
    Dropout,
    DropoutScaling,
    Layer,
    MaxPool,
    Network,
    Padding,
    ReLU,
    SpatialNorm,
    Tanh,
)
from impls.spec_json import LAYER_KINDS

OF_EVERY_KIND = (
    ReLU(name="a"),
    Tanh(name="b"),
    LRN(name="c", size=5, alpha=1e-4, beta=0.75, k=2.0),
    SpatialNorm(name="d", size=5, alpha=1e-4, beta=0.75, k=2.0),
    MaxPool(name="e", size=3, stride=2),
    Dropout(name="f", rate=0.5),
)


def read(*layers: ReadLayer, **fields: object) -> Reading:
    found = of_network(PAPER)
    return replace(found, layers=numbered(layers), **fields)  # type: ignore[arg-type]


def replaced(name: str, *new: ReadLayer) -> Reading:
    """The paper's network with other layers in the place of one."""
    layers = [one for layer in PAPER.layers for one in (new if layer.name == name else (layer,))]
    return replace(of_network(PAPER), layers=tuple(layers))


def lines(found: list[Departure]) -> list[tuple[str, str, str, str]]:
    return [(one.facet, one.place, one.theirs, one.reference) for one in found]


def test_layers_that_the_project_lacks_are_departures_and_their_parameters_count() -> None:
    norms = [Foreign(name=f"bn{n}", kind="BatchNorm2d", parameters=2 * width) for n, width in ((1, 96), (2, 256))]
    layers = list(PAPER.layers)
    layers[1:1] = [norms[0]]
    layers[6:6] = [norms[1]]

    (found,) = compare(replace(of_network(PAPER), layers=tuple(layers)), PAPER)

    assert lines([found]) == [("foreign", "bn1, bn2", "BatchNorm2d", "none")]
    assert found.foreign_parameters == 2 * (96 + 256)
    assert found.alone is None
    assert "no such layer" in found.obstacle


@pytest.mark.parametrize(
    ("name", "kind", "instead"),
    [("relu3", "GELU", "ReLU"), ("relu3", "LeakyReLU", "ReLU"), ("pool5", "AvgPool2d", "max-pooling 3x3 / 2")],
)
def test_a_foreign_layer_in_the_place_of_a_known_one_is_one_departure(name: str, kind: str, instead: str) -> None:
    found = compare(replaced(name, Foreign(name="x", kind=kind)), PAPER)

    assert lines(found) == [("foreign", "x", kind, instead)]


def test_a_foreign_layers_settings_tell_it_from_others_of_its_kind() -> None:
    reading = replaced("relu3", Foreign(name="x", kind="ELU", detail="alpha 0.5"))

    assert compare(reading, PAPER)[0].theirs == "ELU (alpha 0.5)"


@pytest.mark.parametrize("name", LAYER_KINDS)
def test_every_class_of_layers_has_its_word_and_its_place_in_an_audit(name: str) -> None:
    """A class that is added to the vocabulary is added here too, or it would be compared with nothing."""
    known = {Conv, Dense, *(type(layer) for layer in OF_EVERY_KIND)}

    assert LAYER_KINDS[name] in known
    for layer in OF_EVERY_KIND:
        assert kind(layer) == "dropout" or kind(layer) in FACET_OF
        assert between(layer) and in_order(layer)


def test_foreign_layers_of_one_kind_are_one_departure_whatever_their_settings() -> None:
    layers = [
        Foreign(name=one.name, kind="ELU", detail=f"alpha {i}") if one.name in ("relu3", "relu4") else one
        for i, one in enumerate(PAPER.layers)
    ]

    found = compare(replace(of_network(PAPER), layers=tuple(layers)), PAPER)

    assert lines(found) == [("foreign", "relu3, relu4", "ELU", "ReLU")]


def test_of_very_many_places_the_first_are_named() -> None:
    norms = [Foreign(name=f"bn{n}", kind="BatchNorm2d") for n in range(50)]

    (found,) = compare(replace(of_network(PAPER), layers=(*PAPER.layers[:3], *norms, *PAPER.layers[3:])), PAPER)

    assert found.place == "bn0, bn1, bn2, bn3 and 46 more"
    assert len(found.places) == 50


def test_a_foreign_layer_that_calls_itself_as_ours_do_is_foreign_all_the_same() -> None:
    found = compare(replaced("drop6", Foreign(name="x", kind="dropout")), PAPER)

    assert ("foreign", "x", "dropout", "none") in lines(found)


def test_foreign_layers_of_a_block_that_the_reference_lacks_are_told_too() -> None:
    conv = Conv(name="c", kernels=256, size=3, padding=Padding.same(1), groups=2)
    reading = replaced("relu4", ReLU(name="relu4"), conv, Foreign(name="g", kind="GELU"))

    assert lines(compare(reading, PAPER)) == [
        ("depth", "after conv4", "6 convolutions", "5 convolutions"),
        ("foreign", "g", "GELU", "none"),
    ]


OF_SILENCE: dict[Facet, tuple[Network, str]] = {
    "init": (at("conv1 fc6", init=0.5, init_bias=3.0)(PAPER), "init"),
    "dropout": (at("drop6", rate=0.1)(PAPER), "dropout-rate"),
    "dropout-scaling": (at("drop6 drop7", scaling=DropoutScaling.IN_TRAINING)(PAPER), "dropout-scaling"),
    "preprocessing": (whole(preprocessing="none")(PAPER), "preprocessing"),
}


def test_every_silence_has_its_case() -> None:
    assert set(OF_SILENCE) == set(FACETS)


@pytest.mark.parametrize("silent", FACETS)
def test_what_a_source_is_silent_about_is_no_departure(silent: Facet) -> None:
    network, facet = OF_SILENCE[silent]

    assert facet in [one.facet for one in compare(of_network(network), PAPER)]
    assert compare(of_network(network, silent=[silent]), PAPER) == []


def test_of_a_source_silent_about_scaling_the_rate_is_compared() -> None:
    network = at("drop6 drop7", rate=0.2, scaling=DropoutScaling.IN_TRAINING)(PAPER)

    assert [one.facet for one in compare(of_network(network, silent=["dropout-scaling"]), PAPER)] == ["dropout-rate"]


def test_how_a_network_is_trained_is_not_compared() -> None:
    recipe = replace(PAPER.recipe, batch_size=1, learning_rate=9.0)

    assert compare(of_network(replace(PAPER, recipe=recipe)), PAPER) == []


def test_numbers_that_passed_through_float32_are_equal() -> None:
    network = at("norm1 norm2", alpha=float.fromhex("0x1.a36e2e0000000p-14"))(PAPER)  # 1e-4 as float32 has it

    assert network.layers[2] != PAPER.layers[2]
    assert compare(of_network(network), PAPER) == []


@pytest.mark.parametrize(
    "network",
    [
        at("pool1", padding=Padding(bottom=1, right=1))(PAPER),  # (55 + 1 - 3) / 2 is not whole either way
        at("conv1", padding=Padding(bottom=6, right=6))(PAPER),  # 3 give 55, 7 would give 56
    ],
)
def test_padding_that_no_window_reaches_is_no_departure(network: Network) -> None:
    assert compare(of_network(network), PAPER) == []


def test_dropout_before_or_behind_a_relu_is_the_same_function_and_no_departure() -> None:
    layers = list(PAPER.layers)
    i = [layer.name for layer in layers].index("relu6")
    layers[i], layers[i + 1] = layers[i + 1], layers[i]

    assert compare(replace(of_network(PAPER), layers=tuple(layers)), PAPER) == []


def test_dropout_before_a_pooling_layer_is_another_order() -> None:
    """Dropping what is pooled is not dropping the pooled."""
    one = after("relu5", Dropout(name="drop5", rate=0.5))(PAPER)
    other = after("pool5", Dropout(name="drop5", rate=0.5))(PAPER)

    assert lines(compare(of_network(one), other)) == [
        ("order", "conv5", "ReLU, Dropout, pool", "ReLU, pool, Dropout"),
    ]


def test_a_convolution_missing_in_the_middle_is_found_by_what_is_alike() -> None:
    """VGG's habit of small kernels early on: the stem is the odd one, not all that follows."""
    stem = Conv(name="stem", kernels=32, size=3, padding=Padding.same(1))
    reading = read(stem, *PAPER.layers)

    found = compare(reading, PAPER)

    assert ("depth", "after input", "6 convolutions", "5 convolutions") in lines(found)
    assert {one.facet for one in found} <= {"depth", "input"}


@pytest.mark.parametrize(
    "layers",
    [
        (Conv(name="c", kernels=7, size=11, groups=2), Dense(name="f", units=3)),
        (Conv(name="c", kernels=0, size=0, stride=0, groups=0),),
        (MaxPool(name="p", size=9, stride=0), MaxPool(name="q", size=99, stride=1)),
        (Dense(name="f", units=1000), Conv(name="c", kernels=96, size=11, stride=4)),
        (LRN(name="n", size=4, alpha=math.nan, beta=math.inf, k=-1.0), ReLU(name="r")),
        (
            Conv(name="c", kernels=10**40, size=3),
            LRN(name="n", size=5, alpha=1e300, beta=1e300, k=1e-300),
            Dense(name="f", units=10**30),
        ),
        (Foreign(name="x", kind=""), Foreign(name="y", kind="Pool", output_shape=(7,))),
        (),
    ],
)
def test_what_does_not_fit_together_is_compared_as_far_as_it_goes(layers: tuple[Layer, ...]) -> None:
    found = compare(read(*layers), PAPER)

    assert "depth" in [one.facet for one in found]
    assert all(one.alone is not None or one.obstacle for one in found)


def test_a_departure_that_cannot_stand_alone_says_which_layer_is_in_the_way() -> None:
    (found,) = compare(of_network(at("norm1", size=4)(PAPER)), PAPER)

    assert found.facet == "lrn-size"
    assert found.alone is None
    assert "window size 4 must be odd" in found.obstacle


@pytest.mark.parametrize("name", ["conv1", "conv3", "conv5"])
def test_a_convolution_without_a_class_here_stands_in_the_place_of_one_that_has(name: str) -> None:
    """Dilated, say: neither its block nor the image's padding counts as departed."""
    dilated = Foreign(name=name, kind="Conv2d", detail="dilation=(2, 2)", parameters=1_000_000)
    layers = tuple(dilated if layer.name == name else layer for layer in PAPER.layers)
    found = compare(replace(of_network(PAPER), layers=layers), PAPER)
    assert [(one.facet, one.place) for one in found] == [("foreign", name)]
    assert "dilation=(2, 2)" in found[0].theirs
    weights = next(row for row in derive.facts(PAPER) if row.layer.name == name).parameter_count
    assert found[0].foreign_parameters == 1_000_000 - weights


def test_a_convolution_without_a_class_here_counts_as_one() -> None:
    extra = Foreign(name="conv6", kind="Conv2d", detail="dilation=(2, 2)", parameters=1_000_000)
    place = next(i for i, layer in enumerate(PAPER.layers) if layer.name == "relu5") + 1
    layers = (*PAPER.layers[:place], extra, *PAPER.layers[place:])
    found = compare(replace(of_network(PAPER), layers=layers), PAPER)
    assert "depth" in {one.facet for one in found}
    assert next(one for one in found if one.facet == "depth").theirs == "6 convolutions"
