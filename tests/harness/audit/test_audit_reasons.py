"""The sentences of an audit are true whichever of two networks is the reference."""

from __future__ import annotations

from dataclasses import replace

import pytest
from audit_changed import PAPER, at, without

from harness.audit import costs
from harness.audit.consequence import Judged
from harness.audit.departure import Departure
from harness.audit.departures import compare
from impls import catalog
from impls.derive import parameter_count
from impls.reading import Reading, from_json, of_network, to_json
from impls.spec import Network, Padding


def why(theirs: Network, reference: Network, facet: str, place: str = "") -> str:
    """The reason of the one departure of this facet."""
    (found,) = (
        one for one in compare(of_network(theirs), reference) if one.facet == facet and place in (*one.places, "")
    )
    return found.why


@pytest.mark.parametrize(
    ("theirs", "reference", "says"),
    [
        ("caffe", "paper", "real pixels stand where the reference has zeros"),
        ("paper", "caffe", "zeros stand where the reference has real pixels"),
        ("torchvision", "paper", "zeros stand at other edges"),
        ("note-004", "paper", "its first maps are 62x62, the reference's 55x55"),
        ("paper", "note-004", "its first maps are 55x55, the reference's 62x62"),
    ],
)
def test_the_first_maps_are_told_beside_the_references(theirs: str, reference: str, says: str) -> None:
    assert says in why(catalog.get(theirs), catalog.get(reference), "input")


def test_equal_first_maps_of_other_windows_are_not_said_to_differ_at_the_edges_alone() -> None:
    other = at("conv1", size=9, padding=Padding(bottom=1, right=1))(PAPER)

    assert why(other, PAPER, "input") == "its first maps are 55x55 like the reference's, of other windows"


@pytest.mark.parametrize(
    ("theirs", "reference", "says"),
    [
        ("original-2012", "paper", "the normalisation sees activations before the rectifier"),
        ("paper", "original-2012", "the normalisation sees what the rectifier has left"),
    ],
)
def test_an_order_is_told_from_the_side_of_the_audited(theirs: str, reference: str, says: str) -> None:
    assert says in why(catalog.get(theirs), catalog.get(reference), "order", "conv1")


@pytest.mark.parametrize(
    ("theirs", "reference", "says"),
    [("original-2012", "paper", "the window is cut off"), ("paper", "original-2012", "reaches into the next tower")],
)
def test_towers_are_told_from_the_side_of_the_audited(theirs: str, reference: str, says: str) -> None:
    assert says in why(catalog.get(theirs), catalog.get(reference), "lrn-towers")


def test_a_pool_without_padding_is_not_said_to_round_up() -> None:
    padded = at("pool5", padding=Padding(bottom=1, right=1))(at("pool5", size=4)(PAPER))
    plain = at("pool5", size=4)(PAPER)

    assert "rounded up" in why(padded, plain, "pooling")
    assert "rounded down" in why(plain, padded, "pooling")


def test_a_missing_rectifier_makes_one_of_two_linear_layers_only_where_nothing_else_is_between() -> None:
    assert why(without("relu3")(PAPER), PAPER, "activation") == "without it two linear layers in a row are one"
    assert why(without("relu6")(PAPER), PAPER, "activation") == "without it two linear layers in a row are one"
    assert why(without("relu1")(PAPER), PAPER, "activation") == "negative values are passed on"


def biasless(*names: str) -> Reading:
    return replace(of_network(PAPER), layers=tuple(replace(one, source="") for one in PAPER.layers), biasless=names)


def test_layers_without_biases_are_one_departure_that_no_weights_fit() -> None:
    (found,) = compare(biasless("conv3", "fc6"), PAPER)

    assert isinstance(found, Departure)
    assert (found.facet, found.places, found.theirs) == ("bias", ("conv3", "fc6"), "none")
    assert found.foreign_parameters == -(384 + 4096)
    assert Judged(found, None, None, found.obstacle).consequence == "other shapes"


def test_what_has_no_bias_has_none_that_could_start_elsewhere() -> None:
    read = replace(biasless("conv2"), layers=tuple(at("conv2", init_bias=0.0)(PAPER).layers))
    read = replace(read, layers=tuple(replace(one, source="") for one in read.layers))

    assert [one.facet for one in compare(read, PAPER)] == ["bias"]


def test_missing_biases_are_not_counted_and_survive_json() -> None:
    read = biasless("conv3", "fc6")

    assert from_json(to_json(read)) == read
    assert costs.of_reading(read).parameters == parameter_count(PAPER) - 384 - 4096
