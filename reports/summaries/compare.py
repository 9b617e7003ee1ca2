"""Two speed runs held against each other: setting by setting, what differs around them, and rules on the ratios."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports import statistics
from reports.format import Row, clean, number, positive, text
from reports.statistics import Interval, Processes, Term
from reports.summaries.environments import PROGRAM, Difference, RunTables, differences
from reports.summaries.speed import NAMES, Key, is_emulated, is_measured, latest, samples_by_setting, setting

COLUMNS = (
    "images_per_s", "step_ms", "tflops", "fraction_of_peak", "peak_memory_mb", "joules_per_image", "compile_s",
    "first_step_s",
)  # fmt: skip
HEADER = (  # of the pairs as plain values
    *NAMES, "images_per_s_a", "images_per_s_b", "ratio", "ratio_low", "ratio_high", "verdict",
    *(f"{column}_ratio" for column in COLUMNS[1:]), "stable_a", "stable_b", "emulated", "signature_a", "signature_b",
)  # fmt: skip
JUDGED = ("images_per_s", "step_ms", "tflops")  # one figure with an interval: a rule on it asks for significance
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
RULE = re.compile(r"\s*([A-Za-z_]+)\s*(<=|>=|<|>)\s*([-+0-9.eE]+)\s*")

Broken = Mapping[str, Sequence["Pair"]]  # rule -> the pairs that break it


@dataclass(frozen=True, slots=True)
class Rule:
    """`images_per_s<0.95`: broken where the ratio B/A of a column is so."""

    column: str
    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.column}{self.sign}{self.bound:g}"


@dataclass(frozen=True, slots=True)
class Pair:
    """One setting that both runs measured."""

    a: Row
    b: Row
    speed: Interval  # images/s of B over A
    ratios: Mapping[str, float]  # column -> B over A, where both have it

    @property
    def verdict(self) -> str:
        """`1.11x faster`, `1.05x slower`, `not significant`, `not judged` where there is no interval."""
        if not self.speed.known:
            return "not judged"
        if not self.speed.significant:
            return "not significant"
        value = self.speed.value
        return f"{value:.2f}x faster" if value > 1 else f"{1 / value:.2f}x slower"

    @property
    def emulated(self) -> bool:
        """Whether either run's devices were emulated."""
        return is_emulated(self.a) or is_emulated(self.b)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything `alexbench compare` has to say."""

    a: RunTables
    b: RunTables
    pairs: tuple[Pair, ...]
    mean: Interval | None
    only: Mapping[str, Mapping[Key, tuple[Row, Row | None]]]  # A, B -> what it alone measured, with the other's row
    differences: tuple[Difference, ...]


def compare(a: RunTables, b: RunTables) -> Comparison:
    """Pair the settings of two runs."""
    first, second = ({setting(row): row for row in latest(run.tables["speed"])} for run in (a, b))
    samples = samples_by_setting(a.tables["sample"]), samples_by_setting(b.tables["sample"])
    pairs, terms = [], []
    for key, row in first.items():
        other = second.get(key)
        if other is not None and is_measured(row) and is_measured(other):
            pair, found = _pair(row, other, samples[0].get(key, {}), samples[1].get(key, {}))
            pairs.append(pair)
            terms.append(found)
    return Comparison(
        a=a,
        b=b,
        pairs=tuple(pairs),
        mean=statistics.geometric_mean([pair.speed.value for pair in pairs], terms),
        only={"A": _only(first, second), "B": _only(second, first)},
        differences=tuple(one for one in differences(a, b) if one.group != PROGRAM),
    )


def rows(comparison: Comparison) -> list[dict[str, Any]]:
    """The pairs as plain values; numbers as they are, None where there is none."""
    return [_row(pair) for pair in comparison.pairs]


def parse_rule(given: str) -> Rule:
    """A rule from `COLUMN<NUMBER`. Raises ValueError with what is wrong."""
    found = RULE.fullmatch(given)
    bound = _number(found[3]) if found else None
    if found is None or bound is None:
        raise ValueError(f"{given!r} is not COLUMN<NUMBER, such as 'images_per_s<0.95' (signs: {' '.join(OPERATORS)})")
    if found[1] not in COLUMNS:
        raise ValueError(f"{given!r}: unknown column {found[1]!r}, choose from {', '.join(COLUMNS)}")
    return Rule(found[1], found[2], bound)


def judged(rule: Rule, comparison: Comparison) -> bool:
    """Whether any pair has what the rule asks about."""
    return any(rule.column in pair.ratios for pair in comparison.pairs)


def broken(rule: Rule, comparison: Comparison) -> list[Pair]:
    """The pairs that break the rule; a difference of speed that may be chance breaks none.

    Where a pair has no samples nothing says that it is chance, and the ratio alone decides.
    """
    found = []
    for pair in comparison.pairs:
        value = pair.ratios.get(rule.column)
        certain = rule.column not in JUDGED or pair.speed.significant or not pair.speed.known
        if value is not None and certain and OPERATORS[rule.sign](value, rule.bound):
            found.append(pair)
    return found


def _pair(a: Row, b: Row, of_a: Processes, of_b: Processes) -> tuple[Pair, list[Term]]:
    terms = statistics.apart(of_a, of_b)
    speed = statistics.interval(terms, float(b["images_per_s"]) / float(a["images_per_s"]))
    assert speed is not None  # a value was given
    ratios = {}
    for column in COLUMNS:
        first, second = positive(a, column), positive(b, column)
        if first is not None and second is not None:
            ratios[column] = second / first
    return Pair(a, b, speed, ratios), terms


def _only(mine: Mapping[Key, Row], other: Mapping[Key, Row]) -> dict[Key, tuple[Row, Row | None]]:
    return {
        key: (row, other.get(key))
        for key, row in mine.items()
        if is_measured(row) and not (key in other and is_measured(other[key]))
    }


def _row(pair: Pair) -> dict[str, Any]:
    row: dict[str, Any] = {name: _value(pair.a, name) for name in NAMES}
    row |= {"images_per_s_a": number(pair.a, "images_per_s"), "images_per_s_b": number(pair.b, "images_per_s")}
    row |= {"ratio": pair.speed.value, "ratio_low": pair.speed.low, "ratio_high": pair.speed.high}
    row |= {"verdict": pair.verdict}
    row |= {f"{column}_ratio": pair.ratios.get(column) for column in COLUMNS[1:]}
    row |= {"stable_a": text(pair.a, "stable") or None, "stable_b": text(pair.b, "stable") or None}
    row |= {"emulated": "yes" if pair.emulated else "no"}
    return row | {"signature_a": _value(pair.a, "signature"), "signature_b": _value(pair.b, "signature")}


def _value(row: Row, name: str) -> Any:
    value = row.get(name)
    return clean(value) if isinstance(value, str) else value


def _number(given: str) -> float | None:
    try:
        value = float(given)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
