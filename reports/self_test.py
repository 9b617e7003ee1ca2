"""The self-test's table: each planted fault, whether it was caught and where. On the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reports import export_markdown
from reports.render.terminal import Console
from reports.summaries.parity import Row, plural

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


def show(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print the table and its sentence."""
    (console or Console()).print(summary(rows), highlight=False)


def summary(rows: Sequence[Row]) -> RenderableType:
    """A line per fault with a column per framework, what was missed in red, and the sentence as the last line."""
    frameworks = sorted({_text(row.get("framework")) for row in rows})
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("planted fault", "in", "caught at", *frameworks):
        table.add_column(Text(heading), overflow="fold")
    for (fault, place), group in _by_fault(rows).items():
        levels = ", ".join(dict.fromkeys(_text(row.get("caught_at")) for row in group.values() if row.get("caught_at")))
        cells = [_outcome(group[name]) if name in group else Text("-", style="dim") for name in frameworks]
        table.add_row(Text(fault), Text(place), Text(levels), *cells)
    style = "bold green" if rows and not _missed(rows) else "bold red"
    return Group(table, Text(), Text(sentence(rows), style=style))


def _by_fault(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, Row]]:
    groups: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        key = (_text(row.get("fault")), _text(row.get("planted_in")))
        groups.setdefault(key, {})[_text(row.get("framework"))] = row
    return groups


def _outcome(row: Row) -> Text:
    """Caught and in the right place, caught and called something else, or missed."""
    if not _yes(row, "caught"):
        return Text("missed", style="bold red")
    if not _yes(row, "localised"):
        return Text(f"as {_text(row.get('named')) or 'nothing'}", style="bold red")
    return Text("caught", style="green")


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
