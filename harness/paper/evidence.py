"""What the user has measured already: rows of run folders, and what is added to them in this run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError

Row = dict[str, Any]

COMMANDS = ("train", "evaluate", "paper")
# Without these a row says nothing: a file that has such rows is not this program's.
NEEDED = {
    "ablation": ("ablation", "seed", "difference", "baseline_error", "variant_error"),
    "training-error": ("variant", "seed", "epoch", "training_error"),
}


@dataclass(frozen=True)
class Evidence:
    """Rows by kind, each as its table declares it."""

    evaluation: tuple[Row, ...] = ()
    training: tuple[Row, ...] = ()
    ablation: tuple[Row, ...] = ()
    training_error: tuple[Row, ...] = ()  # of figure 1: variant, seed, epoch, training_error
    colour: tuple[Row, ...] = ()  # of figure 3: weights, tower, colour, low, high
    runs: tuple[str, ...] = field(default=())  # folders that they come from

    def with_rows(self, kind: str, rows: Iterable[Row]) -> Evidence:
        """With these behind those of the same kind."""
        return replace(self, **{kind: (*getattr(self, kind), *rows)})


def read(paths: Sequence[Path]) -> Evidence:
    """The rows of these run folders, finished or broken off. Raises UsageError."""
    if not paths:
        return Evidence()
    from harness import run_reading  # and pandas, which a ledger of exact claims does without

    found = Evidence(runs=tuple(str(path) for path in paths))
    for path in paths:
        command = run_reading.facts(path).get("command")
        if command not in COMMANDS:
            raise UsageError(f"{path} is a run of {command!r}: paper reads runs of {', '.join(COMMANDS)}")
        for kind in ("evaluation", "training", "ablation"):
            found = found.with_rows(kind, _whole(path, kind, run_reading.rows(path, kind)))
        curves = run_reading.rows(path, "training-error")
        found = found.with_rows("training_error", _whole(path, "training-error", curves))
    return found


def _whole(path: Path, kind: str, rows: list[Row]) -> list[Row]:
    """The rows, each of which has what its kind needs. Raises UsageError."""
    for place, row in enumerate(rows):
        for name in NEEDED.get(kind, ()):
            if row.get(name) is None:
                raise UsageError(f"{path}: row {place} of its table {kind} has no {name}: leave that folder out")
    return rows


def measured(rows: Iterable[Row]) -> list[Row]:
    """Evaluations that came to both errors."""
    return [
        row
        for row in rows
        if row.get("status") in (None, "measured") and None not in (row.get("top1_error"), row.get("top5_error"))
    ]
