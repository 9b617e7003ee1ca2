"""Where the time of a step goes: a framework's layers by time, and what bounds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.format import NARROW, Row, number, text
from reports.statistics import Interval
from reports.summaries.speed import bounded
from reports.tables import records

GROUP = ("network", "device", "precision", "batch_size", "framework", "tuning")
WHOLE, REST = "(whole step)", "(update and rest)"
MAX_MS = 1e30  # what follows must not overflow


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of one framework and tuning at one batch size."""

    key: tuple[Any, ...]  # in the order of GROUP
    rows: tuple[Row, ...]  # layers and passes, the slowest first
    whole: Row | None
    rest: Row | None

    @property
    def name(self) -> str:
        """`torch tuned`."""
        return " ".join(str(part) for part in self.key[4:] if part)

    @property
    def place(self) -> str:
        """`paper, cpu, float32, batch 128`."""
        named = [str(part) for part in self.key[:3] if part]
        return ", ".join([*named, *([f"batch {self.key[3]}"] if self.key[3] else [])])

    @property
    def total(self) -> float:
        """Milliseconds of all layers and passes."""
        return float(sum(row["step_ms"] for row in self.rows))

    def slowest(self, count: int) -> list[tuple[Row, Interval]]:
        """The slowest ones with their share of all layers; with bounds alike where the time is known well."""
        return [(row, self._share(row)) for row in self.rows[:count]]

    @property
    def bounds(self) -> dict[str, tuple[float, float | None]]:
        """What bounds layers -> the share of their time, and at which fraction of that roof they run, if known."""
        found = {}
        for bound in ("compute", "memory"):
            rows = [row for row in self.rows if text(row, "bound") == bound]
            spent = sum(row["step_ms"] for row in rows)
            # Weighted by time, fractions of a roof add up: it is the time the roof would allow over the time taken.
            held = [(number(row, "fraction_of_roof"), row["step_ms"]) for row in rows]
            known = [(fraction, ms) for fraction, ms in held if fraction is not None]
            if spent:
                at = sum(fraction * ms for fraction, ms in known) / sum(ms for _, ms in known) if known else None
                found[bound] = spent / self.total, at
        return found

    def _share(self, row: Row) -> Interval:
        time, others = bounded(row, row["step_ms"]), self.total - row["step_ms"]
        part = row["step_ms"] / self.total
        if time.low is None or time.high is None:
            return Interval(part)
        if (time.relative or 0.0) <= NARROW or others <= 0:
            return Interval(part, part, part)
        return Interval(part, time.low / (others + time.low), time.high / (others + time.high))


def groups(layer: pd.DataFrame) -> list[Layers]:
    """One group per framework, tuning and batch size, those that share everything else together."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in records(layer):
        if _is_timed(row) or _is_total(row):
            found.setdefault(tuple(row.get(name) for name in GROUP), []).append(row)
    made = [_group(key, group) for key, group in found.items()]
    return sorted((one for one in made if any(row["step_ms"] > 0 for row in one.rows)), key=lambda one: _order(one.key))


def where(row: Row) -> str:
    """`conv2 backward`."""
    return " ".join(filter(None, [text(row, "layer"), text(row, "pass")]))


def _is_timed(row: Row) -> bool:
    """Whether it has a time that can be meant; one that is not told apart from 0 may be 0."""
    value = number(row, "step_ms")
    return value is not None and 0 <= value < MAX_MS


def _is_total(row: Row) -> bool:
    return text(row, "layer") in (WHOLE, REST)


def _group(key: tuple[Any, ...], rows: list[Row]) -> Layers:
    totals = {text(row, "layer"): row for row in rows if _is_total(row)}
    layers = {(row.get("layer"), row.get("pass")): row for row in rows if not _is_total(row)}
    slowest = sorted(layers.values(), key=lambda row: -float(row["step_ms"]))
    return Layers(key, tuple(slowest), totals.get(WHOLE), totals.get(REST))


def _order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*(str(part) for part in key[:3]), number({"batch": key[3]}, "batch") or 0, *(str(part) for part in key[4:]))
