"""An audit as Markdown: the departures in order of consequence, with every figure and its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports import export_markdown, run_facts
from reports.format import Row, text
from reports.summaries.audit import TOGETHER, change, cosine, departures, kept, place, remarks, sentence, signed, totals

MEASURED = (
    "Logits and gradient: the reference with the one departure beside the reference, with the same weights on the same "
    "photographs in float64; change is the norm of the difference over the reference's norm, gradients are of training "
    "mode with shared labels and dropout masks. Counts are the reference with the one departure less the reference, "
    "for one image; memory is every layer's output and the weights in float32, in MiB."
)


def listing(rows: Sequence[Row], run: Mapping[str, Any]) -> str:
    """The departures alone, for a page of the reader's own."""
    return "\n\n".join(_body(rows, run)) + "\n"


def markdown(rows: Sequence[Row], run: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The report. `pictures` are file names and titles."""
    sections = ["# alexbench audit", run_facts.opening(run), *_body(rows, run)]
    sections += export_markdown.pictures(pictures)
    return "\n\n".join(filter(None, [*sections, "## The run", run_facts.markdown(run)])) + "\n"


def _body(rows: Sequence[Row], run: Mapping[str, Any]) -> list[str]:
    said = [f"**{export_markdown.escaped(sentence(rows, run))}**"]
    said += [export_markdown.escaped(line) for line in (totals(run), *remarks(run)) if line]
    if not rows:
        return said
    return [*said, _figures(rows), MEASURED, _reasons(departures(rows))]


def _figures(rows: Sequence[Row]) -> str:
    cells = {
        "departure": [place(row) for row in rows],
        "here": ["" if text(row, "facet") == TOGETHER else text(row, "theirs") for row in rows],
        "reference": [text(row, "reference") for row in rows],
        "consequence": [text(row, "consequence") for row in rows],
        "logits change": [change(row, "logits_change") for row in rows],
        "cosine": [cosine(row, "logits_cosine") for row in rows],
        "top-5 kept": [kept(row) for row in rows],
        "gradient change": [change(row, "gradient_change") for row in rows],
        "its cosine": [cosine(row, "gradient_cosine") for row in rows],
        "parameters": [signed(row, "parameters_change") for row in rows],
        "multiply-adds": [signed(row, "multiply_adds_change") for row in rows],
        "memory": [signed(row, "memory_change_mb") for row in rows],
    }
    return export_markdown.signed(cells, rows)


def _reasons(rows: Sequence[Row]) -> str:
    cells = {
        "departure": [place(row) for row in rows],
        "why it matters": [text(row, "why") for row in rows],
        "why it was not measured": [text(row, "note") for row in rows],
    }
    kept_columns = {name: column for name, column in cells.items() if any(column)}
    return export_markdown.table(list(kept_columns), export_markdown.transposed(kept_columns))
