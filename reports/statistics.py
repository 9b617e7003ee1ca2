"""What is known of a figure from what was measured apart: a mean, and the 95 % interval it lies in.

What was measured lies in samples, these in blocks, these in processes. Samples of a block resemble each other more than
those of different blocks (clocks, neighbours), blocks of a process more than those of different ones (where memory
lies). So the uppermost of these levels that has two members is what is averaged, and each of its members counts once:
the processes, or the blocks of the only process. A block stands for its samples by their median.

Times and ratios of times are positive and err by factors, so their logarithms are averaged: the figure is the geometric
mean, its interval Student's on the logarithms. It never reaches zero, and a wide one is longer above than below.
Differences of errors are averaged as they are. One member tells nothing of the spread: then there is a figure and no
interval.

References:
    Student, The Probable Error of a Mean, 1908.
    Welch, The Generalization of Student's Problem, 1947 (degrees of freedom of a sum).
    Limpert, Stahel and Abbt, Log-normal Distributions across the Sciences, 2001.
    Kalibera and Jones, Rigorous Benchmarking in Reasonable Time, 2013 (levels of repetition).
"""

from __future__ import annotations

import math
import statistics as standard
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

CONFIDENCE = 0.95
VAGUE = 10.0  # high over low from which on an interval leaves even the order of magnitude open
MAX_UNPAIRED = 0.2  # of the members of either side, up to which the others are paired

Blocks = Mapping[int, Sequence[float]]  # number of a block -> its samples
Processes = Mapping[int, Blocks]  # number of a process -> its blocks
Member = tuple[int, ...]  # number of a process, or of a process and its block


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the 95 % interval around it; without bounds where a single member, or nothing, is known of it."""

    value: float
    low: float | None = None
    high: float | None = None
    blocks: int | None = None  # members that were averaged: blocks, processes, seeds; None where that is not known

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None and self.high is not None

    @property
    def significant(self) -> bool:
        """Of a ratio: whether the interval leaves out 1."""
        return self.excludes(1.0)

    def excludes(self, value: float) -> bool:
        """Whether there is an interval that leaves out the value."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high

    @property
    def relative(self) -> float | None:
        """The longer side of the interval as a fraction of the figure."""
        if self.low is None or self.high is None:
            return None
        if self.value == 0:
            return 0.0 if self.low == self.high == 0 else math.inf
        return max(self.high / self.value - 1.0, 1.0 - self.low / self.value)

    @property
    def vague(self) -> bool:
        """Whether the interval is so wide that the figure tells nothing."""
        return self.low is not None and self.high is not None and self.high >= VAGUE * self.low


@dataclass(frozen=True, slots=True)
class Term:
    """A mean, or a part of a sum, and how well it is known."""

    value: float
    variance: float  # of `value`
    freedom: float  # degrees of freedom of `variance`

    def scaled(self, factor: float) -> Term:
        """The term times `factor`."""
        return Term(self.value * factor, self.variance * factor**2, self.freedom)


def term(values: Sequence[float]) -> Term | None:
    """Their mean; None where there are fewer than two, which tell nothing of the spread."""
    count = len(values)
    if count < 2:
        return None
    centre = math.fsum(values) / count
    squares = math.fsum((value - centre) ** 2 for value in values)
    return Term(centre, squares / (count - 1) / count, count - 1)


# --- what is positive: times and their ratios -------------------------------------------------------------------------


def members(processes: Processes) -> dict[Member, float]:
    """The figure of each member of the uppermost level that has two: the processes, or the blocks of the only one.

    A process's figure is the geometric mean of its blocks. What no clock can give is left out: samples that are not
    above 0, and blocks and processes without any other.
    """
    blocks: dict[Member, float] = {
        (number, place): standard.median(times)
        for number, given in sorted(processes.items())
        for place, samples in sorted(given.items())
        if (times := [one for one in samples if math.isfinite(one) and one > 0])
    }
    by_process: dict[Member, list[float]] = {}
    for member, value in blocks.items():
        by_process.setdefault(member[:1], []).append(value)
    return blocks if len(by_process) < 2 else {one: location(values).value for one, values in by_process.items()}


def estimate(processes: Processes) -> Interval | None:
    """A time with its interval; None where no sample is one."""
    found = members(processes)
    return location(list(found.values())) if found else None


def location(values: Sequence[float]) -> Interval:
    """The geometric mean of at least one positive value, a value per member, with its interval."""
    known = term([math.log(value) for value in values])
    found = interval([known]) if known else Interval(values[0])
    assert found is not None  # a term was given
    return replace(found, blocks=len(values))


