"""What the rows of a training run amount to: one row per training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import pandas as pd

from reports.format import Row, measured, number, text
from reports.tables import records

Key = tuple[str, str]  # framework, label
SETTING = ("network", "data", "recipe", "precision", "device", "devices", "split")  # what one table has in common


def trainings(training: pd.DataFrame) -> dict[Key, list[Row]]:
    """The rows of each training in the order of their steps: its epochs, then what was measured of a broken-off one.

    Of two rows of one epoch and step the last counts.
    """
    found: dict[Key, dict[tuple[float, float], Row]] = {}
    for row in records(training):
        framework = text(row, "framework")
        place = number(row, "epoch") or 0.0, number(row, "step") or 0.0
        found.setdefault((framework, text(row, "label") or framework), {})[place] = row
    return {key: [rows[place] for place in sorted(rows)] for key, rows in found.items()}


def name_of(key: Key) -> str:
    """The label, which is the framework's name unless another was given."""
    framework, label = key
    return label if not framework or label.startswith(framework) else f"{framework} {label}".strip()


def epochs(rows: Sequence[Row]) -> list[Row]:
    """The rows of whole epochs."""
    return [row for row in rows if text(row, "phase") in ("", "epoch")]


def best(rows: Sequence[Row]) -> Row | None:
    """The first epoch of those with the lowest top-1 error, None where nothing was validated."""
    found = [row for row in epochs(rows) if number(row, "top1_error") is not None]
    return min(found, key=lambda row: number(row, "top1_error") or 0.0, default=None)


def results(training: pd.DataFrame) -> list[Row]:
    """The last row of each training, with what all its rows say.

    Further columns: name; lowest_error and lowest_after (the epoch); images_per_s is the median of the epochs, because
    the first one holds what is done only once; finite (whether the last loss is a number).
    """
    return [_result(name_of(key), rows) for key, rows in trainings(training).items()]


def panels(found: Sequence[Row]) -> list[list[Row]]:
    """Results of one network, data set and setting together."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in found:
        groups.setdefault(tuple(text(row, name) for name in SETTING), []).append(row)
    return list(groups.values())


def _result(name: str, rows: Sequence[Row]) -> Row:
    last, lowest = rows[-1], best(rows) or {}
    rates = [rate for row in epochs(rows) or rows if (rate := number(row, "images_per_s")) is not None]
    loss = measured(last, "loss")
    return {
        **last,
        "name": name,
        "lowest_error": lowest.get("top1_error"),
        "lowest_after": lowest.get("epoch"),
        "images_per_s": median(rates) if rates else None,
        "finite": loss is None or math.isfinite(loss),
    }
