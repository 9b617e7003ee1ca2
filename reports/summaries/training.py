"""What the rows of a training run amount to: a line per training, and a sentence. No rendering."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from reports.format import Row, clean, measured, number, percent, plural, text

Key = tuple[str, str]  # framework, label
PANEL = ("network", "data", "recipe", "precision", "device", "devices", "split")  # what one table has in common


@dataclass(frozen=True, slots=True)
class Line:
    """One training."""

    key: Key
    rows: tuple[Row, ...]  # its epochs in order, then what was measured of a broken-off one

    @property
    def name(self) -> str:
        """The label, which is the framework's name unless another was given."""
        framework, label = self.key
        return label if not framework or label.startswith(framework) else f"{framework} {label}".strip()

    @property
    def last(self) -> Row:
        """The last row."""
        return self.rows[-1]

    @property
    def best(self) -> Row | None:
        """The first row of those with the lowest top-1 error, None where nothing was validated."""
        found = [row for row in self.epochs if number(row, "top1_error") is not None]
        return min(found, key=lambda row: number(row, "top1_error") or 0.0) if found else None

    @property
    def finite(self) -> bool:
        """Whether its last loss is a number."""
        loss = measured(self.last, "loss")
        return loss is None or math.isfinite(loss)

    @property
    def epochs(self) -> tuple[Row, ...]:
        """The rows of whole epochs."""
        return tuple(row for row in self.rows if text(row, "phase") in ("", "epoch"))

    @property
    def images_per_s(self) -> float | None:
        """The median of its epochs: the first one holds what is done only once."""
        rates = [rate for row in self.epochs or self.rows if (rate := number(row, "images_per_s")) is not None]
        return median(rates) if rates else None

    @property
    def seconds(self) -> float | None:
        """From the first step to the last, whatever the number of times it was resumed."""
        return number(self.last, "seconds")


@dataclass(frozen=True, slots=True)
class Panel:
    """The trainings of one network on one data set."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """A training run in short."""

    panels: tuple[Panel, ...]
    sentence: str
    held: bool  # whether every training ended with finite losses, and nothing failed


def digest(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any]) -> Digest:
    """Sum up the tables of a training run: kind -> rows. `run` is what run.json holds."""
    found = lines(tables.get("training", ()))
    panels: dict[tuple[str, ...], list[Line]] = {}
    for line in found:
        panels.setdefault(tuple(text(line.last, name) for name in PANEL), []).append(line)
    failures = [clean(str(one)) for one in run.get("failures") or ()]
    return Digest(
        panels=tuple(Panel(_title(group), tuple(group)) for group in panels.values()),
        sentence=_sentence(found, failures),
        held=bool(found) and all(line.finite for line in found) and not failures,
    )


def lines(rows: Sequence[Row]) -> list[Line]:
    """A line per training, by framework and label; of two rows of one epoch and step the last counts."""
    groups: dict[Key, dict[tuple[float, float], Row]] = {}
    for row in rows:
        framework = text(row, "framework")
        place = number(row, "epoch") or 0.0, number(row, "step") or 0.0
        groups.setdefault((framework, text(row, "label") or framework), {})[place] = row
    return [Line(key, tuple(found[place] for place in sorted(found))) for key, found in groups.items()]


def _title(group: Sequence[Line]) -> str:
    """`cifar-4layer on digits, recipe digits, float32, cpu`."""
    row = group[0].last
    recipe, split, devices = text(row, "recipe"), text(row, "split"), text(row, "devices")
    parts = [" on ".join(filter(None, [text(row, "network"), text(row, "data")])), f"recipe {recipe}" if recipe else ""]
    parts += [text(row, "precision"), text(row, "device")]
    parts += [f"{split} split on {devices} devices"] if split not in ("", "none") else []
    seeds = {text(line.last, "seed") for line in group} - {""}
    parts += [f"seed {seeds.pop()}"] if len(seeds) == 1 else []
    return ", ".join(filter(None, parts))


def _sentence(found: Sequence[Line], failures: Sequence[str]) -> str:
    if not found:
        return f"No epoch was finished; {plural(len(failures), 'failure')}." if failures else "Nothing was trained."
    broken = [line.name for line in found if not line.finite]
    parts = [f"{plural(len(found), 'training')}"]
    parts += [f"loss no longer a number: {', '.join(broken)}"] if broken else []
    parts += [f"{plural(len(failures), 'failure')}"] if failures else []
    ends = [(line.name, number(line.last, "top1_error")) for line in found]
    told = [f"{name} {percent(error)}%" for name, error in ends if error is not None]
    parts += [f"top-1 error at the end: {', '.join(told)}"] if told else []
    return "; ".join(parts) + "."
