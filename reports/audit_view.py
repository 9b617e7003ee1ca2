"""An audit in the form that was asked for: for eyes, or for whatever reads what is printed."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from reports import audit_markdown, audit_summary, tables
from reports.format import Row
from reports.render.terminal import Console


def show(rows: Sequence[Row], run: Mapping[str, Any], form: str, console: Console | None = None) -> None:
    """Print `table`, `markdown`, `csv` or `json`. `run` is what `run.json` holds."""
    if form == "table":
        audit_summary.show(rows, run, console)
        return
    sys.stdout.write(render(rows, run, form))
    sys.stdout.flush()


def render(rows: Sequence[Row], run: Mapping[str, Any], form: str) -> str:
    """Text that ends in a line break; CSV and JSON hold the table `audit` and nothing else."""
    if form == "markdown":
        return audit_markdown.listing(rows, run)
    table = tables.frame("audit", rows)
    if form == "csv":
        return tables.csv_text(table)
    plain = [{name: _finite(value) for name, value in row.items()} for row in tables.records(table)]
    return json.dumps(plain, indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """JSON has no NaN: its name stands for it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
