"""A training run as `report.md`: the result of each training, its curves, its epochs, the signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports import export_markdown, run_facts
from reports.format import Row, clean, figure, measured, number, percent, text
from reports.summaries.training import Line, digest
from reports.training_summary import columns, left_behind, loss_text

MOST_EPOCHS = 100  # of a training, in the report; the table has all


def markdown(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The report. `tables` is kind -> rows, `run` what `run.json` holds, `pictures` file name -> title."""
    found = digest(tables, run)
    sections = [f"# alexbench {run.get('command', 'train')}", f"**{_escaped(found.sentence)}**"]
    sections.append(run_facts.opening(run))
    for panel in found.panels:
        cells = {name: [cell(line) for line in panel.lines] for name, cell in columns(panel.lines)}
        sections += [f"## {_escaped(panel.title)}", export_markdown.signed(cells, [line.last for line in panel.lines])]
    sections.append("\n".join(f"- {_escaped(said)}" for said in left_behind(run)))
    failures = [clean(str(one)) for one in run.get("failures") or ()]
    sections += ["## What failed", "\n".join(f"- {_escaped(said)}" for said in failures)] if failures else []
    sections += export_markdown.pictures(pictures)
    epochs = [part for panel in found.panels for line in panel.lines for part in _epochs(line)]
    sections += ["## Epochs", "Errors in % of the validation part.", *epochs] if epochs else []
    return "\n\n".join(filter(None, [*sections, "## The run", run_facts.markdown(run)])) + "\n"


def _epochs(line: Line) -> list[str]:
    """The last epochs of a training."""
    if not line.epochs:
        return []
    best = line.best
    cells = [
        (
            text(row, "epoch"),
            text(row, "step"),
            f"{rate:.3g}" if (rate := number(row, "learning_rate")) is not None else "",
            loss_text(measured(row, "loss")),
            percent(measured(row, "top1_error")) + (" (lowest)" if row is best else ""),
            percent(measured(row, "top5_error")),
            _figure(number(row, "images_per_s")),
        )
        for row in line.epochs[-MOST_EPOCHS:]
    ]
    header = ("epoch", "step", "learning rate", "loss", "top-1 %", "top-5 %", "images/s")
    left = len(line.epochs) - MOST_EPOCHS
    more = f"The {left} epochs before these are in `training.csv`." if left > 0 else ""
    return [f"### {_escaped(line.name)}", export_markdown.table(header, cells), more]


def _escaped(said: str) -> str:
    return export_markdown.escaped(said)


def _figure(value: float | None) -> str:
    return "" if value is None else figure(value)
