"""What the rows of a parity run amount to: a line per level and framework, the failures, one sentence. No rendering."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reports.format import visible

Row = Mapping[str, Any]

# From worst to best: the worst verdict among a group's rows is the group's.
NOT_OBSERVED = "not-observed"
VERDICTS = ("error", "fail", "vacuous", NOT_OBSERVED, "pass")


@dataclass(frozen=True, slots=True)
class Line:
    """One level in one framework, `stock` and `tuned` together."""

    level: str
    framework: str
    checks: int
    gauge_ratio: float | None  # the worst one; NaN is worse than any number; None where no row has one
    baseline_ratio: float | None
    verdict: str
    tunings: tuple[str, ...]  # those the verdict comes from, empty where it comes from all
    coverage: str = ""  # "2 of 21 layers" where a part was returned; what was not turns no verdict

    @property
    def verdict_text(self) -> str:
        """The verdict, the tuning where only one of them is to blame, and of how many layers it is the verdict."""
        said = f"{self.verdict} ({', '.join(self.tunings)})" if self.tunings else self.verdict
        return f"{said} ({self.coverage.rpartition(' ')[0]})" if self.coverage else said  # the column is narrow


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong in one level of one framework and tuning, told by the first row at fault."""

    level: str
    framework: str
    tuning: str
    verdict: str  # fail or error
    layer: str
    reason: str
    cause: str
    rows: int  # how many rows of this group are at fault

    @property
    def name(self) -> str:
        """`torch/tuned`, or the framework alone where no tuning was at work."""
        return f"{self.framework}/{self.tuning}" if self.tuning else self.framework


@dataclass(frozen=True, slots=True)
class Digest:
    """A parity run in short."""

    lines: tuple[Line, ...]
    failures: tuple[Failure, ...]
    counts: dict[str, int]  # verdict -> rows
    sentence: str


def digest(rows: Sequence[Row]) -> Digest:
    """Sum up rows of the `parity` table, in the order in which they were measured."""
    counts = Counter(text(row, "verdict") for row in rows)
    failures = _failures(rows)
    lines = tuple(_line(key[0], key[1], group) for key, group in _groups(rows, "level", "framework").items())
    return Digest(
        lines=lines,
        failures=failures,
        counts={verdict: counts[verdict] for verdict in VERDICTS},
        sentence=_sentence(rows, lines, counts, failures),
    )


def text(row: Row, name: str) -> str:
    """A row's value as text, empty where it is missing; of several lines where it has them."""
    value = row.get(name)
    return "" if value is None else visible(str(value))


def where(row: Row) -> str:
    """The layer a row speaks of; for a single operator its case and tensor; else its tensor, else its case."""
    if text(row, "layer"):
        return text(row, "layer")
    case, tensor = text(row, "case"), text(row, "tensor")
    return ": ".join(filter(None, [case, tensor])) if text(row, "level") == "operator" else tensor or case


