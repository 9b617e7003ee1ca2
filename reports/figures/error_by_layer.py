"""The picture of a parity run: error against float64 layer by layer, on a log scale, with the rounding gauge.

Frameworks that agree lie within a hair of each other, so each stands a little aside of its layer's tick: `tuned` is a
dot, `stock` a ring around it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from reports import signatures, tables
from reports.figures import style
from reports.figures.style import Drawing, Spot
from reports.format import Row, clean, text, written
from reports.summaries.parity import worst

BESIDE = 0.66  # of the distance between two layers, shared by the frameworks
SEGMENT = 0.45  # of that distance, to each side of the tick
DOT, RING = 3.4, 6.4  # sizes in points
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LEGIBLE = 25  # layers; with more, their names are set smaller
LIMITS: dict[str, tuple[str, dict[str, Any]]] = {
    "rounding gauge (1 σ)": ("gauge_rms", {"color": style.INK, "linewidth": 1.6, "linestyle": style.DASHED}),
    "float32 NumPy": ("baseline_rms", {"color": style.FAINT, "linewidth": 1.0}),
}

Values = dict[str, float]  # layer -> relative error


@style.styled
def figure(parity: pd.DataFrame, layers: Sequence[str] = ()) -> Drawing | None:
    """The `forward` rows that carry `reference_rms`; None where none does.

    A row stands at the layer it measures, `tensor`: `layer` may be one that nobody returned, and that is to blame.
    Error is `rms_error / reference_rms`, the worst of a layer's cases; `gauge_rms` and `baseline_rms` are drawn on the
    same scale. Without `layers` the order is that of the rows.
    """
    rows = [row for row in tables.records(parity) if row.get("level") == "forward" and row.get("rms_error") is not None]
    rows = [row for row in rows if (row.get("reference_rms") or 0) > 0]
    if not rows:
        return None
    known = list(dict.fromkeys(text(row, "tensor") for row in rows))
    order = [name for name in map(clean, layers) if name in known]
    order += [name for name in known if name not in order]
    names = [signatures.parts(rows[0]).get("network", ""), *dict.fromkeys(text(row, "precision") for row in rows)]
    drawn = style.drawing(
        "error-by-layer", ", ".join(filter(None, names)) or "parity",
        "Error against float64 after each layer, with everything before it accumulated", rows, [4.6],
        width=max(9.0, 3.0 + 0.42 * len(order)), grid="y",
    )  # fmt: skip
    [axes] = drawn.panels
    limits = {label: _relative(rows, column) for label, (column, _) in LIMITS.items()}
    who = sorted(set(map(style.who, rows)))
    series = {key: _relative([row for row in rows if style.who(row) == key]) for key in who}
    _dress(axes, order, [*limits.values(), *series.values()])
    for label, values in limits.items():
        at = {layer: place for place, layer in enumerate(order) if values.get(layer)}
        if at:
            ends = [place - SEGMENT for place in at.values()], [place + SEGMENT for place in at.values()]
            lines = axes.hlines([values[layer] for layer in at], *ends, label=label, zorder=2, **LIMITS[label][1])
            told = [(layer, written(values[layer], "short")) for layer in at]
            style.mark(drawn, lines, label, told, [values[layer] for layer in at])
    frameworks, places = list(dict.fromkeys(name for name, _ in who)), style.places(rows)
    for (framework, tuning), values in series.items():
        aside = BESIDE * ((frameworks.index(framework) + 0.5) / len(frameworks) - 0.5)
        points = [(place + aside, layer, values[layer]) for place, layer in enumerate(order) if layer in values]
        stock = tuning == "stock"
        look = style.look(places[framework], hollow=stock) | {"markersize": RING if stock else DOT}
        _series(drawn, axes, points, look, " ".join(filter(None, (framework, tuning))))
    if any(row["rms_error"] == 0 for row in rows):
        said: dict[str, Any] = {"xycoords": "axes fraction", "ha": "right", "va": "bottom", "color": style.QUIET}
        style.say(axes, "on the axis: exactly equal", (1, 0), (-4, 5), **said)
    style.beside(axes)
    return drawn


def _relative(rows: Sequence[Row], name: str = "rms_error") -> Values:
    """The worst relative value of column `name` for each layer that has one."""
    found: dict[str, list[float | None]] = {}
    for row in rows:
        if row.get(name) is not None:
            found.setdefault(text(row, "tensor"), []).append(float(row[name]) / float(row["reference_rms"]))
    return {layer: value for layer, values in found.items() if (value := worst(values)) is not None}


def _series(
    drawn: Drawing, axes: Axes, at: Sequence[tuple[float, str, float]], look: dict[str, Any], name: str
) -> None:
    """A marker at every layer. Zero and infinity have no place on a log scale: they stand on its edges."""
    low, high = axes.get_ylim()
    spots = [
        Spot(x, min(max(y, low), high) if math.isfinite(y) else high, layer, written(y, "short"), y)
        for x, layer, y in at
    ]
    inside = [(x, y) for x, _, y in at if math.isfinite(y) and y > 0]
    line = axes.plot([x for x, _ in inside], [y for _, y in inside], linewidth=0.5, color=look["color"])
    style.mark(drawn, line, name)
    style.plot(drawn, axes, name, spots, label=style.folded(name), linestyle="none", clip_on=False, zorder=4, **look)
    for x, _, y in at:
        if not math.isfinite(y):
            said: dict[str, Any] = {"fontsize": 6.5, "ha": "center", "va": "top", "rotation": 90}
            style.say(axes, "NaN" if math.isnan(y) else "inf", (x, high), (0, -7), color=look["color"], **said)


def _dress(axes: Axes, order: Sequence[str], series: Sequence[Values]) -> None:
    """Whole decades around everything that has a place on a log scale; a band behind every second layer."""
    seen = [y for values in series for y in values.values() if math.isfinite(y) and y > 0] or [1e-7]
    low, high = math.floor(math.log10(min(seen)) - 0.1), math.ceil(math.log10(max(seen)) + 0.3)
    axes.set(yscale="log", ylim=(10.0**low, 10.0**high), ylabel="rms error / rms of the layer's output")
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.set_xticks(
        range(len(order)), [style.short(name) for name in order], rotation=55, ha="right", rotation_mode="anchor",
        fontsize=9 if len(order) <= LEGIBLE else 6.5,
    )  # fmt: skip
    for place in range(0, len(order), 2):
        axes.axvspan(place - 0.5, place + 0.5, color=style.BAND, linewidth=0, zorder=0)
    axes.yaxis.set_major_formatter(lambda y, _: "10" + str(round(math.log10(y))).translate(RAISED))
    axes.yaxis.set_minor_formatter(NullFormatter())
