"""Draws: the same numbers for ever, fair, and functions of seed, name and step alone."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import draws

COUNT = 100_000

PERMUTATION = [0, 2, 3, 5, 4, 1, 6, 7]
INTEGERS = [12, 28, 31, 4, 31, 22, 1, 9]
BITS = [0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0, 1]
NORMALS = [-0.06434792280197144, -0.19625850021839142, -0.15550200641155243]
MASKS = ["79598f5055f8119a", "95abe21713957966"]


def chi_square(counts: np.ndarray, expected: float) -> float:
    return float(((counts - expected) ** 2 / expected).sum())


def limit(cells: int) -> float:
    """The quantile of chi-square with cells - 1 degrees of freedom that chance exceeds once in a thousand draws."""
    freedom = cells - 1
    return freedom * (1 - 2 / (9 * freedom) + 3.09 * math.sqrt(2 / (9 * freedom))) ** 3  # Wilson and Hilferty


@given(count=st.integers(0, 500), step=st.integers(0, 2**40))
def test_a_permutation_holds_every_index_once(count: int, step: int) -> None:
    assert sorted(draws.permutation(3, "order", step, count)) == list(range(count))


def test_every_order_of_four_is_equally_likely() -> None:
    orders = [tuple(draws.permutation(0, "order", step, 4)) for step in range(12_000)]
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24
    assert chi_square(counts, 500) < limit(24)


@pytest.mark.parametrize("below", [1, 2, 33, 1000])
def test_integers_are_uniform(below: int) -> None:
    found = draws.integers(1, "top", 5, COUNT, below)
    counts = np.bincount(found, minlength=below)
    assert len(counts) == below
    assert below == 1 or chi_square(counts, COUNT / below) < limit(below)


def test_integers_skip_the_words_that_would_favour_some() -> None:
    """Of 3 * 2**30 every fourth word falls away; those kept are uniform, where the plain high half would not be."""
    below = 3 << 30
    found = draws.integers(0, "x", 0, COUNT, below)
    assert found.min() >= 0 and found.max() < below
    # Without skipping, one value in three would come from two words and be twice as likely: those with remainder 0.
    assert chi_square(np.bincount(found % 3, minlength=3), COUNT / 3) < limit(3)


@given(few=st.integers(0, 300), more=st.integers(0, 300), below=st.integers(1, 2**32))
def test_the_first_integers_do_not_depend_on_how_many_are_drawn(few: int, more: int, below: int) -> None:
    longer = draws.integers(0, "x", 0, few + more, below)
    assert np.array_equal(draws.integers(0, "x", 0, few, below), longer[:few])


def test_no_word_is_lost_where_words_are_skipped() -> None:
    below = 3 << 30  # every fourth word is skipped, so most draws go on after their first round
    longer = draws.integers(0, "x", 0, 200, below)
    assert all(np.array_equal(draws.integers(0, "x", 0, count, below), longer[:count]) for count in range(60))


@pytest.mark.parametrize("below", [0, -1, 2**32 + 1])
def test_an_impossible_range_is_refused(below: int) -> None:
    with pytest.raises(ValueError, match=f"below = {below}"):
        draws.integers(0, "x", 0, 1, below)


@pytest.mark.parametrize(("seed", "step"), [(-1, 0), (0, -1)])
def test_negative_seeds_and_steps_are_refused(seed: int, step: int) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        draws.bits(seed, "x", step, 1)


def test_bits_are_fair_and_follow_each_other_independently() -> None:
    found = draws.bits(0, "flip", 0, COUNT)
    assert found.dtype == np.uint8 and set(found.tolist()) == {0, 1}
    pairs = np.bincount(2 * found[0::2] + found[1::2], minlength=4)
    assert chi_square(pairs, COUNT / 8) < limit(4)


def test_normals_have_mean_zero_and_variance_one() -> None:
    found = draws.normals(0, "colour", 0, COUNT).astype(np.float64)
    assert abs(found.mean()) < 4 / math.sqrt(COUNT)
    assert abs(found.var() - 1) < 4 * math.sqrt(2 / COUNT)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.5, 0.75, 1.0])
def test_a_mask_drops_at_its_rate(rate: float) -> None:
    found = draws.mask(0, "dropout/drop6", 0, (100, 10, 100), rate)
    assert found.dtype == np.float32 and found.shape == (100, 10, 100)
    assert set(np.unique(found)) <= {0.0, 1.0}
    assert abs((found == 0).mean() - rate) <= 4 * math.sqrt(rate * (1 - rate) / COUNT)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="dropout rate"):
        draws.mask(0, "x", 0, (2,), rate)


@pytest.mark.parametrize("other", [(1, "x", 0), (0, "y", 0), (0, "x", 1)])
def test_another_seed_name_or_step_is_another_draw(other: tuple[int, str, int]) -> None:
    here, there = draws.bits(0, "x", 0, COUNT), draws.bits(*other, COUNT)
    assert abs((here == there).mean() - 0.5) < 2 / math.sqrt(COUNT)


def test_draws_are_those_they_have_always_been() -> None:
    assert draws.permutation(7, "order", 2, 8).tolist() == PERMUTATION
    assert draws.integers(7, "top", 2, 8, 33).tolist() == INTEGERS
    assert draws.bits(7, "flip", 2, 16).tolist() == BITS
    assert draws.normals(7, "colour", 2, 3).tolist() == NORMALS
    masks = [draws.mask(7, "dropout/drop6", 2, (128, 64), rate) for rate in (0.5, 0.3)]
    assert [hashlib.sha256(mask.astype("<f4").tobytes()).hexdigest()[:16] for mask in masks] == MASKS
