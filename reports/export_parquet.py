"""A table as Parquet, for programs. Types, missing values and NaN come back as they went."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet

from reports import atomic, tables


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the table, whole or not at all. Raises OSError."""
    buffer = BytesIO()
    table.to_parquet(buffer, index=False)
    atomic.write_bytes(buffer.getvalue(), path)


def read(kind: str, path: Path) -> pd.DataFrame:
    """The table as it was written."""
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()  # pandas would take NaN for missing
    return tables.frame(kind, rows)
