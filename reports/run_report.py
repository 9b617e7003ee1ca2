"""The files of a finished run: its tables as Parquet and CSV, its picture, its `report.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reports import export_csv, export_markdown, export_parquet, parity_plot, parity_summary, tables

PICTURE = "error-by-layer.png"
REPORT = "report.md"


def write(folder: Path, run: Mapping[str, Any], rows: Mapping[str, Sequence[tables.Row]]) -> list[str]:
    """Write everything that `rows` (kind -> rows) and `run` (what `run.json` holds) give; returns the file names.

    Raises OSError.
    """
    written = []
    for kind, found in rows.items():
        table = tables.frame(kind, found)
        export_parquet.write(table, folder / f"{kind}.parquet")
        export_csv.write(table, folder / f"{kind}.csv")
        written += [f"{kind}.parquet", f"{kind}.csv"]
    parity = rows.get("parity", ())
    picture = PICTURE if parity_plot.drawable(parity) else ""
    if picture:
        parity_plot.draw(parity, run.get("layers") or (), folder / picture)
        written.append(picture)
    text = parity_summary.markdown(parity, run, picture, rows.get("self-test", ()))
    export_markdown.write(text, folder / REPORT)
    return [*written, REPORT]
