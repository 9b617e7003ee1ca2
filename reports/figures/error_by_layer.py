"""The picture of a parity run: error against float64 layer by layer, on a log scale, with the rounding gauge as a line.

Frameworks that agree lie within a hair of each other, so each stands a little aside of its layer's tick: `stock` is a
dot, `tuned` a ring around it. Colours are Okabe and Ito's, told apart by every kind of eye, and shapes say it again.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from reports import atomic, signatures
from reports.format import visible
from reports.summaries.parity import Row, text, worst

COLOURS = {"torch": "#D55E00", "tensorflow": "#009E73", "jax": "#0072B2"}
SHAPES = {"torch": "o", "tensorflow": "s", "jax": "^"}
# For frameworks and implementations from outside, in order of appearance.
OTHER_COLOURS = ("#CC79A7", "#E69F00", "#56B4E9", "#000000")
OTHER_SHAPES = ("D", "v", "P", "X")
GAUGE = "#444444"
QUIET = "#5A5A5A"
SPREAD = 0.66  # of the distance between two layers, shared by the frameworks
DOT, RING = 3.4, 6.4  # marker sizes in points
IN_LEGEND = 22
LEGIBLE = 25  # layers; with more, their names are set smaller

Series = dict[str, float]  # layer -> relative error


def drawable(rows: Sequence[Row]) -> bool:
    """Whether these rows have anything to draw."""
    return bool(_forward(rows))


def draw(rows: Sequence[Row], layers: Sequence[str], path: Path) -> None:
    """Draw the `forward` rows that carry `reference_rms` as a PNG. Raises ValueError where none does, OSError.

    A row stands at the layer it measures, `tensor`: `layer` may be one that nobody returned, and that is to blame.
    Error is `rms_error / reference_rms`, the worst of a layer's cases; `gauge_rms` and `baseline_rms` are drawn on the
    same scale. Without `layers` the order is that of the rows.
    """
    kept = _forward(rows)
    if not kept:
        raise ValueError("no row of level 'forward' carries reference_rms: there is nothing to draw")
    known = list(dict.fromkeys(text(row, "tensor") for row in kept))
    order = [name for name in layers if name in known] + [name for name in known if name not in layers]
    figure = Figure(figsize=(max(9.0, 3.0 + 0.42 * len(order)), 5.8), dpi=160, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    _draw_series(axes, kept, order)
    _dress(axes, kept, order)
    _place(figure, axes, kept)
    save_png(figure, path)


def save_png(figure: Figure, path: Path) -> None:
    """Write a picture, whole or not at all. Raises OSError."""
    for shown in figure.findobj(Text):
        shown.set_text(visible(shown.get_text()))  # matplotlib would name what no font has, and a terminal obey it
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    atomic.write_bytes(buffer.getvalue(), path)


def _forward(rows: Sequence[Row]) -> list[Row]:
    return [
        row
        for row in rows
        if row.get("level") == "forward" and row.get("rms_error") is not None and (row.get("reference_rms") or 0) > 0
    ]


def _relative(rows: Sequence[Row], name: str) -> Series:
    """The worst relative value of column `name` for each layer that has one."""
    found: dict[str, list[float | None]] = {}
    for row in rows:
        if row.get(name) is not None:
            found.setdefault(text(row, "tensor"), []).append(float(row[name]) / float(row["reference_rms"]))
    return {layer: value for layer, values in found.items() if (value := worst(values)) is not None}


def _draw_series(axes: Axes, rows: Sequence[Row], order: Sequence[str]) -> None:
    gauge, baseline = _relative(rows, "gauge_rms"), _relative(rows, "baseline_rms")
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((text(row, "framework"), text(row, "tuning")), []).append(row)
    drawn = {key: _relative(group, "rms_error") for key, group in sorted(groups.items())}
    low, high = _limits([gauge, baseline, *drawn.values()])
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    _reference_line(axes, order, gauge, "rounding gauge (1 σ)", linestyle=(0, (5, 3)), linewidth=1.6, color=GAUGE)
    _reference_line(axes, order, baseline, "float32 NumPy", linestyle="-", linewidth=1.0, color="#999999")
    frameworks = list(dict.fromkeys(framework for framework, _ in drawn))
    for (framework, tuning), series in drawn.items():
        offset = SPREAD * ((frameworks.index(framework) + 0.5) / len(frameworks) - 0.5)
        _one(
            axes, order, series, offset, _look(framework, tuning, frameworks), _folded(f"{framework} {tuning}".strip())
        )


def _folded(label: str) -> str:
    """The name of a file is as long as its author likes; the legend has room for so many characters."""
    return "\n".join(textwrap.wrap(label, IN_LEGEND))


def _reference_line(axes: Axes, order: Sequence[str], series: Series, label: str, **look: Any) -> None:
    if series:
        heights = [series.get(name) or math.nan for name in order]  # zero has no place on a log scale
        dash: dict[str, Any] = (
            {"marker": "_", "markersize": 30} if len(order) == 1 else {}
        )  # one point alone draws no line
        axes.plot(range(len(order)), heights, label=label, zorder=2, **look, **dash)


def _look(framework: str, tuning: str, frameworks: Sequence[str]) -> dict[str, Any]:
    others = [name for name in frameworks if name not in COLOURS]
    place = others.index(framework) if framework in others else 0
    colour = COLOURS.get(framework, OTHER_COLOURS[place % len(OTHER_COLOURS)])
    shape = SHAPES.get(framework, OTHER_SHAPES[place % len(OTHER_SHAPES)])
    size, filled = (RING, "none") if tuning == "tuned" else (DOT, colour)
    return {"color": colour, "marker": shape, "markersize": size, "markerfacecolor": filled, "linestyle": "none"}


def _one(axes: Axes, order: Sequence[str], series: Series, offset: float, look: dict[str, Any], label: str) -> None:
    low, high = axes.get_ylim()
    places = [(number + offset, series[name]) for number, name in enumerate(order) if name in series]
    inside = [(x, y) for x, y in places if math.isfinite(y) and y > 0]
    axes.plot(*_sides(inside), linewidth=0.5, alpha=0.4, color=look["color"], zorder=3)
    axes.plot(*_sides(inside), label=label, zorder=4, **look)
    # Zero and infinity have no place on a log scale: they stand on the axis and on the upper edge.
    axes.plot(*_sides([(x, low) for x, y in places if y == 0]), clip_on=False, zorder=5, **look)
    for x, y in places:
        if not math.isfinite(y):
            axes.plot([x], [high], clip_on=False, zorder=5, **look)
            said = {"fontsize": 6.5, "ha": "center", "va": "top", "rotation": 90, "color": look["color"]}
            axes.annotate("NaN" if math.isnan(y) else "inf", (x, high), (0, -7), textcoords="offset points", **said)


def _sides(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _limits(all_series: Sequence[Series]) -> tuple[float, float]:
    """Whole decades around everything that has a place on a log scale, with room for the legend above."""
    seen = [y for series in all_series for y in series.values() if math.isfinite(y) and y > 0]
    low, high = (min(seen), max(seen)) if seen else (1e-8, 1e-6)
    return 10.0 ** math.floor(math.log10(low) - 0.1), 10.0 ** math.ceil(math.log10(high) + 0.3)


def _dress(axes: Axes, rows: Sequence[Row], order: Sequence[str]) -> None:
    axes.set_xlim(-0.6, len(order) - 0.4)
    size = 9 if len(order) <= LEGIBLE else 6.5
    axes.set_xticks(
        range(len(order)), labels=list(order), rotation=55, ha="right", rotation_mode="anchor", fontsize=size
    )
    for number in range(0, len(order), 2):
        axes.axvspan(number - 0.5, number + 0.5, color="#F5F5F5", linewidth=0, zorder=0)
    axes.set_ylabel("rms error / rms of the layer's output", fontsize=9, color=QUIET)
    axes.tick_params(axis="y", which="both", labelsize=9, color=QUIET)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6, zorder=1)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if any(row["rms_error"] == 0 for row in rows):
        axes.annotate(
            "on the axis: exactly equal", (1, 0), (-4, 5), xycoords="axes fraction", textcoords="offset points",
            ha="right", va="bottom", fontsize=7.5, color=QUIET,
        )  # fmt: skip


def _place(figure: Figure, axes: Axes, rows: Sequence[Row]) -> None:
    """Title above, legend beside, signature below; margins in inches, so that a wide network changes none of them."""
    width, height = figure.get_size_inches()
    left, right, top, bottom = 0.85 / width, 2.1 / width, 0.95 / height, 1.25 / height
    axes.set_position((left, bottom, 1 - left - right, 1 - top - bottom))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=9, handlelength=2.2)
    names = ", ".join(filter(None, [signatures.parts(rows[0]).get("network", ""), _only(rows, "precision")]))
    figure.text(left, 1 - 0.42 / height, names or "parity", fontsize=14, weight="bold", va="baseline")
    said = "Error against float64 after each layer, with everything before it accumulated"
    figure.text(left, 1 - 0.70 / height, said, fontsize=10, color=QUIET, va="baseline")
    characters = int((width - 1.2) * 19)  # of the small print on a line: its font has about 19 to the inch
    signature = "\n".join(textwrap.wrap(signatures.merged(rows).replace("|", "| "), characters)).replace("| ", "|")
    figure.text(left, 0.1 / height, signature, fontsize=6.5, color=QUIET, va="bottom", linespacing=1.4)


def _only(rows: Sequence[Row], name: str) -> str:
    return ", ".join(dict.fromkeys(filter(None, (text(row, name) for row in rows))))
