"""Made-up runs of every command, as parts of a page: the rows that the tests of reports are about."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import audit_rows
import evaluation_rows
import paper_rows
import parity_rows
import speed_rows
import training_rows

from reports import documents, write
from reports.render.html import Part

Rows = Mapping[str, Sequence[dict[str, Any]]]

SELF_TEST = [
    {
        "fault": "alpha divided by n", "planted_in": "norm1", "framework": framework, "caught": "yes",
        "caught_at": "operator", "named": "norm1", "expected": "norm1", "localised": localised, "cause_named": "yes",
    }
    for framework, localised in (("torch", "yes"), ("jax", "no"))
]  # fmt: skip
LAYERS = speed_rows.layers("torch", "tuned") + speed_rows.layers("jax", "stock")
PARITY = {"status": "complete", "started": "2030-01-02T03:04:05.000Z", "arguments": {"network": "paper"}}
RUNS: dict[str, tuple[dict[str, Any], Rows]] = {
    "speed": (speed_rows.RUN, speed_rows.tables() | {"layer": LAYERS}),
    "train": (training_rows.RUN, training_rows.tables()),
    "evaluate": (evaluation_rows.RUN, evaluation_rows.tables()),
    "paper": (paper_rows.RUN, paper_rows.tables()),
    "audit": (audit_rows.RUN, {"audit": audit_rows.audit()}),
    "parity-self-test": ({**PARITY, "command": "parity-self-test"}, {"self-test": SELF_TEST}),
    "parity": ({**PARITY, "command": "parity"}, {"parity": parity_rows.wanting()}),
}

# Of one framework and tuning, as in a run of the paper's network in its defaults.
CHECKS = {"operator": 174, "layer": 64, "forward": 23, "gradient": 27, "training": 27}


def part(run: Mapping[str, Any], rows: Rows) -> Part:
    document = documents.of_rows(rows, run)
    return write.part(document, write.drawings(document), Path(f"run-of-{run['command']}"))


def whole_parity() -> list[dict[str, Any]]:
    """As many checks as a run in its defaults has, with figures of all digits."""
    return [
        parity_rows.row(
            level, framework, f"layer{number}", tuning, case=f"conv 11x11 stride 4, right and bottom {number % 40}",
            max_abs_error=4.339782728735031e-07 * (number + 1), rms_error=5.24798893062517e-08 * (number + 1),
            gauge_ratio=0.3885508884586406 / (number + 1), baseline_ratio=0.4067651576841479 / (number + 1),
        )
        for framework in parity_rows.FRAMEWORKS
        for tuning in ("stock", "tuned")
        for level, count in CHECKS.items()
        for number in range(count)
    ]  # fmt: skip
