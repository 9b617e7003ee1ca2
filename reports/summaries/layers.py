"""Where the time of a step goes: a framework's layers by time, and what bounds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.format import NARROW, Row, number, share, text
from reports.summaries.speed import bounded

GROUP = ("network", "device", "precision", "batch_size", "framework", "tuning")
WHOLE, REST = "(whole step)", "(update and rest)"
MOST_NAMED = 3
LONGEST_MS = 1e30  # what follows must not overflow


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
    def sentence(self) -> str:
        """What takes longest, and how near to the roof the step's layers run."""
        total = sum(row["step_ms"] for row in self.rows)
        if not total:
            return ""
        named = [f"{where(row)} {_share(row, total)}" for row in self.rows[:MOST_NAMED]]
        parts = [f"most time in {', '.join(named)}"]
        parts += [told for bound in ("compute", "memory") if (told := self._bound(bound, total))]
        return "; ".join(parts)

    def _bound(self, bound: str, total: float) -> str:
        rows = [row for row in self.rows if text(row, "bound") == bound]
        spent = sum(row["step_ms"] for row in rows)
        if not spent:
            return ""
        # Weighted by time, fractions of a roof add up: it is the time the roof would allow over the time taken.
        held = [(number(row, "fraction_of_roof"), row["step_ms"]) for row in rows]
        known = [(fraction, ms) for fraction, ms in held if fraction is not None]
        told = f"{share(spent / total)} of it bound by {bound}"
        if not known:
            return told
        mean = sum(fraction * ms for fraction, ms in known) / sum(ms for _, ms in known)
        return f"{told}, at {share(mean)} of that roof"


def groups(rows: Sequence[Row]) -> list[Layers]:
    """One group per framework, tuning and batch size, those that share everything else together."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if _is_timed(row) or _is_total(row):
            found.setdefault(tuple(row.get(name) for name in GROUP), []).append(row)
    made = [_group(key, group) for key, group in found.items()]
    some = (one for one in made if any(row["step_ms"] > 0 for row in one.rows))
    return sorted(some, key=lambda one: _order(one.key))


def where(row: Row) -> str:
    """`conv2 backward`."""
    return " ".join(filter(None, [text(row, "layer"), text(row, "pass")]))


def _share(row: Row, total: float) -> str:
    """A layer's share of all layers; where its time is known badly, from what to what."""
    part, found = row["step_ms"] / total, bounded(row, row["step_ms"])
    others = total - row["step_ms"]
    if found.low is None or found.high is None:
        return f"{share(part)} (no interval)"
    if (found.relative or 0.0) <= NARROW or others <= 0:
        return share(part)
    return f"{share(part)} ({share(found.low / (others + found.low))} to {share(found.high / (others + found.high))})"


def _is_timed(row: Row) -> bool:
    """Whether it has a time that can be meant; one that is not told apart from 0 may be 0."""
    value = number(row, "step_ms")
    return value is not None and 0 <= value < LONGEST_MS


def _is_total(row: Row) -> bool:
    return text(row, "layer") in (WHOLE, REST)


def _group(key: tuple[Any, ...], rows: Sequence[Row]) -> Layers:
    totals = {text(row, "layer"): row for row in rows if _is_total(row)}
    layers = {(row.get("layer"), row.get("pass")): row for row in rows if not _is_total(row)}
    slowest = sorted(layers.values(), key=lambda row: -float(row["step_ms"]))
    return Layers(key, tuple(slowest), totals.get(WHOLE), totals.get(REST))


def _order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*(str(part) for part in key[:3]), number({"batch": key[3]}, "batch") or 0, *(str(part) for part in key[4:]))
