"""An interval of 95 % holds the truth about 95 times of 100, with few blocks too."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reports import statistics
from reports.statistics import Blocks, Interval, Processes, apart, paired

TRIALS = 300
PROCESS_TRIALS = 1000


def blocks(random: np.random.Generator, true_ms: float, count: int, drift: np.ndarray | None = None) -> Processes:
    """Blocks that lie 3 % apart, their samples 2 %; `drift` is shared by whoever ran in the same rounds."""
    between = random.normal(0, 0.03, count) if drift is None else drift
    return one({n: list(true_ms * np.exp(between[n] + random.normal(0, 0.02, 9))) for n in range(count)})


def one(blocks: Blocks) -> Processes:
    """What a single process measured."""
    return {1: blocks}


def started(random: np.random.Generator, true_ms: float, count: int, between: float = 0.04) -> Processes:
    """Processes that lie so far apart, their three blocks 1 %, samples 2 %."""
    return {
        process: {
            block: list(true_ms * np.exp(offset + random.normal(0, 0.01) + random.normal(0, 0.02, 5)))
            for block in range(3)
        }
        for process, offset in enumerate(random.normal(0, between, count), start=1)
    }


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
        found.append(statistics.geometric_mean(values, terms))
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
    assert apart({}, one({0: [1.0, 2.0]})) == []
    found = statistics.interval([], 2.0)
    assert found == Interval(2.0)
    assert not found.known and not found.significant and found.relative is None
    assert statistics.interval([]) is None
    assert statistics.geometric_mean([], []) is None
    assert statistics.geometric_mean([2.0, 8.0], [[], []]) == Interval(4.0)


def test_a_single_block_tells_nothing_of_chance() -> None:
    assert apart(one({0: [1.0, 1.1, 0.9]}), one({0: [2.0, 2.1, 1.9]})) == []
    assert paired(one({0: [1.0, 1.1, 0.9]}), one({0: [2.0, 2.1, 1.9]})) == []


def test_a_paired_ratio_is_students_on_the_logarithms_of_each_blocks_ratio() -> None:
    """Ratios 1, 2 and 4: t at 2 degrees is 4.302653, the deviation ln 2."""
    found = statistics.interval(paired(one({0: [1.0], 1: [4.0], 2: [16.0]}), one({0: [1.0], 1: [2.0], 2: [4.0]})))
    factor = math.exp(4.302653 * math.log(2) / math.sqrt(3))
    assert found is not None
    assert (found.value, found.low, found.high) == (
        pytest.approx(2.0), pytest.approx(2 / factor), pytest.approx(2 * factor),
    )  # fmt: skip


def test_blocks_far_apart_give_an_interval_that_is_positive_and_says_that_it_tells_nothing() -> None:
    found = statistics.interval(paired(one({0: [1.0], 1: [9.0], 2: [70.0]}), one({0: [1.0], 1: [1.0], 2: [1.0]})))
    assert found is not None
    assert found.low is not None
    assert 0 < found.low < 1 < found.value
    assert found.vague
    assert not found.significant


@pytest.mark.parametrize("odd", [math.nan, math.inf, 0.0, -1.0])
def test_samples_that_no_clock_can_give_are_left_out(odd: float) -> None:
    assert statistics.members(one({0: [2.0, odd], 1: [odd], 2: [4.0]})) == {(1, 0): 2.0, (1, 2): 4.0}
    assert statistics.members({1: {0: [odd]}, 2: {5: [4.0]}, 3: {}}) == {(2, 5): 4.0}
    assert statistics.estimate(one({0: [odd]})) is None


def test_blocks_of_other_rounds_are_not_paired() -> None:
    random = np.random.default_rng(3)
    over, under = blocks(random, 2.0, 6), one({number + 100: ms for number, ms in blocks(random, 1.0, 6)[1].items()})
    assert len(paired(over, under)) == 2
    assert len(paired(over, blocks(random, 1.0, 6))) == 1


@pytest.mark.parametrize(
    ("freedom", "table"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (99, 1.98422), (1e6, 1.95997)],
)
def test_students_t_is_that_of_the_tables(freedom: float, table: float) -> None:
    assert statistics.student(freedom) == pytest.approx(table, rel=2e-6)


def test_where_there_are_several_processes_each_counts_once() -> None:
    """A process is the geometric mean of its blocks' medians, however many it has."""
    given = {1: {0: [1.0, 1.0, 50.0], 1: [4.0]}, 2: {0: [8.0]}, 3: {0: [2.0] * 9, 1: [8.0], 2: [32.0]}}
    assert statistics.members(given) == pytest.approx({(1,): 2.0, (2,): 8.0, (3,): 8.0})
    found = statistics.estimate(given)
    assert found is not None
    assert found.value == pytest.approx(2 ** (7 / 3))
    assert found.blocks == 3


