"""Figure 1: how many epochs ReLU and tanh need until the training error has come down to a quarter (section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from harness.paper.evidence import Row
from reports import statistics
from reports.statistics import Interval

Kind = Literal["relu", "tanh"]
KINDS: tuple[Kind, ...] = ("relu", "tanh")

TARGET = 0.25
RATE_STEPS = (0.3, 1.0, 3.0, 10.0, 30.0)  # times the recipe's learning rate


def epochs_until(rows: Sequence[Row], target: float = TARGET) -> float | None:
    """Epochs until the training error is at the target, between two epochs by a straight line; None if it never is.

    Before the first epoch the error is that of guessing, which lies above.
    """
    before_epoch, before_error = 0.0, 1.0
    for row in sorted(rows, key=lambda row: float(row["epoch"])):
        epoch, error = float(row["epoch"]), float(row["training_error"])
        if error <= target:
            share = (before_error - target) / (before_error - error)
            return before_epoch + share * (epoch - before_epoch)
        before_epoch, before_error = epoch, error
    return None


def fastest(curves: Iterable[Sequence[Row]]) -> Sequence[Row]:
    """The curve that is first at the target, or that ends lowest where none comes there."""

    def rank(rows: Sequence[Row]) -> tuple[float, float]:
        epochs = epochs_until(rows)
        last = min((float(row["training_error"]) for row in rows), default=1.0)
        return (float("inf") if epochs is None else epochs, last)

    return min(curves, key=rank)


def ratios(rows: Iterable[Row]) -> tuple[list[float], int]:
    """tanh's epochs in ReLU's, seed by seed; and how many seeds have none, because one of the two never came there."""
    curves: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        curves.setdefault((str(row.get("framework")), str(row["variant"]), int(row["seed"])), []).append(row)
    found, missing = [], 0
    for (framework, variant, seed), curve in curves.items():
        other = curves.get((framework, "tanh", seed))
        if variant != "relu" or other is None:
            continue
        relu, tanh = epochs_until(curve), epochs_until(other)
        if relu and tanh:
            found.append(tanh / relu)
        else:
            missing += 1
    return found, missing


def ratio(rows: Iterable[Row]) -> tuple[Interval | None, int]:
    """The geometric mean of the ratios with its interval, and how many seeds have none."""
    found, missing = ratios(rows)
    return (statistics.location(found) if found else None), missing
