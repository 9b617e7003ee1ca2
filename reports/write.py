"""The files of a finished run: its tables as Parquet and CSV, its pictures, its `report.md`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reports import (
    audit_report,
    evaluation_report,
    export_csv,
    export_markdown,
    export_parquet,
    paper_report,
    parity_report,
    speed_report,
    tables,
    training_report,
)
from reports.figures.style import Picture

REPORT = "report.md"

Tables = Mapping[str, Sequence[tables.Row]]  # kind -> rows
Run = Mapping[str, Any]  # what run.json holds


class Entry(NamedTuple):
    """What a command's run is reported with."""

    main: str  # the kind of table that no other command's run has
    pictures: Callable[[Tables, Run], list[Picture]]
    markdown: Callable[[Tables, Run, Mapping[str, str]], str]  # the last: pictures' file names and titles


# A new command is one more entry here. Parity is last: a run of another may hold the checks that came before it.
REPORTS: dict[str, Entry] = {
    "speed": Entry("speed", speed_report.pictures, speed_report.markdown),
    "train": Entry("training", training_report.pictures, training_report.markdown),
    "evaluate": Entry("evaluation", evaluation_report.pictures, evaluation_report.markdown),
    "paper": Entry("ledger", paper_report.pictures, paper_report.markdown),
    "audit": Entry("audit", audit_report.pictures, audit_report.markdown),
    "parity": Entry("parity", parity_report.pictures, parity_report.markdown),
}


def write(folder: Path, run: Run, rows: Tables) -> list[str]:
    """Write everything that `rows` (kind -> rows) and `run` (what `run.json` holds) give; returns the file names.

    Raises OSError.
    """
    written = []
    for kind, found in rows.items():
        table = tables.frame(kind, found)
        export_parquet.write(table, folder / f"{kind}.parquet")
        export_csv.write(table, folder / f"{kind}.csv")
        written += [f"{kind}.parquet", f"{kind}.csv"]
    entry = _entry(run, rows)
    pictures = entry.pictures(rows, run)
    for picture in pictures:
        picture.draw(folder / picture.name)
        written.append(picture.name)
    text = entry.markdown(rows, run, {picture.name: picture.title for picture in pictures})
    export_markdown.write(text, folder / REPORT)
    return [*written, REPORT]


def _entry(run: Run, rows: Tables) -> Entry:
    """By the command; of one that is not known by the tables it left."""
    known = REPORTS.get(str(run.get("command")))
    fitting = (entry for entry in REPORTS.values() if rows.get(entry.main))
    return known or next(fitting, REPORTS["parity"])
