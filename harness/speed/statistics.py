"""The median of a figure measured in blocks, and how well it is known.

Samples within a block share what the machine was doing then, so blocks are resampled first and then the samples in
them (a two-stage bootstrap). With few blocks a percentile interval is too narrow: its half-widths are stretched by the
ratio of Student's t to the normal quantile, and by sqrt(n / (n - 1)), as for a mean.

References:
    Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8 (hierarchical data).
    Hesterberg, What teachers should know about the bootstrap, 2015, section 4.3 (narrowness bias, expanded percentile).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.95996
# Student's t at 97.5 %, by degrees of freedom
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)

WIDEST_INTERVAL = 0.05  # of the median
WIDEST_BLOCK_SPREAD = 0.10


class Estimate(NamedTuple):
    """A median with its interval, in the unit of the samples, and how far the blocks lie apart."""

    median: float
    low: float
    high: float
    block_spread: float  # (largest - smallest) / median of the block medians


def estimate(blocks: Sequence[Sequence[float]], seed: int = 0) -> Estimate:
    """Of at least one block of at least one sample each."""
    table = _table(blocks)
    medians = np.nanmedian(table, axis=1)
    median = float(np.nanmedian(table))
    spread = float(medians.max() - medians.min()) / median if median else 0.0
    if len(blocks) == 1 and len(blocks[0]) == 1:
        return Estimate(median, median, median, spread)
    drawn = _resampled_medians(table, np.random.default_rng([seed, len(blocks)]))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    stretch = stretching(len(blocks))
    return Estimate(
        median,
        max(0.0, median - stretch * max(0.0, median - float(low))),
        median + stretch * max(0.0, float(high) - median),
        spread,
    )


def stretching(blocks: int) -> float:
    """By how much a percentile interval of so many blocks is too narrow; 1 where a single block tells nothing."""
    if blocks < 2:
        return 1.0
    quantile = T_QUANTILES[min(blocks - 1, len(T_QUANTILES)) - 1]
    return quantile / NORMAL_QUANTILE * math.sqrt(blocks / (blocks - 1))


def instability(found: Estimate) -> str:
    """Why the figure is not stable; empty where it is."""
    width = (found.high - found.low) / found.median if found.median else 0.0
    if width > WIDEST_INTERVAL:
        return f"interval {width:.0%} of the median"
    if found.block_spread > WIDEST_BLOCK_SPREAD:
        return f"blocks {found.block_spread:.0%} apart"
    return ""


def _table(blocks: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """[blocks, samples], NaN where a block has fewer."""
    table = np.full((len(blocks), max(len(block) for block in blocks)), np.nan)
    for row, block in zip(table, blocks, strict=True):
        row[: len(block)] = block
    return table


def _resampled_medians(table: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """[RESAMPLES]. A block with fewer samples counts as much as the others."""
    count, width = table.shape
    sizes: NDArray[np.int64] = (~np.isnan(table)).sum(axis=1, dtype=np.int64)
    chosen: NDArray[np.int64] = rng.integers(0, count, size=(RESAMPLES, count))
    within = (rng.random((RESAMPLES, count, width)) * sizes[chosen][..., None]).astype(np.int64)
    drawn = table[chosen[..., None], within].reshape(RESAMPLES, -1)
    found: NDArray[np.float64] = np.median(drawn, axis=1)
    return found
