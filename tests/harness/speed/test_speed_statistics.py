"""The interval holds the true median as often as it says, also where blocks differ; the verdict on stability."""

from __future__ import annotations

import numpy as np
import pytest

from harness.speed.statistics import T_QUANTILES, Estimate, estimate, instability, stretching
from harness.speed.steady import is_steady, spread

TRUE_MEDIAN = 1.0


def measured(rng: np.random.Generator, blocks: int, samples: int, between: float, within: float) -> list[list[float]]:
    """Blocks with an offset of their own around TRUE_MEDIAN."""
    offsets = rng.normal(0, between, blocks)
    return [list(TRUE_MEDIAN + offset + rng.normal(0, within, samples)) for offset in offsets]


def coverage(blocks: int, samples: int, between: float, within: float, runs: int = 120) -> float:
    rng = np.random.default_rng(11)
    held = 0
    for seed in range(runs):
        found = estimate(measured(rng, blocks, samples, between, within), seed)
        held += found.low <= TRUE_MEDIAN <= found.high
    return held / runs


@pytest.mark.parametrize(
    ("blocks", "samples", "between", "within"),
    [(15, 10, 0.0, 0.02), (15, 10, 0.03, 0.01), (6, 10, 0.03, 0.01), (6, 1, 0.0, 0.02), (3, 3, 0.02, 0.02)],
    ids=["equal blocks", "blocks with an offset", "six such blocks", "one sample each", "three blocks"],
)
def test_the_interval_holds_the_true_median(blocks: int, samples: int, between: float, within: float) -> None:
    assert coverage(blocks, samples, between, within) >= 0.88


def test_the_interval_is_not_so_wide_that_it_says_nothing() -> None:
    found = estimate(measured(np.random.default_rng(3), 15, 20, 0.01, 0.01))
    assert found.high - found.low < 0.05


def test_ignoring_blocks_would_have_been_too_narrow() -> None:
    given = measured(np.random.default_rng(5), 15, 50, 0.03, 0.001)
    pooled = estimate([[sample] for block in given for sample in block])
    found = estimate(given)
    assert found.high - found.low > 2 * (pooled.high - pooled.low)


def test_the_median_is_that_of_all_samples_and_lies_in_its_interval() -> None:
    found = estimate([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 90.0]])
    assert found.median == 5.0
    assert found.low <= 5.0 <= found.high
    assert found.block_spread == pytest.approx((8 - 2) / 5)


def test_blocks_of_unequal_length_are_taken_as_they_are() -> None:
    found = estimate([[1.0], [1.0, 1.0, 1.0], [1.0, 1.0]])
    assert (found.median, found.low, found.high) == (1.0, 1.0, 1.0)


def test_the_same_samples_and_seed_give_the_same_interval() -> None:
    given = measured(np.random.default_rng(7), 6, 5, 0.02, 0.02)
    assert estimate(given, 1) == estimate(given, 1)
    assert estimate(given, 1) != estimate(given, 2)


def test_a_single_sample_has_no_interval_to_speak_of() -> None:
    assert estimate([[2.0]]) == Estimate(2.0, 2.0, 2.0, 0.0)


def test_few_blocks_stretch_the_interval_more() -> None:
    factors = [stretching(count) for count in range(2, 30)]
    assert factors == sorted(factors, reverse=True)
    assert stretching(1) == 1.0
    assert stretching(2) == pytest.approx(T_QUANTILES[0] / 1.95996 * 2**0.5)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Estimate(1.0, 0.99, 1.01, 0.02), ""),
        (Estimate(1.0, 0.96, 1.02, 0.02), "interval"),
        (Estimate(1.0, 0.99, 1.01, 0.11), "blocks"),
    ],
)
def test_a_wide_interval_and_blocks_far_apart_are_not_stable(found: Estimate, said: str) -> None:
    assert instability(found).startswith(said)
    assert bool(instability(found)) == bool(said)


def test_two_measurements_of_the_same_thing_overlap() -> None:
    rng = np.random.default_rng(13)
    overlaps = 0
    for seed in range(60):
        a, b = (estimate(measured(rng, 15, 5, 0.01, 0.01), seed) for _ in range(2))
        overlaps += a.low <= b.high and b.low <= a.high
    assert overlaps >= 57


def test_steady_is_when_the_last_windows_agree() -> None:
    falling = [5.0, 2.0, 1.2, 1.01, 1.0, 1.0]
    assert not is_steady(falling[:3], 3, 0.03)
    assert not is_steady(falling[:5], 3, 0.03)
    assert is_steady(falling, 3, 0.03)
    assert not is_steady([1.0, 1.0], 3, 0.03)
    assert spread([1.0, 1.1, 0.9]) == pytest.approx(0.2)
