"""A time measured in blocks, how well it is known, and whether it is stable.

Samples within a block share what the machine was doing then, so a block counts once, as its median; what is made of
the blocks' medians stands in `reports.statistics`, which every other figure with an interval uses too.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from reports.statistics import Interval, location

WIDEST_INTERVAL = 0.05  # of the figure
WIDEST_BLOCK_SPREAD = 0.10
FINEST_S = 1e-9  # a clock that shows less shows nothing, and nothing has no logarithm

Blocks = Sequence[Sequence[float]]  # seconds of the samples, block by block


def estimate(blocks: Blocks) -> Interval:
    """Seconds with their interval, of at least one block of at least one sample each."""
    return location([max(median(block), FINEST_S) for block in blocks])


def block_spread(blocks: Blocks) -> float:
    """(largest - smallest) / median of the blocks' medians."""
    medians = [max(median(block), FINEST_S) for block in blocks]
    return (max(medians) - min(medians)) / median(medians)


def instability(found: Interval, spread: float) -> str:
    """Why a step time whose blocks are spread so is not stable; empty where it is."""
    if found.low is None or found.high is None:
        return "one block has no interval"
    low, high = found.low / found.value, found.high / found.value
    if high - low >= 1:
        return f"interval from {low:.2g} to {high:.2g} times the step time"
    if high - low > WIDEST_INTERVAL:
        return f"interval {high - low:.0%} of the step time"
    if spread > WIDEST_BLOCK_SPREAD:
        return f"blocks {spread:.0%} apart"
    return ""
