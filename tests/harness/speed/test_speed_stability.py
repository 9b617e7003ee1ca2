"""The interval holds the true median as often as it says, also where blocks differ; the verdict on stability."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.speed.layers import difference, remainder
from harness.speed.stability import block_spread, instability, step_time
from harness.speed.steady import is_steady, spread
from reports.statistics import Interval

TRUE_MEDIAN = 1.0


def measured(rng: np.random.Generator, blocks: int, samples: int, between: float, within: float) -> list[list[float]]:
    """Blocks with an offset of their own around TRUE_MEDIAN."""
    offsets = rng.normal(0, between, blocks)
    return [list(TRUE_MEDIAN + offset + rng.normal(0, within, samples)) for offset in offsets]


def coverage(blocks: int, samples: int, between: float, within: float, runs: int = 400) -> float:
    rng = np.random.default_rng(11)
    found = [step_time(measured(rng, blocks, samples, between, within)) for _ in range(runs)]
    return sum(ends(one)[0] <= TRUE_MEDIAN <= ends(one)[1] for one in found) / runs


def ends(found: Interval) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


@pytest.mark.parametrize(
    ("blocks", "samples", "between", "within"),
    [(15, 10, 0.0, 0.02), (15, 10, 0.03, 0.01), (6, 10, 0.03, 0.01), (6, 1, 0.0, 0.02), (3, 3, 0.02, 0.02)],
    ids=["equal blocks", "blocks with an offset", "six such blocks", "one sample each", "three blocks"],
)
def test_the_interval_holds_the_true_median(blocks: int, samples: int, between: float, within: float) -> None:
    assert coverage(blocks, samples, between, within) >= 0.92


def test_the_interval_is_not_so_wide_that_it_says_nothing() -> None:
    low, high = ends(step_time(measured(np.random.default_rng(3), 15, 20, 0.01, 0.01)))
    assert high - low < 0.05


def test_ignoring_blocks_would_have_been_too_narrow() -> None:
    given = measured(np.random.default_rng(5), 15, 50, 0.03, 0.001)
    pooled = ends(step_time([[sample] for block in given for sample in block]))
    found = ends(step_time(given))
    assert found[1] - found[0] > 2 * (pooled[1] - pooled[0])


def test_the_interval_is_students_on_the_logarithms_of_the_blocks_medians() -> None:
    """Medians 1, 2 and 4: the mean of the logarithms is ln 2, their deviation ln 2, t at 2 degrees 4.302653."""
    found = step_time([[0.1, 1.0, 9.0], [2.0], [4.0, 4.0]])
    low, high = ends(found)
    factor = math.exp(4.302653 * math.log(2) / math.sqrt(3))
    assert found.value == pytest.approx(2.0)
    assert (low, high) == (pytest.approx(2 / factor), pytest.approx(2 * factor))
    assert found.blocks == 3
    assert block_spread([[0.1, 1.0, 9.0], [2.0], [4.0, 4.0]]) == pytest.approx(1.5)


@pytest.mark.parametrize("blocks", [2, 3, 6])
def test_an_interval_never_reaches_zero_however_wide(blocks: int) -> None:
    """Around a mean, two or three blocks this far apart would give a lower end below zero."""
    low, high = ends(step_time([[10.0 ** (3 * place)] for place in range(blocks)]))
    assert 0 < low < high < math.inf


def test_blocks_of_unequal_length_are_taken_as_they_are() -> None:
    found = step_time([[1.0], [1.0, 1.0, 1.0], [1.0, 1.0]])
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("block", [[2.0], [1.9, 2.0, 2.1]])
def test_one_block_has_no_interval_and_is_not_called_stable(block: list[float]) -> None:
    found = step_time([block])
    assert found == Interval(2.0, None, None, 1)
    assert instability(found, block_spread([block])) == "one block has no interval"


def test_a_time_that_a_clock_cannot_show_is_not_zero() -> None:
    assert step_time([[0.0], [0.0]]).value > 0


@pytest.mark.parametrize(
    ("found", "apart", "said"),
    [
        (Interval(1.0, 0.99, 1.01), 0.02, ""),
        (Interval(1.0, 0.975, 1.024), 0.02, ""),
        (Interval(1.0, 0.96, 1.02), 0.02, "interval 6% of the step time"),
        (Interval(2.0, 0.04, 100.0), 0.02, "interval from 0.02 to 50 times the step time"),
        (Interval(1.0, 0.99, 1.01), 0.11, "blocks 11% apart"),
    ],
)
def test_a_wide_interval_and_blocks_far_apart_are_not_stable(found: Interval, apart: float, said: str) -> None:
    assert instability(found, apart) == said


def test_two_measurements_of_the_same_thing_overlap() -> None:
    rng = np.random.default_rng(13)
    overlaps = 0
    for _ in range(60):
        (low, high), (other_low, other_high) = (ends(step_time(measured(rng, 15, 5, 0.01, 0.01))) for _ in range(2))
        overlaps += low <= other_high and other_low <= high
    assert overlaps >= 57


def test_a_backward_pass_is_the_difference_round_by_round() -> None:
    """Round two was ten times as slow: both passes were, and their difference is what varies with it."""
    found = difference([[3.0], [30.0]], [[1.0], [10.0]])
    low, _ = ends(found)
    assert found.value == pytest.approx(math.sqrt(2 * 20))
    assert 0 < low < found.value


def test_a_backward_pass_that_a_round_does_not_show_has_no_interval() -> None:
    assert difference([[3.0], [1.0]], [[1.0], [1.1]]) == Interval(pytest.approx(0.95), None, None, 2)
    assert difference([[1.0], [1.0]], [[1.1], [1.1]]) == Interval(0.0, None, None, 2)


def test_what_the_layers_leave_of_a_step_is_known_as_well_as_all_of_them() -> None:
    """10 ± 3 less 4 ± 4: 6, and 5 to either side; the upper end of a part lowers what is left."""
    assert remainder(Interval(10, 7, 13), [Interval(4, 0, 8)]) == Interval(6, 1, 11)
    assert remainder(Interval(10, 10, 10), [Interval(4, 3, 9)]) == Interval(6, 1, 7)
    assert remainder(Interval(10, 7, 13), [Interval(12, 12, 12)]) == Interval(-2, -5, 1)
    assert remainder(Interval(10, 7, 13), [Interval(4)]) == Interval(6)
    assert remainder(Interval(10), [Interval(4, 3, 5)]) == Interval(6)


def test_steady_is_when_the_last_windows_agree() -> None:
    falling = [5.0, 2.0, 1.2, 1.01, 1.0, 1.0]
    assert not is_steady(falling[:3], 3, 0.03)
    assert not is_steady(falling[:5], 3, 0.03)
    assert is_steady(falling, 3, 0.03)
    assert not is_steady([1.0, 1.0], 3, 0.03)
    assert spread([1.0, 1.1, 0.9]) == pytest.approx(0.2)
