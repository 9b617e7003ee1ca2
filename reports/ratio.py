"""How much faster: ratios of step times with an interval, from the blocks in which the samples were taken.

Steps within a block resemble each other more than steps of different blocks (clocks, neighbours, where memory lies), so
blocks are what is resampled: a block is its median, on a log scale. A plain percentile interval of few blocks is too
short; each bootstrap distribution is therefore widened by sqrt(n / (n - 1)) and by Student's t over the normal's.

References:
    Hesterberg, What Teachers Should Know about the Bootstrap, 2015, section 4.2 (narrowness bias, t adjustment).
    Welch, The Generalization of Student's Problem, 1947 (degrees of freedom of a sum).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Blocks = Mapping[int, Sequence[float]]  # block number -> milliseconds per step of its samples

DRAWS = 4000
SEED = 2012  # the same rows give the same interval, digit for digit
NORMAL = 1.959964
LEVELS = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio and the 95 % interval around it; without bounds where there was nothing to resample."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None and self.high is not None

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 1."""
        return self.low is not None and self.high is not None and not self.low <= 1.0 <= self.high

    @property
    def relative(self) -> float | None:
        """The longer side of the interval as a fraction of the ratio."""
        if self.low is None or self.high is None:
            return None
        return max(self.high / self.value - 1.0, 1.0 - self.low / self.value)


@dataclass(frozen=True, slots=True)
class Term:
    """The logarithm of a step time, or of a ratio of two, known from `blocks` blocks."""

    value: float
    draws: Floats  # [DRAWS] deviations of resampled means from `value`
    blocks: int

    def scaled(self, factor: float) -> Term:
        """The term times `factor`."""
        return Term(self.value * factor, self.draws * factor, self.blocks)


class Resampler:
    """Draws terms one after another from one random stream, so that different terms are independent."""

    def __init__(self, seed: int = SEED) -> None:
        self._random = np.random.default_rng(seed)

    def single(self, blocks: Blocks) -> Term | None:
        """The log of a setting's time; None where fewer than two blocks (or two samples of one) were measured."""
        medians = block_medians(blocks)
        return self._term(np.array(list(medians.values())))

    def paired(self, over: Blocks, under: Blocks) -> list[Term]:
        """log(over) - log(under) for two settings of one run, block by block where they share block numbers.

        Blocks of one number were taken in one round: what slowed the machine then slowed both, and cancels.
        """
        first, second = block_medians(over), block_medians(under)
        common = [number for number in first if number in second]
        if 2 <= len(common) >= 0.8 * max(len(first), len(second)):
            term = self._term(np.array([first[number] - second[number] for number in common]))
            return [term] if term else []
        return self.apart(over, under)

    def apart(self, over: Blocks, under: Blocks) -> list[Term]:
        """log(over) - log(under) for settings that share no rounds; empty where either has too few samples."""
        first, second = self.single(over), self.single(under)
        return [first, second.scaled(-1.0)] if first and second else []

    def _term(self, values: Floats) -> Term | None:
        if len(values) < 2:
            return None
        chosen = self._random.integers(0, len(values), (DRAWS, len(values)))
        mean = float(values.mean())
        return Term(mean, values[chosen].mean(axis=1) - mean, len(values))


def block_medians(blocks: Blocks) -> dict[int, float]:
    """Block -> log of its median. Of a single block the samples stand for blocks: all that is known of its spread."""
    cleaned = {number: [v for v in values if math.isfinite(v) and v > 0] for number, values in blocks.items()}
    filled = {number: values for number, values in cleaned.items() if values}
    if len(filled) == 1:
        [values] = filled.values()
        return {place: math.log(value) for place, value in enumerate(values)}
    return {number: math.log(float(np.median(values))) for number, values in sorted(filled.items())}


def interval(terms: Sequence[Term], value: float | None = None) -> Interval | None:
    """exp of the sum of independent terms with its interval; None without terms.

    `value` is the ratio where it is known from elsewhere (of medians over all samples, say): the interval is laid
    around it.
    """
    if not terms:
        return None if value is None else Interval(value)
    centre = _exp(sum(term.value for term in terms)) if value is None else value
    widened = [term.draws * math.sqrt(term.blocks / (term.blocks - 1)) for term in terms]
    total = np.sum(widened, axis=0) * student(_freedom(terms, widened)) / NORMAL
    low, high = (_exp(float(bound)) for bound in np.quantile(total, LEVELS))
    return Interval(centre, centre * low, centre * high)


def geometric_mean(ratios: Sequence[float], terms: Iterable[Sequence[Term]]) -> Interval | None:
    """The geometric mean of ratios, `terms` those of each; without an interval where one of them has none."""
    if not ratios:
        return None
    value = _exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))
    groups = list(terms)
    if not all(groups):
        return Interval(value)
    return interval([term.scaled(1 / len(ratios)) for group in groups for term in group], value)


def _exp(value: float) -> float:
    return math.exp(min(max(value, -700.0), 700.0))  # times no clock can give, from a file somebody wrote


def _freedom(terms: Sequence[Term], widened: Sequence[Floats]) -> float:
    """Welch and Satterthwaite's degrees of freedom of a sum."""
    variances = [float(draws.var()) for draws in widened]
    below = sum(v**2 / (term.blocks - 1) for v, term in zip(variances, terms, strict=True))
    return sum(variances) ** 2 / below if below > 0 else float(min(term.blocks for term in terms) - 1)


def student(freedom: float) -> float:
    """The 97.5 % point of Student's t, by Cornish and Fisher's expansion, below 3 degrees by interpolation.

    Within 3 % of the tables from 1 degree of freedom on.
    """
    if freedom < 3.0:
        known = (12.706, 4.303, 3.182)
        return float(np.exp(np.interp(1.0 / max(freedom, 1.0), (1 / 3, 1 / 2, 1.0), np.log(known[::-1]))))
    z, v = NORMAL, freedom
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + first / v + second / v**2 + third / v**3 + fourth / v**4
