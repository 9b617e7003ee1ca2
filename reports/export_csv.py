"""A table as CSV, for spreadsheets: missing is empty, NaN is `nan`, numbers have no thousands separators."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pandas as pd

from reports import atomic, schema, tables
from reports.format import for_spreadsheet, from_spreadsheet


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the table, whole or not at all. Raises OSError."""
    atomic.write_bytes(text(table).encode(), path)


def text(table: pd.DataFrame) -> str:
    """The table as CSV. A text that begins like a formula has a quote before it: a spreadsheet would run it."""
    shown = table.copy(deep=False)
    for name in shown.columns[shown.dtypes == "string"]:
        shown[name] = shown[name].map(for_spreadsheet, na_action="ignore")
    return str(shown.to_csv(index=False, lineterminator="\n"))


def read(kind: str, path: Path) -> pd.DataFrame:
    """The table as it was written. Columns the kind does not declare are numbers where every value is one."""
    with path.open(newline="", encoding="utf-8") as file:
        texts = [{name: from_spreadsheet(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    declared = schema.dtypes(kind, optional=True)
    extra = [name for name in (texts[0] if texts else {}) if name not in declared]
    rows: list[dict[str, Any]] = [dict(row) for row in texts]
    for name in extra:
        for row, value in zip(rows, _numbers([row[name] for row in texts]), strict=True):
            row[name] = value
    return tables.frame(kind, rows)


def _numbers(values: list[str]) -> list[Any]:
    for convert in (int, float):
        try:
            return [convert(value) if value else None for value in values]
        except ValueError:
            continue
    return list(values)
