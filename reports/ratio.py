"""How much faster: ratios of step times with an interval, from the blocks in which the samples were taken.

Steps within a block resemble each other more than steps of different blocks (clocks, neighbours, where memory lies), so
a block counts once: as the logarithm of its median.
"""

from __future__ import annotations

import math
import statistics as standard
from collections.abc import Iterable, Mapping, Sequence

from reports import statistics
from reports.statistics import Interval, Term

Blocks = Mapping[int, Sequence[float]]  # block number -> milliseconds per step of its samples

MOST_UNPAIRED = 0.2  # of the blocks of either setting


def paired(over: Blocks, under: Blocks) -> list[Term]:
    """log(over) - log(under) for two settings of one run, block by block where they share block numbers.

    Blocks of one number were taken in one round: what slowed the machine then slowed both, and cancels.
    """
    first, second = block_medians(over), block_medians(under)
    common = [number for number in first if number in second]
    if 2 <= len(common) >= (1 - MOST_UNPAIRED) * max(len(first), len(second)):
        known = statistics.term([first[number] - second[number] for number in common])
        return [known] if known else []
    return apart(over, under)


def apart(over: Blocks, under: Blocks) -> list[Term]:
    """log(over) - log(under) for settings that share no rounds; empty where either has fewer than two blocks."""
    first, second = (statistics.term(list(block_medians(blocks).values())) for blocks in (over, under))
    return [first, second.scaled(-1.0)] if first and second else []


def block_medians(blocks: Blocks) -> dict[int, float]:
    """Block -> log of its median, of those blocks that have a time."""
    cleaned = {number: [v for v in values if math.isfinite(v) and v > 0] for number, values in blocks.items()}
    return {number: math.log(standard.median(values)) for number, values in sorted(cleaned.items()) if values}


def geometric_mean(ratios: Sequence[float], terms: Iterable[Sequence[Term]]) -> Interval | None:
    """The geometric mean of ratios, `terms` those of each; without an interval where one of them has none."""
    if not ratios:
        return None
    value = math.exp(math.fsum(math.log(ratio) for ratio in ratios) / len(ratios))
    groups = list(terms)
    if not all(groups):
        return Interval(value)
    return statistics.interval([term.scaled(1 / len(ratios)) for group in groups for term in group], value)
