"""An audit on the terminal: every departure in order of consequence, what it does, why it matters.

Texts that come from outside (layers' names, a framework's words) are printed as they are, never as rich's markup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports.format import Row, text
from reports.render.terminal import Console
from reports.summaries import audit as audit_digest
from reports.summaries.audit import (
    CONSEQUENCES,
    change,
    cosine,
    costs,
    departures,
    kept,
    place,
    sentence,
    signed,
    totals,
)

STYLES = {"foreign layer": "bold red", "another function": "red", "other shapes": "yellow", "same function": "green"}
WIDE = 120  # columns from which on every figure has a column of its own
Column = tuple[str, str, Callable[[Row], str]]

NARROW_COLUMNS: tuple[Column, ...] = (
    ("departure", "left", place),
    ("here", "left", lambda row: "" if text(row, "facet") == audit_digest.TOGETHER else text(row, "theirs")),
    ("reference", "left", lambda row: text(row, "reference")),
    ("logits", "right", lambda row: change(row, "logits_change")),
    ("gradient", "right", lambda row: change(row, "gradient_change")),
)
WIDE_COLUMNS: tuple[Column, ...] = (
    *NARROW_COLUMNS[:4],
    ("cosine", "right", lambda row: cosine(row, "logits_cosine")),
    ("top-5 kept", "right", kept),
    NARROW_COLUMNS[4],
    ("cosine", "right", lambda row: cosine(row, "gradient_cosine")),
    ("parameters", "right", lambda row: signed(row, "parameters_change")),
    ("multiply-adds", "right", lambda row: signed(row, "multiply_adds_change")),
)


def show(rows: Sequence[Row], run: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the summary. Without a terminal it is plain text, 80 columns wide."""
    console = console or Console()
    console.print(summary(rows, run, console.width), highlight=False)


def summary(rows: Sequence[Row], run: Mapping[str, Any], width: int = 80) -> RenderableType:
    """The table, a line of reasons for each departure, remarks, and the sentence as the last line."""
    parts: list[RenderableType] = [_table(rows, width), Text()] if rows else []
    parts += [part for row in departures(rows) for part in _reason(row)]
    notes = [text(row, "note") for row in rows if text(row, "facet") == audit_digest.TOGETHER]
    parts += [Text(f"Not measured together: {note}") for note in notes if note]
    said = [line for line in (totals(run), *audit_digest.remarks(run)) if line]
    parts += [Text(), *(Text(line) for line in said)] if said else []
    if run.get("status") not in (None, "complete", "running"):
        parts.append(Text("The run was not finished.", style="yellow"))
    style = "bold yellow" if departures(rows) else "bold green"
    return Group(*parts, Text(), Text(sentence(rows, run), style=style))


def _table(rows: Sequence[Row], width: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    shown = [column for column in (WIDE_COLUMNS if width >= WIDE else NARROW_COLUMNS) if _has_any(column, rows)]
    for name, side, _ in shown:
        table.add_column(Text(name), justify="right" if side == "right" else "left", overflow="fold")
    for row in rows:
        cells = [Text(cell(row)) for _, _, cell in shown]
        cells[0].stylize(STYLES.get(text(row, "consequence"), ""))
        table.add_row(*cells)
    return table


def _has_any(column: Column, rows: Sequence[Row]) -> bool:
    """Columns of figures are left out where nothing was measured; those of words stay."""
    return column[1] == "left" or any(column[2](row) for row in rows)


def _reason(row: Row) -> list[RenderableType]:
    consequence = text(row, "consequence")
    title = Text.assemble(
        (place(row), STYLES.get(consequence, "")), f"  ({CONSEQUENCES.get(consequence, consequence)})"
    )
    note = text(row, "note")
    lines = [text(row, "why"), costs(row), f"Not measured: {note}" if note else ""]
    return [title, *(Padding(Text(line), (0, 0, 0, 2), expand=False) for line in lines if line)]
