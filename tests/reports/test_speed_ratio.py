"""An interval of 95 % holds the truth about 95 times of 100, with few blocks too."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reports import ratio, statistics
from reports.ratio import Blocks, apart, paired
from reports.statistics import Interval

TRIALS = 300


def blocks(random: np.random.Generator, true_ms: float, count: int, drift: np.ndarray | None = None) -> Blocks:
    """Blocks that lie 3 % apart, their samples 2 %; `drift` is shared by whoever ran in the same rounds."""
    between = random.normal(0, 0.03, count) if drift is None else drift
    return {number: list(true_ms * np.exp(between[number] + random.normal(0, 0.02, 9))) for number in range(count)}


def coverage(found: list[Interval | None], truth: float) -> float:
    held = [one.low <= truth <= one.high for one in found if one is not None and one.low and one.high]
    assert len(held) == len(found)
    return sum(held) / len(held)


@pytest.mark.parametrize("count", [3, 4, 6, 12])
def test_the_ratio_of_two_runs_is_covered(count: int) -> None:
    random = np.random.default_rng(count)
    found = []
    for _ in range(TRIALS):
        terms = apart(blocks(random, 50.0, count), blocks(random, 40.0, count))
        found.append(statistics.interval(terms))
    assert 0.92 <= coverage(found, 1.25) <= 1.0


@pytest.mark.parametrize("count", [3, 6, 12])
def test_the_paired_ratio_is_covered_and_drift_cancels(count: int) -> None:
    random = np.random.default_rng(count)
    together, alone = [], []
    for _ in range(TRIALS):
        drift = random.normal(0, 0.2, count)  # a machine that is now fast, now slow
        stock, tuned = blocks(random, 50.0, count, drift), blocks(random, 20.0, count, drift)
        together.append(statistics.interval(paired(stock, tuned)))
        alone.append(statistics.interval(apart(stock, tuned)))
    assert 0.91 <= coverage(together, 2.5) <= 0.99
    widths = [float(np.median([one.relative for one in found if one and one.relative])) for found in (together, alone)]
    assert widths[0] < widths[1] / 5


def test_the_geometric_mean_is_covered() -> None:
    random = np.random.default_rng(5)
    truths, found = (1.0, 1.1, 0.9, 1.3), []
    for _ in range(TRIALS):
        terms = [apart(blocks(random, truth, 5), blocks(random, 1.0, 5)) for truth in truths]
        values = [math.exp(sum(term.value for term in group)) for group in terms]
        found.append(ratio.geometric_mean(values, terms))
    assert 0.92 <= coverage(found, math.prod(truths) ** 0.25) <= 0.99


def test_equal_settings_are_rarely_called_different() -> None:
    random = np.random.default_rng(7)
    made = [apart(blocks(random, 50.0, 5), blocks(random, 50.0, 5)) for _ in range(TRIALS)]
    found = [statistics.interval(terms) for terms in made]
    assert sum(one.significant for one in found if one) / TRIALS <= 0.07


def test_the_same_samples_give_the_same_interval() -> None:
    random = np.random.default_rng(1)
    given = blocks(random, 1.0, 5), blocks(random, 2.0, 5)
    assert statistics.interval(apart(*given)) == statistics.interval(apart(*given))


def test_the_interval_lies_around_the_value_it_is_given() -> None:
    random = np.random.default_rng(1)
    terms = apart(blocks(random, 2.0, 8), blocks(random, 1.0, 8))
    found = statistics.interval(terms, 3.0)
    assert found is not None and found.low is not None and found.high is not None
    assert found.value == 3.0
    assert found.low < 3.0 < found.high


def test_without_samples_there_is_a_ratio_and_no_interval() -> None:
    assert apart({}, {0: [1.0, 2.0]}) == []
    found = statistics.interval([], 2.0)
    assert found == Interval(2.0)
    assert not found.known and not found.significant and found.relative is None
    assert statistics.interval([]) is None
    assert ratio.geometric_mean([], []) is None
    assert ratio.geometric_mean([2.0, 8.0], [[], []]) == Interval(4.0)


def test_a_single_block_tells_nothing_of_chance() -> None:
    assert apart({0: [1.0, 1.1, 0.9]}, {0: [2.0, 2.1, 1.9]}) == []
    assert paired({0: [1.0, 1.1, 0.9]}, {0: [2.0, 2.1, 1.9]}) == []


def test_a_paired_ratio_is_students_on_the_logarithms_of_each_blocks_ratio() -> None:
    """Ratios 1, 2 and 4: t at 2 degrees is 4.302653, the deviation ln 2."""
    found = statistics.interval(paired({0: [1.0], 1: [4.0], 2: [16.0]}, {0: [1.0], 1: [2.0], 2: [4.0]}))
    factor = math.exp(4.302653 * math.log(2) / math.sqrt(3))
    assert found is not None
    assert (found.value, found.low, found.high) == (
        pytest.approx(2.0), pytest.approx(2 / factor), pytest.approx(2 * factor),
    )  # fmt: skip


def test_blocks_far_apart_give_an_interval_that_is_positive_and_says_that_it_tells_nothing() -> None:
    found = statistics.interval(paired({0: [1.0], 1: [9.0], 2: [70.0]}, {0: [1.0], 1: [1.0], 2: [1.0]}))
    assert found is not None
    assert found.low is not None
    assert 0 < found.low < 1 < found.value
    assert found.vague
    assert not found.significant


@pytest.mark.parametrize("odd", [math.nan, math.inf, 0.0, -1.0])
def test_samples_that_no_clock_can_give_are_left_out(odd: float) -> None:
    assert ratio.block_medians({0: [2.0, odd], 1: [odd], 2: [4.0]}) == {0: math.log(2.0), 2: math.log(4.0)}


def test_blocks_of_other_rounds_are_not_paired() -> None:
    random = np.random.default_rng(3)
    over, under = blocks(random, 2.0, 6), {number + 100: ms for number, ms in blocks(random, 1.0, 6).items()}
    assert len(paired(over, under)) == 2
    assert len(paired(over, blocks(random, 1.0, 6))) == 1


@pytest.mark.parametrize(
    ("freedom", "table"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (99, 1.98422), (1e6, 1.95997)],
)
def test_students_t_is_that_of_the_tables(freedom: float, table: float) -> None:
    assert statistics.student(freedom) == pytest.approx(table, rel=2e-6)
