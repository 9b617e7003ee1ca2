"""Learning rates, factors and ends of training, epoch by epoch."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.training import schedule
from harness.training.schedule import State
from impls import catalog, derive
from impls.spec import Change, Network, Recipe

PAPER = catalog.get("paper")
ORIGINAL = catalog.get("original-2012")
ERRORS = st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=60)


def states(recipe: Recipe, errors: list[float | None]) -> list[State]:
    """The states before each epoch, until training ends or the errors do."""
    found = [State()]
    for error in errors:
        if found[-1].ended:
            break
        found.append(schedule.after_epoch(recipe, found[-1], error))
    return found


def factors(network: Network, epoch: int) -> dict[str, float]:
    rule = schedule.rule(network, tuple(derive.parameter_shapes(network)), State(epoch=epoch))
    return dict(rule.factors)


def test_the_original_source_drops_its_rate_at_its_epochs() -> None:
    epochs = (0, 22, 23, 50, 51, 77, 78, 92)
    rates = [schedule.learning_rate(ORIGINAL.recipe, State(epoch=epoch)) for epoch in epochs]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_the_original_source_ends_after_its_last_epoch() -> None:
    found = states(ORIGINAL.recipe, [0.5] * 200)
    assert found[-1].ended and found[-1].epoch == 93
    assert not found[-2].ended


def test_the_paper_drops_three_times_where_the_error_stays_and_then_ends() -> None:
    recipe = replace(PAPER.recipe, patience=4, epochs=90)
    found = states(recipe, [0.9, 0.8, *[0.8] * 50])
    assert found[-1].ended and found[-1].epoch == 2 + 4 * 4
    rates = [schedule.learning_rate(recipe, state) for state in found[:-1]]
    assert rates == pytest.approx([1e-2] * 6 + [1e-3] * 4 + [1e-4] * 4 + [1e-5] * 4)


def test_an_error_that_falls_each_epoch_drops_nothing() -> None:
    found = states(PAPER.recipe, [0.9 - 0.005 * epoch for epoch in range(90)])
    assert [state.drops for state in found] == [0] * 91
    assert found[-1].ended and found[-1].best_epoch == 90


def test_a_drop_starts_the_waiting_anew_but_forgets_no_best_error() -> None:
    recipe = replace(PAPER.recipe, patience=2)
    found = states(recipe, [0.5, 0.6, 0.6, 0.55, 0.49, 0.6])
    assert [state.waited for state in found] == [0, 0, 1, 0, 1, 0, 1]
    assert [state.drops for state in found] == [0, 0, 0, 1, 1, 1, 1]
    assert found[-1].best_error == 0.49 and found[-1].best_epoch == 5


def test_changes_set_the_rate_of_biases_and_layers_from_their_epoch_on() -> None:
    assert factors(ORIGINAL, 0) == {name: 2.0 for name in derive.parameter_shapes(ORIGINAL) if name.endswith("/bias")}
    assert factors(ORIGINAL, 23) == {}
    assert factors(ORIGINAL, 68) == pytest.approx({"conv1/weight": 0.1, "conv1/bias": 0.1})
    assert factors(ORIGINAL, 72) == {"conv1/weight": 0.0, "conv1/bias": 0.0}


def test_a_layers_bias_has_both_factors() -> None:
    changes = (Change(epoch=2, layer_factors=(("fc8", 0.5),)), Change(epoch=1, bias_factor=4.0))
    network = replace(PAPER, recipe=replace(PAPER.recipe, changes=changes))
    assert factors(network, 2)["fc8/bias"] == 2.0
    assert factors(network, 2)["fc8/weight"] == 0.5
    assert factors(network, 1)["fc8/bias"] == 4.0


def test_another_length_moves_drops_and_changes_in_proportion() -> None:
    short = schedule.of_length(ORIGINAL.recipe, 31)
    assert short.epochs == 31
    assert short.drop_epochs == (8, 17, 26)
    assert [change.epoch for change in short.changes] == [0, 8, 23, 24]


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_short_training_begins_as_the_whole_one_does(epochs: int) -> None:
    network = replace(ORIGINAL, recipe=schedule.of_length(ORIGINAL.recipe, epochs))
    assert schedule.learning_rate(network.recipe, State()) == 0.01
    assert factors(network, 0) == factors(ORIGINAL, 0)


def test_its_own_length_changes_nothing() -> None:
    assert schedule.of_length(ORIGINAL.recipe, 93) == ORIGINAL.recipe


@pytest.mark.parametrize("error", [float("nan"), -0.1, 1.5])
def test_an_error_that_is_no_share_is_refused(error: float) -> None:
    with pytest.raises(ValueError, match="share of 1"):
        schedule.after_epoch(PAPER.recipe, State(), error)


@given(ERRORS, st.integers(1, 6), st.integers(0, 4), st.integers(1, 40))
def test_the_rate_never_rises_and_training_ends(
    errors: list[float | None], patience: int, drops: int, epochs: int
) -> None:
    recipe = Recipe(patience=patience, drops=drops, epochs=epochs)
    found = states(recipe, [*errors, *[1.0] * epochs])
    rates = [schedule.learning_rate(recipe, state) for state in found]
    assert rates == sorted(rates, reverse=True)
    assert found[-1].ended and found[-1].epoch <= epochs
    assert all(state.drops <= drops for state in found)


@given(ERRORS, st.integers(0, 59))
def test_a_state_that_went_through_json_takes_the_same_decisions(errors: list[float | None], cut: int) -> None:
    recipe = Recipe(patience=2, drops=3, epochs=50)
    unbroken = states(recipe, errors)
    cut = min(cut, len(unbroken) - 1)
    state = State(**json.loads(json.dumps(asdict(unbroken[cut]))))
    for expected, error in zip(unbroken[cut + 1 :], errors[cut:], strict=False):
        state = schedule.after_epoch(recipe, state, error)
        assert state == expected


@given(st.integers(1, 300), st.lists(st.integers(1, 92), max_size=5, unique=True).map(sorted))
def test_scaled_epochs_keep_their_order_and_stay_within(epochs: int, drop_epochs: list[int]) -> None:
    found = schedule.of_length(Recipe(epochs=93, drop_epochs=tuple(drop_epochs)), epochs)
    assert list(found.drop_epochs) == sorted(found.drop_epochs)
    assert all(1 <= epoch <= epochs for epoch in found.drop_epochs)
