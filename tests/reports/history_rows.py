"""Made-up runs of speed, a day after another."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import speed_rows

from reports import tables
from reports.summaries.environments import RunTables

STOCK, TUNED = speed_rows.speed("torch", "stock"), speed_rows.speed("torch", "tuned")


def run(number: int, rows: Sequence[Any], command: str = "speed", **facts: Any) -> RunTables:
    """A run of that day."""
    known = copy.deepcopy(speed_rows.RUN) | {"command": command, "started": f"2030-01-{number:02d}T08:00:00.000Z"}
    return RunTables(f"run-{number}", known | facts, {"speed": tables.frame("speed", rows)})


def times(row: dict[str, Any], factor: float) -> dict[str, Any]:
    """A row that is so many times as fast."""
    steps = {name: row[name] and row[name] / factor for name in ("step_ms", "step_ms_low", "step_ms_high")}
    return row | steps | {"images_per_s": row["images_per_s"] * factor}


def of_factors(factors: Sequence[float], row: dict[str, Any] = STOCK) -> list[RunTables]:
    """A run for each factor."""
    return [run(number, [times(row, factor)]) for number, factor in enumerate(factors, 1)]


def two_states(slower: float, noise: float = 0.03, count: int = 12, seed: int = 0) -> list[RunTables]:
    """Two frameworks' settings, of which one is slower in the second half of the runs."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(1, count + 1):
        factor = slower if number > count // 2 else 1.0
        changed = times(STOCK, factor * math.exp(random.normal(0, noise)))
        made.append(run(number, [changed, times(TUNED, math.exp(random.normal(0, noise)))]))
    return made


def changed(run: RunTables, **environment: Any) -> RunTables:
    return run._replace(facts=run.facts | {"environment": run.facts["environment"] | environment})
