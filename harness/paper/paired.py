"""A mean of differences between pairs, with Student's interval: pairs are trainings from one seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from reports import statistics


class Difference(NamedTuple):
    """A mean with its 95 % interval, which is missing where a single pair tells nothing of the spread."""

    mean: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def difference(values: Sequence[float]) -> Difference:
    """Of one difference per pair, at least one. Not finite ones are not averaged away: the mean is as they make it."""
    count = len(values)
    mean = math.fsum(values) / count if all(map(math.isfinite, values)) else math.nan
    if count < 2 or math.isnan(mean):
        return Difference(mean, None, None, count)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = statistics.student(count - 1) * spread / math.sqrt(count)
    return Difference(mean, mean - half, mean + half, count)


def told(found: Difference, unit: float = 100.0, name: str = "points") -> str:
    """`+1.3 ± 0.9 points, n = 5 seeds`."""
    seeds = f"n = {found.pairs} seed{'s' * (found.pairs != 1)}"
    if found.low is None or found.high is None:
        return f"{found.mean * unit:+.2f} {name}, {seeds}"
    return f"{found.mean * unit:+.2f} ± {(found.high - found.low) / 2 * unit:.2f} {name}, {seeds}"
