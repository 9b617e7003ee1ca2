"""What a cell of a summary says: values of a row as text, numbers with the digits an eye can use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

Row = Mapping[str, Any]


def text(row: Row, name: str) -> str:
    """A row's value as text of one line without control characters, empty where it is missing."""
    value = row.get(name)
    return "" if value is None else clean(str(value))


def clean(said: str) -> str:
    """Text from outside as one line: a terminal must not obey it."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in said).split())


def number(row: Row, name: str) -> float | None:
    """A row's finite value, None where it has none."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, Real):  # NumPy's scalars are Real too
        return None
    return float(value) if math.isfinite(value) else None


def measured(row: Row, name: str) -> float | None:
    """A row's value, NaN and infinities too; None where it has none."""
    value = row.get(name)
    return None if isinstance(value, bool) or not isinstance(value, Real) else float(value)


def positive(row: Row, name: str) -> float | None:
    """A row's value where it is above 0 and can be meant: nothing is 1e30, and what follows must not overflow."""
    value = number(row, name)
    return value if value is not None and 1e-30 < value < 1e30 else None


def plural(count: int, noun: str) -> str:
    """`1 setting`, `2 settings`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def figure(value: float) -> str:
    """Three significant digits, more before the point where there are more, with thousands separated for eyes."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}" if abs(value) >= 0.0995 else f"{value:.2g}"


def share(value: float | None) -> str:
    """`72%`, with a digit more below ten."""
    if value is None:
        return ""
    return f"{100 * value:.0f}%" if value >= 0.0995 else f"{100 * value:.1f}%"


def percent(value: float | None) -> str:
    """A share of 1 in percent, without the sign: `37.47`."""
    return "" if value is None else f"{100 * value:.2f}"


def between(value: float | None, low: float | None, high: float | None) -> str:
    """Shares of 1 in percent: `37.47 (36.90 to 38.04)`, without the interval where there is none."""
    if value is None or low is None or high is None:
        return percent(value)
    return f"{percent(value)} ({percent(low)} to {percent(high)})"
