"""A training run on the terminal: a table per network and data, where the weights lie, one closing sentence.

Texts that come from outside (labels, names, reasons) are printed as they are, never as rich's markup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reports.format import Row, clean, figure, measured, number, percent, text
from reports.render.terminal import Console
from reports.summaries.training import Line, Panel, digest

MOST_FAILURES = 8
HASH = 12  # characters of a hash that tell it from every other
Column = tuple[str, Callable[[Line], str]]


def show(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the summary of `tables` (kind -> rows). Without a terminal it is plain text, 80 columns wide."""
    (console or Console()).print(summary(tables, run), highlight=False, soft_wrap=False)


def summary(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any]) -> RenderableType:
    """Tables, failures, and the sentence as the last line.

    `run` is what run.json holds; of its `trained`, where there (label -> what that training left), every file is named.
    """
    found = digest(tables, run)
    parts: list[RenderableType] = [part for panel in found.panels for part in _panel(panel)]
    left = left_behind(run)
    parts += [*map(Text, left), Text()] if left else []
    failures = [clean(str(one)) for one in run.get("failures") or ()]
    parts += [Text(said, style="bold red") for said in failures[:MOST_FAILURES]]
    if len(failures) > MOST_FAILURES:
        parts.append(Text(f"{len(failures) - MOST_FAILURES} more in report.md", style="bold red"))
    if run.get("status") not in (None, "complete", "running"):
        parts.append(Text(f"The run was not finished (status {clean(str(run['status']))}).", style="yellow"))
    return Group(*parts, Text(found.sentence, style="bold green" if found.held else "bold red"))


def left_behind(run: Mapping[str, Any]) -> list[str]:
    """`torch: weights torch.safetensors, hash 3f2a…`, a line per training, of run.json's `trained`."""
    trained = run.get("trained")
    if not isinstance(trained, Mapping):
        return []
    told = []
    for label, facts in trained.items():
        if isinstance(facts, Mapping):
            files = [f"{name} {facts[name]}" for name in ("weights", "best") if facts.get(name)]
            files += [f"hash {str(facts['hash'])[:HASH]}"] if facts.get("hash") else []
            told.append(clean(f"{label}: {', '.join(files)}"))
    return told


def columns(lines: Sequence[Line]) -> list[Column]:
    """The columns that these lines have anything for."""
    given: list[Column] = [
        ("training", lambda line: line.name),
        ("epochs", lambda line: text(line.last, "epoch")),
        ("steps", lambda line: text(line.last, "step")),
        ("loss", lambda line: loss_text(measured(line.last, "loss"))),
        ("top-1 %", lambda line: percent(measured(line.last, "top1_error"))),
        ("top-5 %", lambda line: percent(measured(line.last, "top5_error"))),
        ("best top-1 %", _best),
        ("images/s", lambda line: _figure(line.images_per_s)),
        ("time", lambda line: duration(line.seconds)),
    ]
    return [(name, cell) for name, cell in given if any(cell(line) for line in lines)]


def loss_text(value: float | None) -> str:
    """Four digits, `nan` for what is no number, empty where there is none."""
    return "" if value is None else f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """`47 s`, `12 min`, `5.3 h`."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def _best(line: Line) -> str:
    """The lowest error and the epoch after which it was reached."""
    row = line.best
    return "" if row is None else f"{percent(number(row, 'top1_error'))} (epoch {text(row, 'epoch')})"


def _figure(value: float | None) -> str:
    return "" if value is None else figure(value)


def _panel(panel: Panel) -> list[RenderableType]:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    shown = columns(panel.lines)
    for name, _ in shown:
        table.add_column(Text(name), justify="left" if name == "training" else "right", overflow="fold")
    for line in panel.lines:
        table.add_row(*(Text(cell(line)) for _, cell in shown), style="" if line.finite else "red")
    return [Text(panel.title, style="bold"), table, Text()]
