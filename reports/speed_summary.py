"""A speed run on the terminal: a table per network, precision and phase, what failed and why, one closing sentence.

Texts that come from outside (reasons, notes, names) are printed as they are, never as rich's markup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports.format import (
    Row,
    briefly,
    briefly_claimed,
    claimed,
    clean,
    figure,
    interval,
    number,
    plural,
    positive,
    share,
    text,
)
from reports.render.terminal import Console
from reports.statistics import Interval
from reports.summaries import layers as speed_layers
from reports.summaries.speed import STATUSES, Line, Panel, digest, is_emulated, is_split

MOST_FAILURES = 8  # report.md has all of them
MOST_LINES = 4  # of a reason: the end of a crashed worker's stderr can be long
MOST_PLACES = 3  # that one note names
# Columns that are left out first: with the batch size beside it, images/s says what the step takes.
SPARE = ("step ms", "MB", "peak")
EMULATED = "* emulated devices share this machine's cores: they show the split is right, no speed-up is claimed"
KIND_OF_BAD = ("parity-failed", "crashed", "timed-out")


Write = Callable[[Interval | None, Callable[[float], str]], str]


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    cell: Callable[[Line], str]
    right: bool = True


def show(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the summary of `tables` (kind -> rows). Without a terminal it is plain text, 80 columns wide."""
    console = console or Console()
    console.print(summary(tables, run, console.width), highlight=False)


def summary(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any], width: int = 80) -> RenderableType:
    """Tables, layers, failures, and the sentence as the last line."""
    found = digest(tables)
    parts: list[RenderableType] = [part for panel in found.panels for part in _panel(panel, width)]
    parts += _layers(tables.get("layer", ()))
    parts += [part for line in found.failures[:MOST_FAILURES] for part in _failure(line)]
    if len(found.failures) > MOST_FAILURES:
        parts.append(Text(f"{plural(len(found.failures) - MOST_FAILURES, 'more setting')} without a figure: report.md"))
    parts += [Text()] if found.failures else []
    if run.get("status") not in (None, "complete", "running"):
        parts.append(Text(f"The run was not finished (status {clean(str(run['status']))}).", style="yellow"))
    bad = any(text(line.row, "status") in KIND_OF_BAD for line in found.failures) or not found.panels
    return Group(*parts, Text(found.sentence, style="bold red" if bad else "bold green"))


def _panel(panel: Panel, width: int) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(panel.title, style="bold")]
    parts += [Text(panel.peak, style="dim")] if panel.peak else []
    parts.append(_table(panel, width))
    if any(is_emulated(line.row) for line in panel.lines):
        parts.append(Text(EMULATED, style="yellow"))
    parts += [Text(said) for said in exchanges(panel.lines)]
    parts += [Text(said, style="yellow") for said in notes(panel.lines)]
    return [*parts, Text()]


