"""An evaluation on the terminal: errors with intervals, what they may be compared with, who agrees, what failed.

Texts that come from outside (classes, file names, reasons) are printed as they are, never as rich's markup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports.format import Row, between, clean, figure, number, percent, text
from reports.render.terminal import Console
from reports.summaries.evaluation import (
    STATUSES,
    Agreement,
    Panel,
    Worst,
    called,
    comparison,
    digest,
    harmony,
    is_comparable,
    repeated_views,
    views,
)

MOST_FAILURES = 8
MOST_LINES = 4  # of a reason: the end of a crashed worker's stderr can be long
MOST_APART = 20  # images on which frameworks differ
MOST_CLASSES = 5
WIDE = 96  # columns from which on there is room for everything
Column = tuple[str, Callable[[Row], str]]


def show(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the summary of `tables` (kind -> rows). Without a terminal it is plain text, 80 columns wide."""
    console = console or Console()
    console.print(summary(tables, run, console.width), highlight=False)


def summary(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any], width: int = 80) -> RenderableType:
    """Scores, comparisons, agreement, worst classes, failures, and the sentence as the last line."""
    found = digest(tables)
    parts: list[RenderableType] = [part for panel in found.panels for part in _panel(panel, width)]
    legend = [Text(said) for said in called(found.files)]
    parts += [*legend, Text()] if legend else []
    for agreement in found.agreements:
        parts += _differing(agreement) if agreement.apart else []
    parts += [Text(said, style="green") for said in harmony(found.agreements)]
    parts += [Text()] if found.agreements else []
    classes = [Text(said) for worst in found.worst if (said := worst_classes(worst))]
    parts += [*classes, Text()] if classes else []
    parts += [part for row in found.failures[:MOST_FAILURES] for part in _failure(row)]
    if len(found.failures) > MOST_FAILURES:
        parts.append(Text(f"{len(found.failures) - MOST_FAILURES} more without a score: report.md"))
    parts += [Text()] if found.failures else []
    if run.get("status") not in (None, "complete", "running"):
        parts.append(Text(f"The run was not finished (status {clean(str(run['status']))}).", style="yellow"))
    return Group(*parts, Text(found.sentence, style="bold red" if found.failures or not found.panels else "bold green"))


def columns(rows: Sequence[Row]) -> list[Column]:
    """The columns that these rows have anything for. Errors in %, with their 95 % intervals."""
    given: list[Column] = [
        ("network", lambda row: text(row, "network")),
        ("weights", lambda row: text(row, "weights")),
        ("crops", lambda row: text(row, "crops")),
        ("framework", lambda row: text(row, "framework")),
        ("top-1 error %", lambda row: _error(row, "top1")),
        ("top-5 error %", lambda row: _error(row, "top5")),
        ("published", _published),
        ("images/s", lambda row: figure(value) if (value := number(row, "images_per_s")) is not None else ""),
    ]
    return [(name, cell) for name, cell in given if any(cell(row) for row in rows)]


def worst_classes(worst: Worst) -> str:
    """`Worst classes (torch, 3f2a, 10 crops): 8 12.50 %, 1 9.09 %`, empty where no class has an error."""
    if not worst.rows:
        return ""
    told = [f"{text(row, 'name')} {percent(number(row, 'top1_error'))} %" for row in worst.rows[:MOST_CLASSES]]
    return f"Worst classes ({worst.framework}, {worst.weights}, {views(worst.crops)}): {', '.join(told)}"


def apart(row: Row) -> str:
    """What two frameworks say of one image, with both probabilities and margins."""
    image = " ".join(filter(None, [text(row, "image"), text(row, "name")]))
    said = [
        f"{text(row, f'framework_{one}')} {text(row, f'predicted_{one}')} {_probability(row, f'probability_{one}')}"
        f" (margin {_probability(row, f'margin_{one}')})"
        for one in ("a", "b")
    ]
    return f"{image}, {text(row, 'label')}: {'; '.join(said)}"


def _probability(row: Row, name: str) -> str:
    value = number(row, name)
    return "-" if value is None else f"{value:.6f}" if abs(value) >= 1e-4 else f"{value:.1e}"


def _error(row: Row, name: str) -> str:
    return between(number(row, f"{name}_error"), number(row, f"{name}_low"), number(row, f"{name}_high"))


def _published(row: Row) -> str:
    """Top-1 and top-5, where the two may be compared."""
    if not is_comparable(row):
        return ""
    return " / ".join(percent(number(row, name)) or "-" for name in ("paper_top1", "paper_top5"))


def _panel(panel: Panel, width: int) -> list[RenderableType]:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    shown = columns(panel.rows)
    title = panel.title
    alone = {name: cell(panel.rows[0]) for name, cell in shown if len({cell(row) for row in panel.rows}) == 1}
    if alone.get("network"):  # what is the same in every row is said once
        title = f"{alone['network']} on {title}"
        shown = [column for column in shown if column[0] != "network"]
    if width < WIDE:  # what is said below the table needs no column
        shown = [column for column in shown if column[0] != "published"]
    if not _fits(shown, panel.rows, width):  # the errors' intervals are worth more than how fast they came
        shown = [column for column in shown if column[0] != "images/s"]
    for name, _ in shown:
        left = name in ("network", "weights", "framework")
        table.add_column(Text(name), justify="left" if left else "right", overflow="fold")
    for row in panel.rows:
        table.add_row(*(Text(cell(row)) for _, cell in shown))
    said: list[RenderableType] = [Text(line) for line in (*comparison(panel), *repeated_views(panel))]
    return [Text(title, style="bold"), table, *said, Text()]


def _fits(shown: Sequence[Column], rows: Sequence[Row], width: int) -> bool:
    widths = [max(len(name), *(len(cell(row)) for row in rows)) for name, cell in shown]
    return sum(widths) + len(widths) - 1 <= width


def _differing(agreement: Agreement) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(agreement.sentence, style="yellow")]
    parts += [Padding(Text(apart(row)), (0, 0, 0, 2), expand=False) for row in agreement.apart[:MOST_APART]]
    left = len(agreement.apart) - MOST_APART
    return [*parts, Padding(Text(f"and {left} more in agreement.csv"), (0, 0, 0, 2))] if left > 0 else parts


def _failure(row: Row) -> list[RenderableType]:
    status = text(row, "status")
    where = ", ".join(filter(None, [text(row, "framework"), text(row, "weights"), views(text(row, "crops"))]))
    title = Text.assemble((STATUSES.get(status, status or "no score"), "bold red"), f"  {where}")
    lines = [clean(said) for said in str(row.get("reason") or "no reason given").splitlines() if said.strip()]
    if len(lines) > MOST_LINES:  # of what a process printed, the end says why it ended
        lines = [lines[0], *lines[len(lines) - MOST_LINES + 1 :]]
    return [title, Padding(Text("\n".join(lines)), (0, 0, 0, 2), expand=False)]
