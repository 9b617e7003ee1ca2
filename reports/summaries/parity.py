"""What the rows of a parity run amount to: a line per level and framework, the failures, what was not returned."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from reports.format import Row, lines_of, plural, text
from reports.tables import groups, records

# From worst to best: the worst verdict among a group's rows is the group's.
NOT_OBSERVED = "not-observed"
VERDICTS = ("error", "fail", "vacuous", NOT_OBSERVED, "pass")


def verdicts(parity: pd.DataFrame) -> Counter[str]:
    """How many rows have each verdict."""
    return Counter(text(row, "verdict") for row in records(parity))


def levels(parity: pd.DataFrame) -> list[Row]:
    """One row per level and framework, levels in the order in which they were measured, frameworks by name.

    Columns: level, framework, checks, gauge_ratio and baseline_ratio (the worst; NaN is worse than any number), verdict
    (the worst of what was observed), tunings (those that it comes from, empty where from all) and coverage ("2 of 21
    layers" where only a part was returned, which turns no verdict).
    """
    return [_level(level, framework, rows) for (level, framework), rows in _by(parity, "level", "framework").items()]


def failures(parity: pd.DataFrame) -> list[dict[str, Any]]:
    """What went wrong in each level of each framework and tuning, told by the first row at fault.

    Columns: level, name (`torch/tuned`), verdict (fail or error), layer, reason, cause, rows (how many are at fault). A
    worker that died is told of once, with every level that it did not reach.
    """
    found: list[dict[str, Any]] = []
    for (level, framework, tuning), rows in _by(parity, "level", "framework", "tuning").items():
        bad = [row for row in rows if _severity(text(row, "verdict")) <= _severity("fail")]
        if not bad:
            continue
        # Where the cause is known it stands on the row at fault; the rows after it fail in its wake.
        first = max(bad, key=lambda row: (text(row, "cause") != "", text(row, "verdict") == "fail"))
        one = {
            "level": level,
            "name": f"{framework}/{tuning}" if tuning else framework,
            "framework": framework,
            "tuning": tuning,
            "verdict": text(first, "verdict"),
            "layer": place(first),
            "reason": lines_of(first, "reason"),
            "cause": text(first, "cause"),
            "rows": len(bad),
        }
        told = [one[name] for name in ("framework", "reason", "verdict")]
        alike = [other for other in found if [other[name] for name in ("framework", "reason", "verdict")] == told]
        if one["verdict"] != "error" or not alike:
            found.append(one)
            continue
        other = alike[0]
        other["level"] = ", ".join(dict.fromkeys([*other["level"].split(", "), level]))
        other["name"] = other["name"] if other["name"] == one["name"] else framework
        other["rows"] += len(bad)
    return found


def not_returned(parity: pd.DataFrame) -> list[Row]:
    """Per level and framework the layers (or tensors) of which nothing was observed, where there are any."""
    found = {key: _unseen(rows) for key, rows in _by(parity, "level", "framework").items()}
    return [{"level": key[0], "framework": key[1], "what": ", ".join(names)} for key, names in found.items() if names]


def place(row: Row) -> str:
    """The layer a row speaks of; for a single operator its case and tensor; else its tensor, else its case."""
    if text(row, "layer"):
        return text(row, "layer")
    case, tensor = text(row, "case"), text(row, "tensor")
    return ": ".join(filter(None, [case, tensor])) if text(row, "level") == "operator" else tensor or case


def worst(values: Sequence[float | None]) -> float | None:
    """The largest, NaN counting as larger than anything; None where nothing was measured."""
    numbers = [value for value in values if value is not None]
    return math.nan if any(map(math.isnan, numbers)) else max(numbers, default=None)


def _by(parity: pd.DataFrame, *names: str) -> dict[tuple[str, ...], list[Row]]:
    found = groups(parity, *names)
    first = {level: place for place, level in reversed(list(enumerate(key[0] for key in found)))}
    # Levels together and frameworks by name: workers interleave them, and another order every time.
    return dict(sorted(found.items(), key=lambda item: (first[item[0][0]], *item[0][1:])))


def _level(level: str, framework: str, rows: Sequence[Row]) -> Row:
    observed = [row for row in rows if text(row, "verdict") != NOT_OBSERVED] or rows
    verdict = min((text(row, "verdict") for row in observed), key=_severity)
    guilty = {text(row, "tuning") for row in observed if text(row, "verdict") == verdict}
    everyone = {text(row, "tuning") for row in observed}
    return {
        "level": level,
        "framework": framework,
        "checks": len(rows),
        "gauge_ratio": worst([row.get("gauge_ratio") for row in rows]),
        "baseline_ratio": worst([row.get("baseline_ratio") for row in rows]),
        "verdict": verdict,
        "tunings": () if guilty == everyone else tuple(sorted(name or "untuned" for name in guilty)),
        "coverage": _coverage(level, rows) if verdict == "pass" else "",
    }


def _unseen(rows: Sequence[Row]) -> list[str]:
    seen = {place(row) for row in rows if text(row, "verdict") != NOT_OBSERVED}
    return [name for name in dict.fromkeys(place(row) for row in rows) if name not in seen]


def _coverage(level: str, rows: Sequence[Row]) -> str:
    """`2 of 21 layers`: of how many something was returned; of checks where it is no forward pass; empty for all."""
    if level == "forward":
        missing, everything, noun = len(_unseen(rows)), len({place(row) for row in rows}), "layer"
    else:
        missing, everything, noun = sum(text(row, "verdict") == NOT_OBSERVED for row in rows), len(rows), "check"
    return f"{everything - missing} of {plural(everything, noun)}" if missing else ""


def _severity(verdict: str) -> int:
    return VERDICTS.index(verdict) if verdict in VERDICTS else -1  # a verdict nobody knows is no pass
