"""Whether a time that was measured in blocks is stable: whether one may quote it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from reports import statistics
from reports.statistics import Interval

WIDEST_INTERVAL = 0.05  # of the figure
WIDEST_BLOCK_SPREAD = 0.10
FINEST_S = 1e-9  # a clock that shows less shows nothing, and nothing has no logarithm

Blocks = Sequence[Sequence[float]]  # of one process: seconds of the samples, block by block


def step_time(blocks: Blocks) -> Interval:
    """Seconds with their interval, of at least one block of at least one sample each."""
    found = statistics.estimate({1: dict(enumerate(_shown(blocks)))})
    assert found is not None  # every sample is a time now
    return found


def block_spread(blocks: Blocks) -> float:
    """(largest - smallest) / median of the blocks' medians."""
    medians = [median(block) for block in _shown(blocks)]
    return (max(medians) - min(medians)) / median(medians)


def _shown(blocks: Blocks) -> list[list[float]]:
    return [[max(sample, FINEST_S) for sample in block] for block in blocks]


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