def test_the_interval_over_processes_is_covered_where_they_differ() -> None:
    """Of twenty intervals nineteen hold the truth; those of the blocks of all processes would hold it less often."""
    random = np.random.default_rng(17)
    given = [started(random, 40.0, 5) for _ in range(PROCESS_TRIALS)]
    assert 0.93 <= coverage([statistics.estimate(processes) for processes in given], 40.0) <= 0.97
    pooled = [
        one(dict(enumerate(block for blocks in processes.values() for block in blocks.values()))) for processes in given
    ]
    assert coverage([statistics.estimate(processes) for processes in pooled], 40.0) < 0.85


def test_the_ratio_of_runs_of_several_processes_is_covered() -> None:
    random = np.random.default_rng(19)
    given = [(started(random, 50.0, 5), started(random, 40.0, 4, between=0.02)) for _ in range(PROCESS_TRIALS)]
    assert 0.93 <= coverage([statistics.interval(apart(*two)) for two in given], 1.25) <= 0.97


def test_processes_that_ran_side_by_side_are_paired_and_none_with_a_block() -> None:
    random = np.random.default_rng(23)
    first, second = started(random, 50.0, 5), started(random, 40.0, 5)
    assert len(paired(first, second)) == 1
    assert len(paired(first, {number + 10: blocks for number, blocks in second.items()})) == 2
    assert [term.freedom for term in paired(first, one({n: [40.0 + n] for n in range(1, 6)}))] == [4, 4]
    found = statistics.interval(paired(first, {number: {0: [1.0]} for number in first}))
    alone = statistics.estimate(first)
    assert found is not None and alone is not None
    assert (found.value, found.low) == (pytest.approx(alone.value), pytest.approx(alone.low))


@pytest.mark.parametrize("count", [2, 3, 5, 10, 16, 17, 40])
def test_the_interval_of_a_mean_is_students(count: int) -> None:
    values = np.random.default_rng(count).normal(0.01, 0.02, count)
    found = statistics.mean(values.tolist())
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == (pytest.approx(low, abs=2e-5), pytest.approx(high, abs=2e-5))


def test_one_value_has_no_interval_and_shows_nothing() -> None:
    assert statistics.mean([0.25]) == Interval(0.25, blocks=1)
    assert not statistics.mean([0.25]).excludes(0.0)


def test_a_value_that_is_no_number_is_not_averaged_away() -> None:
    found = statistics.mean([0.1, math.nan])
    assert math.isnan(found.value)
    assert not found.known and not found.excludes(0.0)


def test_a_difference_is_shown_where_the_interval_leaves_out_zero() -> None:
    assert statistics.mean([0.011, 0.012, 0.010]).excludes(0.0)
    assert statistics.mean([-0.011, -0.012, -0.010]).excludes(0.0)
    assert not statistics.mean([0.011, -0.012, 0.010]).excludes(0.0)


@pytest.mark.parametrize(("first", "second"), [(3, 3), (3, 9), (12, 5)])
def test_a_sum_is_welchs_and_so_is_how_often_chance_gives_it(first: int, second: int) -> None:
    random = np.random.default_rng(first)
    one_side, other = random.normal(1.0, 0.3, first), random.normal(0.6, 0.1, second)
    under = statistics.term(other.tolist())
    over = statistics.term(one_side.tolist())
    assert over is not None and under is not None
    terms = [over, under.scaled(-1.0)]
    known = stats.ttest_ind(one_side, other, equal_var=False)
    ends = known.confidence_interval(0.95)
    found = statistics.total(terms)
    assert found.value == pytest.approx(one_side.mean() - other.mean())
    assert (found.low, found.high) == (pytest.approx(ends.low), pytest.approx(ends.high))
    alike = stats.ttest_ind(one_side, other)
    assert statistics.chance(one_side.tolist(), other.tolist()) == pytest.approx(max(known.pvalue, alike.pvalue))


def test_what_does_not_vary_is_by_chance_either_never_or_always() -> None:
    assert statistics.chance([1.0, 1.0, 1.0], [1.5, 1.5]) == 0.0
    assert statistics.chance([1.0, 1.0, 1.0], [1.0, 1.0]) == 1.0


def test_what_a_clock_says_alike_is_held_to_vary_nevertheless() -> None:
    assert statistics.chance([1.0] * 3, [1.001] * 3, 0.001) > 0.2
    assert statistics.chance([1.0] * 3, [1.5] * 3, 0.001) < 1e-6
    wide = [1.0, 1.2, 0.9], [1.5, 1.1, 1.4]
    assert statistics.chance(*wide, 0.001) == statistics.chance(*wide)


def test_an_interval_around_zero_is_as_wide_as_can_be() -> None:
    assert Interval(0.0, 0.0, 1.0).relative == math.inf
    assert Interval(0.0, 0.0, 0.0).relative == 0.0
