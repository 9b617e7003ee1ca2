"""An evaluation as `report.md`: errors with intervals and signatures, what they compare with, agreement, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports import export_markdown, run_facts
from reports.evaluation_summary import MOST_APART, columns
from reports.format import Row, number, percent, text
from reports.summaries.evaluation import STATUSES, Agreement, Worst, comparison, digest, harmony, repeated_views, views

MOST_CLASSES = 20
METHOD = (
    "Errors in %, with their 95 % interval. Softmax outputs are averaged over the views of an image and, in an "
    "ensemble, over its networks; where classes are equally probable, the right one has its share of the credit. "
    "Images/s were timed once and have no interval: `alexbench speed` measures them."
)


def markdown(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The report. `tables` is kind -> rows, `run` what `run.json` holds, `pictures` file name -> title."""
    found = digest(tables)
    sections = [f"# alexbench {run.get('command', 'evaluate')}", f"**{_escaped(found.sentence)}**"]
    sections += [run_facts.opening(run), METHOD if found.panels else ""]
    for panel in found.panels:
        cells = {name: [cell(row) for row in panel.rows] for name, cell in columns(panel.rows)}
        sections += [f"## {_escaped(panel.title)}", export_markdown.signed(cells, panel.rows)]
        sections.append("\n".join(f"- {_escaped(said)}" for said in (*comparison(panel), *repeated_views(panel))))
    legend = export_markdown.table(("weights", "file"), [list(pair) for pair in found.files]) if found.files else ""
    sections += ["## The weights", legend] if legend else []
    sections += ["## Agreement between the frameworks"] if found.agreements else []
    sections += [part for agreement in found.agreements if agreement.apart for part in _differing(agreement)]
    sections += [_escaped(said) for said in harmony(found.agreements)]
    worst = [part for one in found.worst if one.rows for part in _worst(one)]
    sections += ["## Classes with the highest error", *worst] if worst else []
    if found.failures:
        sections += ["## Scores that are not there", _failures(found.failures)]
    sections += export_markdown.pictures(pictures)
    return "\n\n".join(filter(None, [*sections, "## The run", run_facts.markdown(run)])) + "\n"


def _differing(agreement: Agreement) -> list[str]:
    header = ("image", "name", "label", "framework", "says", "probability", "margin")
    cells = []
    for row in agreement.apart[:MOST_APART]:
        for one in ("a", "b"):
            figures = [number(row, f"{name}_{one}") for name in ("probability", "margin")]
            said = [text(row, f"{name}_{one}") for name in ("framework", "predicted")]
            place = [text(row, name) if one == "a" else "" for name in header[:3]]
            cells.append([*place, *said, *("" if value is None else f"{value:.8g}" for value in figures)])
    left = len(agreement.apart) - MOST_APART
    return [
        _escaped(agreement.sentence),
        export_markdown.table(header, cells),
        f"And {left} more in `agreement.csv`." if left > 0 else "",
    ]


def _worst(worst: Worst) -> list[str]:
    header = ("class", "name", "images", "top-1 %", "top-5 %")
    cells = [
        [
            *(text(row, name) for name in header[:3]),
            *(percent(number(row, name)) for name in ("top1_error", "top5_error")),
        ]
        for row in worst.rows[:MOST_CLASSES]
    ]
    left = len(worst.rows) - MOST_CLASSES
    return [
        _escaped(f"{worst.framework}, {worst.weights}, {views(worst.crops)}:"),
        export_markdown.table(header, cells),
        f"And {left} more with errors in `class-error.csv`." if left > 0 else "",
    ]


def _failures(rows: Sequence[Row]) -> str:
    header = ("framework", "network", "weights", "crops", "what happened", "reason")
    cells = [
        [
            *(text(row, name) for name in header[:4]),
            STATUSES.get(text(row, "status"), text(row, "status") or "no score"),
            text(row, "reason"),
        ]
        for row in rows
    ]
    return export_markdown.table(header, cells)


def _escaped(said: str) -> str:
    return export_markdown.escaped(said)
