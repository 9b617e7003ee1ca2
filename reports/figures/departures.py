"""Bars of what each departure alone does to the logits and to the gradient, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from reports.figures import style as picture_frame
from reports.figures.error_by_layer import QUIET
from reports.format import ROUNDING, Row, clean, figure, number, text, written
from reports.summaries.audit import TOGETHER, place

WIDTH = 8.4
ROW = 0.52  # inches for the two bars of a departure
MARGINS: picture_frame.Margins = (3.0, 0.75, 0.4, 0.6)
LOWEST = 1e-4  # a tenth of a thousandth; what is less gets the shortest bar
BARS = (("logits_change", "#0072B2", "logits"), ("gradient_change", "#E69F00", "gradient"))  # Okabe and Ito's
LONGEST = 44


def drawable(rows: Sequence[Row]) -> bool:
    """Whether a departure was measured."""
    return bool(_measured(rows))


def draw(rows: Sequence[Row], run: Mapping[str, Any], path: Path, *, title: str) -> None:
    """Draw the rows of the table `audit` as a PNG. Raises ValueError where nothing was measured, OSError."""
    found = _measured(rows)
    if not found:
        raise ValueError("no departure was measured: there is nothing to draw")
    theirs, ours = (clean(str(run.get(name, ""))) for name in ("network", "against"))
    said = f"{theirs} against {ours}: relative change with shared weights on the same photographs, float64"
    height = MARGINS[2] + MARGINS[3] + ROW * len(found)
    panel = partial(_panel, rows=found)
    picture_frame.save(path, title, said, found, [(height, panel)], columns=1, width=WIDTH, margins=MARGINS)


def _measured(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if number(row, "logits_change") is not None]


def _panel(axes: Axes, rows: Sequence[Row]) -> None:
    axes.set_xscale("log")
    values = [number(row, name) or 0.0 for row in rows for name, _, _ in BARS]
    low = min([LOWEST, *(value / 3 for value in values if value >= ROUNDING)])
    axes.set_xlim(low, max([1.0, *values]) * 2)
    for place_of, row in enumerate(rows):
        for turn, (name, colour, _) in enumerate(BARS):
            value = number(row, name)
            if value is None:
                continue
            y = place_of + (turn - 0.5) * 0.36
            axes.barh(y, max(value, low) - low, left=low, height=0.34, color=colour, zorder=3)
            style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8, "color": QUIET}
            axes.annotate(written(value, "change"), (max(value, low), y), (4, 0), **style)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    picture_frame.quiet(axes, "x")
    axes.tick_params(axis="y", length=0, labelcolor="black")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{figure(100 * x)} %"))
    axes.set_xlabel("relative change", fontsize=9, color=QUIET)
    for turn, (_, colour, name) in enumerate(BARS):
        axes.annotate(
            name, (turn * 0.13, 1.0), (0, 6), xycoords="axes fraction", textcoords="offset points", color=colour,
            fontsize=9, weight="bold",
        )  # fmt: skip


def _label(row: Row) -> str:
    said = "all together" if text(row, "facet") == TOGETHER else place(row)
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"
