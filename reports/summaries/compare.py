"""Two speed runs held against each other: setting by setting, what differs around them, and rules on the ratios."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports import statistics
from reports.format import Row, clean, positive, text
from reports.statistics import Interval, Processes, Term
from reports.summaries.environments import differences
from reports.summaries.speed import STATUSES, Key, is_emulated, is_measured, latest, samples_by_setting, setting

COLUMNS = (
    "images_per_s", "step_ms", "tflops", "fraction_of_peak", "peak_memory_mb", "joules_per_image", "compile_s",
    "first_step_s",
)  # fmt: skip
JUDGED = ("images_per_s", "step_ms", "tflops")  # one figure with an interval: a rule on it asks for significance
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
RULE = re.compile(r"\s*([A-Za-z_]+)\s*(<=|>=|<|>)\s*([-+0-9.eE]+)\s*")


@dataclass(frozen=True, slots=True)
class Run:
    """What one run folder holds: its name, `run.json`, rows of `speed` and `sample`."""

    name: str
    facts: Mapping[str, Any]
    speed: Sequence[Row]
    samples: Sequence[Row]


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

    key: Key
    a: Row
    b: Row
    speed: Interval  # images/s of B over A
    ratios: Mapping[str, float]  # column -> B over A, where both have it

    @property
    def name(self) -> str:
        """The setting in words."""
        return setting_name(self.a)

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
    def doubts(self) -> tuple[str, ...]:
        """Why the pair should be read with care."""
        said = [f"not stable in {run}" for run, row in (("A", self.a), ("B", self.b)) if text(row, "stable") == "no"]
        said += ["emulated devices"] if is_emulated(self.a) or is_emulated(self.b) else []
        said += ["fewer than two blocks: no interval"] if not self.speed.known else []
        return tuple(said)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything `alexbench compare` has to say."""

    a: str
    b: str
    pairs: tuple[Pair, ...]
    mean: Interval | None
    only: Mapping[str, tuple[str, ...]]  # "A", "B" -> settings that only this run measured, with the other's reason
    warnings: tuple[str, ...]


def compare(a: Run, b: Run) -> Comparison:
    """Pair the settings of two runs."""
    first, second = ({setting(row): row for row in latest(run.speed)} for run in (a, b))
    samples = samples_by_setting(a.samples), samples_by_setting(b.samples)
    pairs, terms = [], []
    for key, row in first.items():
        other = second.get(key)
        if other is not None and is_measured(row) and is_measured(other):
            pair, found = _pair(key, row, other, samples)
            pairs.append(pair)
            terms.append(found)
    return Comparison(
        a=a.name,
        b=b.name,
        pairs=tuple(pairs),
        mean=statistics.geometric_mean([pair.speed.value for pair in pairs], terms),
        only={"A": _only(first, second), "B": _only(second, first)},
        warnings=tuple(_unfinished(a, b) + differences(a.facts, b.facts, a.speed, b.speed)),
    )


def setting_parts(row: Row) -> list[str]:
    """A setting in words, what goes without saying left out: who, network, device, precision, phase, split, batch."""
    parts = [" ".join(filter(None, [text(row, "framework"), text(row, "tuning")]))]
    parts += [text(row, name) for name in ("network", "device", "precision", "phase")]
    if text(row, "devices") not in ("", "1") or text(row, "split") not in ("", "none"):
        parts.append(f"{text(row, 'split')} x{text(row, 'devices')}")
    parts += [f"batch {text(row, 'batch_size')}"] if text(row, "batch_size") else []
    parts += [f"{text(row, 'input')} input"] if text(row, "input") not in ("", "synthetic") else []
    return [part for part in parts if part]


def setting_name(row: Row) -> str:
    """`torch tuned, paper, cpu, float32, train-step, batch 32`."""
    return ", ".join(setting_parts(row))


def parse_rule(given: str) -> Rule:
    """A rule from `COLUMN<NUMBER`. Raises ValueError with what is wrong."""
    found = RULE.fullmatch(given)
    number = _number(found[3]) if found else None
    if found is None or number is None:
        raise ValueError(f"{given!r} is not COLUMN<NUMBER, such as 'images_per_s<0.95' (signs: {' '.join(OPERATORS)})")
    if found[1] not in COLUMNS:
        raise ValueError(f"{given!r}: unknown column {found[1]!r}, choose from {', '.join(COLUMNS)}")
    return Rule(found[1], found[2], number)


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


def _pair(
    key: Key, a: Row, b: Row, samples: tuple[Mapping[Key, Processes], Mapping[Key, Processes]]
) -> tuple[Pair, list[Term]]:
    terms = statistics.apart(samples[0].get(key, {}), samples[1].get(key, {}))
    speed = statistics.interval(terms, float(b["images_per_s"]) / float(a["images_per_s"]))
    assert speed is not None  # a value was given
    ratios = {}
    for column in COLUMNS:
        first, second = positive(a, column), positive(b, column)
        if first is not None and second is not None:
            ratios[column] = second / first
    return Pair(key, a, b, speed, ratios), terms


def _only(mine: Mapping[Key, Row], other: Mapping[Key, Row]) -> tuple[str, ...]:
    told = []
    for key, row in mine.items():
        if is_measured(row) and not (key in other and is_measured(other[key])):
            told.append(setting_name(row) + (f" ({_why(other[key])} in the other)" if key in other else ""))
    return tuple(told)


def _why(row: Row) -> str:
    status = text(row, "status")
    return STATUSES.get(status, status or "no figure")


def _unfinished(*runs: Run) -> list[str]:
    return [
        f"{clean(run.name)} was not finished (status {clean(str(run.facts.get('status')))})"
        for run in runs
        if run.facts.get("status") != "complete"
    ]


def _number(given: str) -> float | None:
    try:
        value = float(given)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