def _layers(rows: Sequence[Row]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    shown = ""
    for one in speed_layers.groups(rows):
        if one.place != shown:
            parts += [Text()] * bool(parts) + [Text(f"Where the time goes: {one.place}", style="bold")]
        parts.append(Text(f"{one.name}: {one.sentence}"))
        shown = one.place
    return [*parts, Text()] if parts else []


def _table(panel: Panel, width: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    columns = _fitting(panel, width)
    for column in columns:
        table.add_column(Text(column.name), justify="right" if column.right else "left", overflow="fold")
    for line in panel.lines:
        style = "dim" if is_emulated(line.row) else "bold" if text(line.row, "tuning") == "tuned" else ""
        table.add_row(*(Text(column.cell(line)) for column in columns), style=style)
    return table


def _fitting(panel: Panel, width: int) -> list[_Column]:
    """The columns that the width has room for: with both ends of every interval where that fits."""
    columns = _columns(panel, interval, claimed)
    if _width(columns, panel) > width:
        columns = _columns(panel, briefly, briefly_claimed)
    for name in SPARE:
        if _width(columns, panel) > width:
            columns = [column for column in columns if column.name != name]
    return columns


def _width(columns: Sequence[_Column], panel: Panel) -> int:
    return sum(1 + max(len(column.name), *(len(column.cell(line)) for line in panel.lines)) for column in columns)


def _columns(panel: Panel, held: Write, ratio: Write) -> list[_Column]:
    """The columns that this panel has anything for; `held` and `ratio` write what has an interval."""
    columns = [_Column("framework", lambda line: line.name, right=False)]
    if any(line.split for line in panel.lines):
        columns.append(_Column("split", lambda line: line.split.replace(" emulated", "*"), right=False))
    columns.append(_Column("batch", lambda line: text(line.row, "batch_size")))
    columns.append(_Column("images/s", lambda line: held(line.images, figure)))
    columns.append(_Column("step ms", lambda line: _figure(line.row, "step_ms")))
    if any(line.over_stock for line in panel.lines):
        columns.append(_Column("over stock", lambda line: ratio(line.over_stock, figure)))
    if any(line.over_one for line in panel.lines):
        columns.append(_Column("over one", lambda line: ratio(line.over_one, figure)))
    columns.append(_Column("peak", lambda line: share(number(line.row, "fraction_of_peak"))))
    columns.append(_Column("MB", lambda line: _figure(line.row, "peak_memory_mb")))
    if any(positive(line.row, "joules_per_image") for line in panel.lines):
        columns.append(_Column("J/image", lambda line: _figure(line.row, "joules_per_image")))
    columns.append(_Column("stable", lambda line: text(line.row, "stable")))
    return columns


def _figure(row: Row, name: str) -> str:
    value = number(row, name)
    return "" if value is None else figure(value)


def exchanges(lines: Sequence[Line]) -> list[str]:
    """What each split sends, and the least share of the step that takes, a line per split and batch size."""
    found: dict[tuple[str, str], list[Row]] = {}
    for line in lines:
        if is_split(line.row) and number(line.row, "bytes_exchanged") is not None:
            found.setdefault((line.split, text(line.row, "batch_size")), []).append(line.row)
    told = []
    for (split, batch), rows in found.items():
        sent = max(number(row, "bytes_exchanged") or 0.0 for row in rows)
        shares = sorted(value for row in rows if (value := number(row, "exchange_share")) is not None)
        bounds = dict.fromkeys(share(value) for value in (shares[:1] + shares[-1:]))
        least = f", at least {' to '.join(bounds)} of the step" if bounds else ""
        told.append(f"{split}, batch {batch}: each device sends {figure(sent / 1e6)} MB per step{least}")
    return told


def notes(lines: Sequence[Line]) -> list[str]:
    """Each note once, with the settings it belongs to."""
    found: dict[str, list[str]] = {}
    for line in lines:
        for note in filter(None, (text(line.row, "note"), line.doubt)):
            found.setdefault(note, []).append(line.place)
    told = []
    for note, places in found.items():
        rest = len(places) - MOST_PLACES
        more = f" and {rest} more" if rest > 0 else ""
        told.append(f"{'; '.join(places[:MOST_PLACES])}{more}: {note}")
    return told


def _failure(line: Line) -> list[RenderableType]:
    status = text(line.row, "status")
    style = "bold red" if status in KIND_OF_BAD else "yellow"
    where = ", ".join(filter(None, (text(line.row, name) for name in ("network", "precision", "phase", "device"))))
    title = Text.assemble((STATUSES.get(status, status or "no figure"), style), f"  {line.place} ({where})")
    lines = [clean(said) for said in str(line.row.get("reason") or "no reason given").splitlines() if said.strip()]
    if len(lines) > MOST_LINES:  # of what a process printed, the end says why it ended
        lines = [lines[0], *lines[len(lines) - MOST_LINES + 1 :]]
    return [title, Padding(Text("\n".join(lines)), (0, 0, 0, 2), expand=False)]
