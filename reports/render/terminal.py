"""The one way to a terminal, and a document on it: a terminal obeys nothing that came from outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import rich.console
import rich.table
from rich.console import ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text

from reports.document import Block, Document, Note, Picture, Row, Section, Table
from reports.format import clean, plural, visible
from reports.render import cells
from reports.schema import Column, Detail

STYLES = {"plain": "", "good": "green", "doubtful": "yellow", "bad": "bold red", "faint": "dim", "strong": "bold"}
MAX_LINES = 4  # of a finding: the end of a crashed worker's last words can be long
FOLDED = 24  # columns that a long text is content with


class Console(rich.console.Console):
    """Rich's console, whose own styles and cursor movements are the only control characters that it writes.

    It takes no word between two colons, such as a folder called dog: in imagefolder:dog:, for the name of a picture.
    """

    def __init__(self, *, emoji: bool = False, **settings: Any) -> None:
        """`settings` as Rich has them."""
        super().__init__(emoji=emoji, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is to be written, its text with control characters spelled out."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def say(text: str, *, error: bool = False) -> None:
    """A line, or several, as they are: not folded, not styled."""
    Console(stderr=error).print(visible(text), markup=False, highlight=False, soft_wrap=True)


def show(document: Document, console: Console | None = None) -> None:
    """Print a document as a person reads it in ten seconds. Without a terminal it is plain text, 80 columns wide."""
    console = console or Console()
    console.print(view(document, console.width), highlight=False, crop=False)


def view(document: Document, width: int = 80) -> RenderableType:
    """Its brief parts, a blank line between sections, and the verdict as the last line."""
    parts: list[RenderableType] = []
    for section in (*document.sections, *document.findings):
        _add(parts, _section(section, width))
    for note in document.caveats:
        _add(parts, _note(note) if note.detail == Detail.BRIEF else [])
    tone = document.verdict.tone
    _add(parts, [Text(document.verdict.sentence, style=STYLES[tone] if tone == "bad" else f"bold {STYLES[tone]}")])
    return Group(*parts)


def _add(parts: list[RenderableType], more: Sequence[RenderableType]) -> None:
    if more:
        parts += [Text(), *more] if parts else more


def _section(section: Section, width: int) -> list[RenderableType]:
    if section.detail > Detail.BRIEF:
        return []
    parts: list[RenderableType] = []
    shown = section.blocks[: section.most_brief]
    for block in shown:
        inner = _block(block, width)
        if section.spaced or isinstance(block, Section):
            _add(parts, inner)
        else:
            parts += inner
    if len(shown) < len(section.blocks):
        _add(parts, [Text(f"{len(section.blocks) - len(shown)} more in report.md")])
    if parts and section.title and not section.quiet:
        style = "bold" if section.tone == "plain" else STYLES[section.tone]
        parts.insert(0, Text(clean(section.title), style=style))
    return parts


def _block(block: Block, width: int) -> list[RenderableType]:
    if isinstance(block, Section):
        return _section(block, width)
    if isinstance(block, Picture) or block.detail > Detail.BRIEF:
        return []
    return _note(block) if isinstance(block, Note) else _table(block, width)


def _note(note: Note) -> list[RenderableType]:
    """A sentence as it is, set in where it stands for something longer; a finding's words below its title."""
    style = STYLES[note.tone]
    lines = [clean(line) for line in note.text.splitlines() if line.strip()]
    command = [Text(f"  {note.command}", style="bold cyan", no_wrap=True, overflow="ignore")] if note.command else []
    if not note.title and not note.status:
        said = Text("\n".join(lines), style=style)
        shown = Padding(said, (0, 0, 0, 2), expand=False) if note.detail == Detail.TERMINAL else said
        return [shown, *command] if lines else [*command]
    title = (
        Text.assemble((note.status, style), f"  {_line(note.title)}") if note.status else Text(_line(note.title), style)
    )
    if len(lines) > MAX_LINES:  # of what a process printed, the end says why it ended
        lines = [lines[0], *lines[len(lines) - MAX_LINES + 1 :]]
    return [title, *(Padding(Text(line), (0, 0, 0, 2), expand=False) for line in lines), *command]


def _line(said: str) -> str:
    return visible(said.replace("\n", " "))


def _table(table: Table, width: int) -> list[RenderableType]:
    rows = list(table.rows[: table.most_brief])
    if not rows:
        return []
    columns, brief, gap = _fitting(table, rows, width)
    grid = rich.table.Table(
        box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim", show_header=not table.quiet
    )
    for column in columns:
        side = "right" if cells.is_right(column) else "left"
        grid.add_column(Text(_heading(column)), justify=side, overflow="fold")  # type: ignore[arg-type]
    last: str | None = None
    for place, row in enumerate(rows):
        line = [Text(cells.said(row, one, brief=brief), style=STYLES[cells.tone(row, one)]) for one in columns]
        if table.groups:
            names = [one.name for one in columns]
            group = str(row.get(table.groups))
            if group == last and table.groups in names:
                line[names.index(table.groups)] = Text()  # said once: the eye finds the blocks
            last = group
        grid.add_row(*line, style=STYLES[table.tones[place]] if table.tones else "")
    left = len(table.rows) - len(rows)
    more = [Text(f"{plural(left, 'more row')} in {table.file or 'report.md'}", style="dim")] if left else []
    return [grid, *more]


def _heading(column: Column) -> str:
    return column.brief_label or column.heading


def _fitting(table: Table, rows: Sequence[Row], width: int) -> tuple[list[Column], bool, int]:
    """The columns that the width has room for, whether intervals are written briefly, and the gap between columns.

    Intervals with both ends first, then briefly, then without the spare columns.
    """
    columns = cells.shown(table, Detail.BRIEF)
    brief = _width(columns, rows, brief=False) > width
    for spare in sorted({column.spare for column in columns if column.spare}, reverse=True):
        if _width(columns, rows, brief=brief) > width:
            columns = [column for column in columns if column.spare != spare]
    return columns, brief, 2 if _width(columns, rows, brief=brief) + len(columns) <= width else 1


def _width(columns: Sequence[Column], rows: Sequence[Row], *, brief: bool) -> int:
    """Columns of the terminal, with one between; a long text can be folded."""
    wide = 0
    for column in columns:
        longest = max(len(cells.said(row, column, brief=brief)) for row in rows)
        longest = longest if cells.is_right(column) else min(longest, FOLDED)
        wide += 1 + max(len(_heading(column)), longest)
    return wide - 1
