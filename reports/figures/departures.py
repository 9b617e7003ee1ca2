"""Bars of what each departure alone does to the logits and to the gradient, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.ticker import NullLocator

from reports import tables
from reports.figures import style
from reports.figures.style import Drawing
from reports.format import ROUNDING, Row, clean, number, text, written
from reports.summaries.audit import TOGETHER, place

ROW = 0.52  # inches for the two bars of a departure
LOWEST = 1e-4  # a tenth of a thousandth; what is less gets the shortest bar
BARS = {"logits": ("logits_change", style.PALETTE["jax"]), "gradient": ("gradient_change", style.PALETTE["other-2"])}
MAX_LABEL = 44
TITLE = "What each departure alone does"


@style.styled
def figure(audit: pd.DataFrame, run: Mapping[str, Any]) -> Drawing | None:
    """The departures of the table `audit` that were measured; None where none was. `run` is what run.json holds."""
    rows = [row for row in tables.records(audit) if number(row, "logits_change") is not None]
    if not rows:
        return None
    theirs, ours = (style.short(clean(str(run.get(name, "")))) for name in ("network", "against"))
    said = f"{theirs} against {ours}: relative change with shared weights on the same photographs, float64"
    drawn = style.drawing("departures", TITLE, said, rows, [1.0 + ROW * len(rows)], width=8.4, grid="x")
    [axes] = drawn.panels
    values = [value for row in rows for column, _ in BARS.values() if (value := number(row, column)) is not None]
    low = min([LOWEST, *(value / 3 for value in values if value >= ROUNDING)])
    axes.set(xscale="log", xlim=(low, max(1.0, *values) * 2), ylim=(len(rows) - 0.5, -0.5), xlabel="relative change")
    for turn, (name, (column, colour)) in enumerate(BARS.items()):
        known = [(y, row, value) for y, row in enumerate(rows) if (value := number(row, column)) is not None]
        heights, ends = [y + (turn - 0.5) * 0.36 for y, _, _ in known], [max(value, low) for _, _, value in known]
        bars = axes.barh(heights, [end - low for end in ends], 0.34, low, color=colour, label=name, zorder=3)
        points = [(_label(row), written(value, "change")) for _, row, value in known]
        style.mark(drawn, bars.patches, name, points, [value for *_, value in known])
        for end, y, (_, row, _) in zip(ends, heights, known, strict=True):
            style.say(axes, written(number(row, column), "change"), (end, y), (4, 0), color=style.QUIET)
    axes.set_yticks(range(len(rows)), [style.folded(_label(row), MAX_LABEL) for row in rows])
    axes.tick_params(axis="y", left=False)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(BARS), borderaxespad=0.3)
    return drawn


def _label(row: Row) -> str:
    return "all together" if text(row, "facet") == TOGETHER else place(row)
