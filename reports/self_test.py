"""The self-test's table: each planted fault, whether it was caught and where. On the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from reports import export_markdown
from reports.parity_digest import Row, plural

# Column -> its heading, in the order of `reports.tables.SELF_TEST_COLUMNS`.
HEADINGS = {
    "fault": "planted fault",
    "planted_in": "in",
    "framework": "framework",
    "caught": "caught",
    "caught_at": "at level",
    "named": "named",
    "expected": "expected",
    "localised": "localised",
    "cause_named": "cause named",
}
# Eighty columns do not hold nine: the terminal leaves out what the report has.
ON_TERMINAL = ("fault", "framework", "caught", "caught_at", "named", "localised")


def show(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print the table and its sentence."""
    (console or Console()).print(summary(rows), highlight=False)


def summary(rows: Sequence[Row]) -> RenderableType:
    """The table with what was missed in red, and the sentence as the last line."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ON_TERMINAL:
        table.add_column(Text(HEADINGS[name]), overflow="fold")
    for row in rows:
        table.add_row(*(_styled(name, row) for name in ON_TERMINAL))
    style = "bold green" if rows and not _missed(rows) else "bold red"
    return Group(table, Text(), Text(sentence(rows), style=style))


def markdown(rows: Sequence[Row]) -> str:
    """The whole table, under its sentence."""
    cells = [[_text(row.get(name)) for name in HEADINGS] for row in rows]
    return f"{sentence(rows)}\n\n{export_markdown.table(tuple(HEADINGS.values()), cells)}"


def sentence(rows: Sequence[Row]) -> str:
    """How many of the planted faults were caught and localised, and the names of those that were not."""
    if not rows:
        return "No fault was planted."
    missed = _missed(rows)
    if not missed:
        return f"All {plural(len(rows), 'planted fault')} caught and localised."
    caught = sum(_yes(row, "caught") for row in rows)
    localised = sum(_yes(row, "caught") and _yes(row, "localised") for row in rows)
    return (
        f"Of {plural(len(rows), 'planted fault')} {caught} caught, {localised} localised; missed: {', '.join(missed)}."
    )


def _missed(rows: Sequence[Row]) -> list[str]:
    wrong = [row for row in rows if not (_yes(row, "caught") and _yes(row, "localised"))]
    return [f"{_text(row.get('fault'))} ({_text(row.get('framework'))})" for row in wrong]


def _yes(row: Row, name: str) -> bool:
    return row.get(name) in (True, "yes")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _styled(name: str, row: Row) -> Text:
    text = Text(_text(row.get(name)))
    if name in ("caught", "localised"):
        text.stylize("green" if _yes(row, name) else "bold red")
    return text