def paired(over: Processes, under: Processes) -> list[Term]:
    """log(over) - log(under) for two settings of one run, member by member where they share numbers.

    Blocks of one number were taken in one round, processes of one number side by side: what slowed the machine then
    slowed both, and cancels.
    """
    first, second = members(over), members(under)
    common = [member for member in first if member in second]
    if 2 <= len(common) >= (1 - MAX_UNPAIRED) * max(len(first), len(second)):
        known = term([math.log(first[member]) - math.log(second[member]) for member in common])
        return [known] if known else []
    return apart(over, under)


def apart(over: Processes, under: Processes) -> list[Term]:
    """log(over) - log(under) for settings that share no rounds; empty where either has fewer than two members."""
    first, second = (term([math.log(value) for value in members(one).values()]) for one in (over, under))
    return [first, second.scaled(-1.0)] if first and second else []


def geometric_mean(ratios: Sequence[float], terms: Iterable[Sequence[Term]]) -> Interval | None:
    """The geometric mean of ratios, `terms` those of each; without an interval where one of them has none."""
    if not ratios:
        return None
    value = math.exp(math.fsum(math.log(ratio) for ratio in ratios) / len(ratios))
    groups = list(terms)
    if not all(groups):
        return Interval(value)
    return interval([part.scaled(1 / len(ratios)) for group in groups for part in group], value)


def interval(terms: Sequence[Term], value: float | None = None) -> Interval | None:
    """exp of the sum of independent terms with its interval; without bounds where there are no terms.

    `value` is the figure where it is known from elsewhere: the interval is laid around it.
    """
    if not terms:
        return None if value is None else Interval(value)
    centre = _exp(math.fsum(part.value for part in terms)) if value is None else value
    half = _half(terms)
    return Interval(centre, centre * _exp(-half), centre * _exp(half))


def _exp(value: float) -> float:
    return math.exp(min(max(value, -700.0), 700.0))  # times no clock can give, from a file somebody wrote


# --- what may be of either sign: differences --------------------------------------------------------------------------


def mean(values: Sequence[float]) -> Interval:
    """The mean of at least one value, a value per member. Not finite ones are not averaged away: it is NaN then."""
    count = len(values)
    if not all(map(math.isfinite, values)):
        return Interval(math.nan, blocks=count)
    known = term(values)
    return replace(total([known]), blocks=count) if known else Interval(values[0], blocks=count)


def total(terms: Sequence[Term]) -> Interval:
    """The sum of at least one independent term with its interval."""
    value, half = math.fsum(part.value for part in terms), _half(terms)
    return Interval(value, value - half, value + half)


# --- Student's t ------------------------------------------------------------------------------------------------------


def chance(first: Sequence[float], second: Sequence[float], least: float = 0.0) -> float:
    """How often chance alone takes the means of two groups of at least two values this far apart.

    The larger of what Welch's test says and of what Student's says, which takes both for equally spread. Where groups
    are small, the first is too often sure of one that happens to lie close, the second of one that holds an outlier.
    `least` is the standard deviation that either group has at least: values that are rounded alike may not vary at all.
    """
    one, other = _spread(first, least), _spread(second, least)
    freedom = one.freedom + other.freedom
    squares = sum(part.variance * part.freedom * (part.freedom + 1) for part in (one, other))
    pooled = squares / freedom * sum(1 / (part.freedom + 1) for part in (one, other))
    difference = other.value - one.value
    alike = _tail(Term(difference, pooled, freedom))
    return max(alike, _tail(Term(difference, one.variance + other.variance, _freedom([one, other]))))


def _spread(values: Sequence[float], least: float) -> Term:
    known = term(values)
    assert known is not None
    return replace(known, variance=max(known.variance, least**2 / len(values)))


def _tail(found: Term) -> float:
    """How often Student's t lies as far from 0 on either side as a mean that is 0 in truth."""
    from scipy.special import stdtr

    if found.variance == 0:
        return 1.0 if found.value == 0 else 0.0
    return 2 * float(stdtr(found.freedom, -abs(found.value) / math.sqrt(found.variance)))


def student(freedom: float) -> float:
    """The quantile of Student's t that a two-sided interval of CONFIDENCE needs."""
    from scipy.special import stdtrit  # here, because most commands need none; scipy.stats takes four times as long

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def _half(terms: Sequence[Term]) -> float:
    """Half the interval around the terms' sum."""
    return student(_freedom(terms)) * math.sqrt(math.fsum(part.variance for part in terms))


def _freedom(terms: Sequence[Term]) -> float:
    """Welch and Satterthwaite's degrees of freedom of a sum."""
    below = math.fsum(part.variance**2 / part.freedom for part in terms)
    if below <= 0:
        return min(part.freedom for part in terms)
    return math.fsum(part.variance for part in terms) ** 2 / below
