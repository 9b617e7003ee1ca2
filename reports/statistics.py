"""A positive figure and the interval it lies in, from blocks that were measured apart.

Times and ratios of times are positive and err by factors, so their logarithms are averaged: the figure is the geometric
mean of the blocks, its interval Student's on the logarithms. It never reaches zero, and a wide one is longer above than
below. One block tells nothing of the spread: then there is a figure and no interval.

References:
    Student, The Probable Error of a Mean, 1908.
    Welch, The Generalization of Student's Problem, 1947 (degrees of freedom of a sum).
    Limpert, Stahel and Abbt, Log-normal Distributions across the Sciences, 2001.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

CONFIDENCE = 0.95
VAGUE = 10.0  # high over low from which on an interval leaves even the order of magnitude open


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the 95 % interval around it; without bounds where a single block, or nothing, is known of it."""

    value: float
    low: float | None = None
    high: float | None = None
    blocks: int | None = None  # measured apart, None where that is not known

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None and self.high is not None

    @property
    def significant(self) -> bool:
        """Of a ratio: whether the interval leaves out 1."""
        return self.low is not None and self.high is not None and not self.low <= 1.0 <= self.high

    @property
    def relative(self) -> float | None:
        """The longer side of the interval as a fraction of the figure."""
        if self.low is None or self.high is None:
            return None
        return max(self.high / self.value - 1.0, 1.0 - self.low / self.value)

    @property
    def vague(self) -> bool:
        """Whether the interval is so wide that the figure tells nothing."""
        return self.low is not None and self.high is not None and self.high >= VAGUE * self.low


@dataclass(frozen=True, slots=True)
class Term:
    """The logarithm of a figure, or a part of one, and how well it is known."""

    value: float
    variance: float  # of `value`
    freedom: float  # degrees of freedom of `variance`

    def scaled(self, factor: float) -> Term:
        """The term times `factor`."""
        return Term(self.value * factor, self.variance * factor**2, self.freedom)


def term(logarithms: Sequence[float]) -> Term | None:
    """Their mean; None where there are fewer than two, which tell nothing of the spread."""
    count = len(logarithms)
    if count < 2:
        return None
    mean = math.fsum(logarithms) / count
    squares = math.fsum((value - mean) ** 2 for value in logarithms)
    return Term(mean, squares / (count - 1) / count, count - 1)


def location(values: Sequence[float]) -> Interval:
    """The geometric mean of at least one positive value, a value per block, with its interval."""
    known = term([math.log(value) for value in values])
    found = interval([known]) if known else Interval(values[0])
    assert found is not None  # a term was given
    return replace(found, blocks=len(values))


def interval(terms: Sequence[Term], value: float | None = None) -> Interval | None:
    """exp of the sum of independent terms with its interval; without bounds where there are no terms.

    `value` is the figure where it is known from elsewhere: the interval is laid around it.
    """
    if not terms:
        return None if value is None else Interval(value)
    centre = _exp(math.fsum(term.value for term in terms)) if value is None else value
    half = student(_freedom(terms)) * math.sqrt(math.fsum(term.variance for term in terms))
    return Interval(centre, centre * _exp(-half), centre * _exp(half))


def student(freedom: float) -> float:
    """The quantile of Student's t that a two-sided interval of CONFIDENCE needs."""
    from scipy.special import stdtrit  # here, because most commands need none; scipy.stats takes four times as long

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def _freedom(terms: Sequence[Term]) -> float:
    """Welch and Satterthwaite's degrees of freedom of a sum."""
    below = math.fsum(term.variance**2 / term.freedom for term in terms)
    if below <= 0:
        return min(term.freedom for term in terms)
    return math.fsum(term.variance for term in terms) ** 2 / below


def _exp(value: float) -> float:
    return math.exp(min(max(value, -700.0), 700.0))  # times no clock can give, from a file somebody wrote