def plural(number: int, noun: str) -> str:
    """`1 check`, `2 checks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def ratio_text(ratio: float | None) -> str:
    """Three significant digits; a dash where there is nothing to tell, a bound where no digit tells more."""
    if ratio is None:
        return "-"
    return f"{ratio:.3g}" if not ratio >= 1e6 else "> 1e6"


def worst(values: Sequence[float | None]) -> float | None:
    """The largest, NaN counting as larger than anything; None where nothing was measured."""
    numbers = [value for value in values if value is not None]
    if any(math.isnan(value) for value in numbers):
        return math.nan
    return max(numbers, default=None)


def _groups(rows: Sequence[Row], *names: str) -> dict[tuple[str, ...], list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(text(row, name) for name in names), []).append(row)
    first = {level: place for place, level in reversed(list(enumerate(key[0] for key in groups)))}
    # Levels together and frameworks by name: workers interleave them, and another order every time.
    return dict(sorted(groups.items(), key=lambda item: (first[item[0][0]], *item[0][1:])))


def _line(level: str, framework: str, rows: Sequence[Row]) -> Line:
    observed = [row for row in rows if text(row, "verdict") != NOT_OBSERVED] or rows
    verdict = min((text(row, "verdict") for row in observed), key=_severity)
    guilty = {text(row, "tuning") for row in observed if text(row, "verdict") == verdict}
    everyone = {text(row, "tuning") for row in observed}
    return Line(
        level=level,
        framework=framework,
        checks=len(rows),
        gauge_ratio=worst([row.get("gauge_ratio") for row in rows]),
        baseline_ratio=worst([row.get("baseline_ratio") for row in rows]),
        verdict=verdict,
        tunings=() if guilty == everyone else tuple(sorted(name or "untuned" for name in guilty)),
        coverage=_coverage(level, rows) if verdict == "pass" else "",
    )


def not_returned(rows: Sequence[Row]) -> list[str]:
    """The layers (or tensors) of these rows of which nothing was observed, each once."""
    seen = {where(row) for row in rows if text(row, "verdict") != NOT_OBSERVED}
    return [name for name in dict.fromkeys(where(row) for row in rows) if name not in seen]


def _coverage(level: str, rows: Sequence[Row]) -> str:
    """`2 of 21 layers`: of how many something was returned; of checks where it is no forward pass; empty for all."""
    if level == "forward":
        missing, everything, noun = len(not_returned(rows)), len({where(row) for row in rows}), "layer"
    else:
        missing, everything, noun = sum(text(row, "verdict") == NOT_OBSERVED for row in rows), len(rows), "check"
    return f"{everything - missing} of {plural(everything, noun)}" if missing else ""


def _severity(verdict: str) -> int:
    return VERDICTS.index(verdict) if verdict in VERDICTS else -1  # a verdict nobody knows is no pass


def _failures(rows: Sequence[Row]) -> tuple[Failure, ...]:
    found = []
    for key, group in _groups(rows, "level", "framework", "tuning").items():
        bad = [row for row in group if _severity(text(row, "verdict")) <= _severity("fail")]
        if bad:
            # Where the cause is known it stands on the row at fault; the rows after it fail in its wake.
            first = max(bad, key=lambda row: (text(row, "cause") != "", text(row, "verdict") == "fail"))
            level, framework, tuning = key
            told = (text(first, "verdict"), where(first), text(first, "reason"), text(first, "cause"))
            found.append(Failure(level, framework, tuning, *told, len(bad)))
    return _said_once(found)


def _said_once(failures: Sequence[Failure]) -> tuple[Failure, ...]:
    """Errors of one framework with one reason as one: a worker that died is told of at every level it did not reach."""
    merged: list[Failure] = []
    for failure in failures:
        alike = [
            place
            for place, other in enumerate(merged)
            if (other.verdict, other.framework, other.reason) == ("error", failure.framework, failure.reason)
        ]
        if failure.verdict != "error" or not alike:
            merged.append(failure)
            continue
        other = merged[alike[0]]
        levels = ", ".join(dict.fromkeys([*other.level.split(", "), failure.level]))
        tuning = other.tuning if other.tuning == failure.tuning else ""
        merged[alike[0]] = replace(other, level=levels, tuning=tuning, rows=other.rows + failure.rows)
    return tuple(merged)


def _sentence(
    rows: Sequence[Row], lines: Sequence[Line], counts: Mapping[str, int], failures: Sequence[Failure]
) -> str:
    if not rows:
        return "Nothing was compared."
    failed = [failure for failure in failures if failure.verdict == "fail"]
    if failed:
        first = failed[0]
        at = f"{first.layer} ({first.level}, {first.name})" if first.layer else f"{first.level} ({first.name})"
        return f"Not equal: {counts['fail']} of {plural(len(rows), 'check')} failed, first at {at}."
    unseen = any(line.verdict == NOT_OBSERVED for line in lines)
    if failures or unseen or counts["vacuous"] or not counts["pass"]:
        return f"Not proved: {_shortfall(counts)}; {counts['pass']} of {plural(len(rows), 'check')} passed."
    names = list(dict.fromkeys(text(row, "framework") for row in rows))
    held = f"{plural(counts['pass'], 'check')} passed in {_enumerate(names)}"
    # Of a framework with several levels the forward pass says best what it returned.
    partial = [line for line in sorted(lines, key=lambda line: line.level != "forward") if line.coverage]
    if not partial:
        return f"Equal: {'all ' if len(rows) > 1 else ''}{held}."
    if len(names) == 1:
        return f"Equal in the {partial[0].coverage} that were returned: {held}."
    covered = {line.framework: line.coverage for line in reversed(partial)}
    parts = [f"{covered[name]} of {name}" for name in names if name in covered]
    return f"Equal in what was returned: {held}; returned were {_enumerate(parts)}."


def _shortfall(counts: Mapping[str, int]) -> str:
    said = {"error": "ended in an error", "vacuous": "vacuous", "not-observed": "not observed"}
    parts = [f"{counts[verdict]} {words}" for verdict, words in said.items() if counts[verdict]]
    unknown = sum(number for verdict, number in counts.items() if verdict not in VERDICTS)
    return ", ".join([*parts, *([f"{unknown} of an unknown verdict"] if unknown else [])])


def _enumerate(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
