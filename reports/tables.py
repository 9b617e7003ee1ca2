"""Rows as the data frame of their kind and as its files; the columns are declared in `reports.schema`.

Parquet is for programs: types, missing values and NaN come back as they went. CSV is for spreadsheets, without
thousands separators. Missing is missing: a value that was not measured is null in Parquet and empty in CSV, never -1
and never 0. NaN is not missing: a framework that computed NaN was measured, and both files say `nan`.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from reports import atomic, schema
from reports.format import Row, for_spreadsheet, from_spreadsheet, text
from reports.schema import Dtype


def frame(kind: str, rows: Sequence[Row]) -> pd.DataFrame:
    """The table of one kind. Keys that it does not declare follow its own columns, in the order they first appear.

    Raises ValueError where a value does not fit its column; the message names row, column and value.
    """
    names = dict.fromkeys([*schema.dtypes(kind), *(name for row in rows for name in row)])
    return of_columns(kind, {name: [row.get(name) for row in rows] for name in names})


def of_columns(kind: str, given: Mapping[str, Any]) -> pd.DataFrame:
    """The same of columns, equally long sequences or Arrow's arrays. Raises ValueError as `frame` does."""
    own, known = schema.dtypes(kind), schema.dtypes(kind, optional=True)
    count = max(map(len, given.values()), default=0)
    data = {}
    for name in dict.fromkeys([*own, *given]):
        values = given.get(name, [None] * count)
        plain = values.to_pylist() if isinstance(values, pa.ChunkedArray) else values  # pandas takes NaN for missing
        data[name] = _column(name, known.get(name) or _dtype_of(plain), plain)
    return pd.DataFrame(data, columns=list(data))


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as plain dicts: missing values are None, NaN stays NaN."""
    columns = {str(name): _plain(table[name].array) for name in table.columns}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def groups(table: pd.DataFrame, *names: str) -> dict[tuple[str, ...], list[Row]]:
    """The rows that share the texts of these columns, in the order in which they first appear."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in records(table):
        found.setdefault(tuple(text(row, name) for name in names), []).append(row)
    return found


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write the table, whole or not at all. Raises OSError."""
    buffer = BytesIO()
    table.to_parquet(buffer, index=False)
    atomic.write_bytes(buffer.getvalue(), path)


def read_parquet(kind: str, path: Path) -> pd.DataFrame:
    """The table as it was written. Raises OSError, ValueError."""
    table = pyarrow.parquet.read_table(path)
    return of_columns(kind, dict(zip(table.column_names, table.columns, strict=True)))


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write the table, whole or not at all. Raises OSError."""
    atomic.write_bytes(csv_text(table).encode(), path)


def csv_text(table: pd.DataFrame) -> str:
    """The table as CSV. A text that begins like a formula has a quote before it: a spreadsheet would run it."""
    shown = table.copy(deep=False)
    for name in shown.columns[shown.dtypes == "string"]:
        shown[name] = shown[name].map(for_spreadsheet, na_action="ignore")
    return str(shown.to_csv(index=False, lineterminator="\n"))


def read_csv(kind: str, path: Path) -> pd.DataFrame:
    """The table as it was written. Columns the kind does not declare are numbers where every value is one.

    Raises OSError, ValueError.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: from_spreadsheet(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    known = schema.dtypes(kind, optional=True)
    names = list(rows[0]) if rows else []
    values = {name: [row[name] for row in rows] for name in names}
    return of_columns(kind, {name: found if name in known else _numbers(found) for name, found in values.items()})


def json_text(table: pd.DataFrame) -> str:
    """The table's rows as JSON: missing is null; what JSON has no number for (NaN, infinities) is its name."""
    rows = [{name: _for_json(value) for name, value in row.items()} for row in records(table)]
    return json.dumps(rows, indent=2, allow_nan=False) + "\n"


def _for_json(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(values: list[str]) -> list[Any]:
    for convert in (int, float):
        try:
            return [convert(value) if value else None for value in values]
        except ValueError:
            continue
    return list(values)


def _dtype_of(values: Iterable[Any]) -> Dtype:
    kinds = {_kind(value) for value in values if value is not None}
    if kinds == {"Int64"}:
        return "Int64"
    return "Float64" if kinds and kinds <= {"Int64", "Float64"} else "string"


def _kind(value: Any) -> Dtype:
    if isinstance(value, bool | np.bool_):
        return "string"
    if isinstance(value, int | np.integer):
        return "Int64"
    return "Float64" if isinstance(value, float | np.floating) else "string"


def _column(name: str, dtype: Dtype, values: Sequence[Any]) -> Any:
    converted = []
    for number, value in enumerate(values):
        try:
            converted.append(_CONVERT[dtype](value))
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"row {number}, column {name!r}: {value!r} is not of type {dtype}") from None
    if dtype == "string":
        return pd.array(converted, dtype="string")
    missing = np.array([value is None for value in converted], dtype=bool)
    filled = [0 if value is None else value for value in converted]
    # Built from values and mask: every other way into a nullable column takes NaN for missing.
    if dtype == "Int64":
        return pd.arrays.IntegerArray(np.array(filled, dtype=np.int64), missing)
    return pd.arrays.FloatingArray(np.array(filled, dtype=np.float64), missing)


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None  # CSV cannot tell an empty text from a missing one
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _integer(value: Any) -> int | None:
    if value is None or value == "":
        return None
    whole = int(value)
    if whole != float(value):
        raise ValueError(value)
    return whole


def _float(value: Any) -> float | None:
    return None if value is None or value == "" else float(value)


_CONVERT = {"string": _text, "Int64": _integer, "Float64": _float}


def _plain(values: Any) -> list[Any]:
    """A nullable column as a list. Its own `tolist` would not say which of its missing values were NaN."""
    missing = values.isna()
    if isinstance(values, pd.arrays.FloatingArray):
        values = values.to_numpy(dtype="float64", na_value=math.inf)
    return [None if gone else _unboxed(value) for value, gone in zip(values, missing, strict=True)]


def _unboxed(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
