"""One hyper-parameter of the paper's network changed at a time: named once, in its place, with both values."""

from __future__ import annotations

import pytest
from audit_changed import CASES, PAPER, Case
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.audit.departure import together
from harness.audit.departures import compare
from impls import derive
from impls.derive import InvalidNetwork
from impls.reading import of_network


def test_there_are_at_least_thirty_changes() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_change_is_one_departure_with_its_facet_its_place_and_both_values(case: Case) -> None:
    (found,) = compare(of_network(case.network), PAPER)

    assert (found.facet, found.place, found.theirs, found.reference) == (
        case.facet, case.place, case.theirs, case.reference,
    )  # fmt: skip
    assert case.says in found.why


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_changed_reference_is_told_from_the_paper_by_the_same_facet(case: Case) -> None:
    found = compare(of_network(PAPER), case.network)

    assert [one.facet for one in found] == [case.facet]
    assert (found[0].theirs, found[0].reference) == (case.reference, case.theirs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_reference_with_the_departure_alone_is_the_changed_network(case: Case) -> None:
    (found,) = compare(of_network(case.network), PAPER)

    assert found.alone is not None
    assert len(derive.parameter_shapes(found.alone)) == len(derive.parameter_shapes(case.network))
    assert derive.parameter_count(found.alone) == derive.parameter_count(case.network)
    assert derive.multiply_adds(found.alone) == derive.multiply_adds(case.network)
    assert compare(of_network(case.network), found.alone) == []


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.lists(st.sampled_from(CASES), min_size=2, max_size=4, unique_by=lambda case: case.name))
def test_of_several_changes_the_departures_together_give_the_network_again(cases: list[Case]) -> None:
    network = PAPER
    try:
        for case in cases:
            network = case.change(network)
        derive.facts(network)
    except (InvalidNetwork, ValueError):  # two changes that cannot be had at once
        return

    found = compare(of_network(network), PAPER)
    made = together(found)(PAPER)

    assert compare(of_network(network), made) == []
    assert derive.parameter_count(made) == derive.parameter_count(network)
