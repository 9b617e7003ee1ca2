"""The roofline: how fast each layer may run by the measured peak and bandwidth, and how fast it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from reports.figures import style as picture_frame
from reports.figures.error_by_layer import QUIET
from reports.figures.style import Look
from reports.format import Row, figure, positive, text
from reports.summaries import layers as speed_layers
from reports.summaries.layers import Layers
from reports.summaries.speed import bounded, flops

MARGINS: picture_frame.Margins = (0.75, 1.7, 1.25, 0.55)
HEIGHT, WIDTH = 5.6, 7.6
NAME = 0.125  # inches that a layer's name takes along the upper edge
ROOF = "#444444"
PASSES = ("forward", "backward")
STEP = "whole step"


class Roof(NamedTuple):
    """What the device reached in this run."""

    tflops: float
    gb_per_s: float

    def at(self, intensity: float) -> float:
        """TFLOP/s allowed at an intensity in FLOP per byte."""
        return min(self.tflops, intensity * self.gb_per_s / 1e3)


class Mark(NamedTuple):
    """One layer and pass of one series."""

    name: str
    intensity: float  # FLOP per byte
    tflops: float
    row: Row


def drawable(layers: Sequence[Row], peaks: Sequence[Row]) -> bool:
    """Whether there is a roof and something to hold against it."""
    return bool(_panels(layers, peaks))


def draw(layers: Sequence[Row], peaks: Sequence[Row], path: Path) -> None:
    """Draw the `layer` rows under the roof of the `peak` rows as a PNG; layers without arithmetic have no place there.

    Raises ValueError where there is nothing to draw, OSError.
    """
    found = _panels(layers, peaks)
    if not found:
        raise ValueError("no layer with arithmetic, or no measured peak and bandwidth: there is nothing to draw")
    kept = [mark.row for _, _, marks in found for mark in marks]
    look = Look(kept)
    panels = [(HEIGHT, partial(_panel, look=look, title=title, roof=roof, marks=marks)) for title, roof, marks in found]
    said = (
        "Layers, with 95 % intervals, against the peak and the copy bandwidth measured in the same run; "
        "traffic is the least the layer needs"
    )
    picture_frame.save(path, "Roofline", said, kept, panels, columns=min(2, len(found)), width=WIDTH, margins=MARGINS)


def _panels(layers: Sequence[Row], peaks: Sequence[Row]) -> list[tuple[str, Roof, list[Mark]]]:
    """A panel per place and pass, those of one place beside each other."""
    groups: dict[str, list[Layers]] = {}
    for one in speed_layers.groups(layers):
        groups.setdefault(one.place, []).append(one)
    made = []
    for place, group in groups.items():
        roof = _roof(peaks, group[0].rows[0])
        for which in PASSES if roof else ():
            marks = [mark for one in group for mark in _marks(one, which)]
            if roof and any(mark.name != STEP for mark in marks):
                made.append((f"{which}: {place}", roof, marks))
    return made


def _roof(peaks: Sequence[Row], like: Row) -> Roof | None:
    best = [row for row in peaks if text(row, "best") == "yes" and row.get("device") == like.get("device")]
    work = [row for row in best if row.get("precision") in (None, like.get("precision")) and positive(row, "tflops")]
    copies = [row for row in best if text(row, "probe") == "copy" and positive(row, "gb_per_s")]
    copies = [row for row in copies if row.get("precision") == like.get("precision")] or copies
    return Roof(float(work[0]["tflops"]), float(copies[0]["gb_per_s"])) if work and copies else None


def _marks(one: Layers, which: str) -> list[Mark]:
    rows = [(text(row, "layer"), row) for row in one.rows if text(row, "pass") == which]
    rows += [(STEP, one.whole)] if one.whole is not None else []
    marks = []
    for name, row in rows:
        work, traffic, reached = (positive(row, column) for column in ("gflops", "mbytes", "tflops"))
        if work and traffic and reached and positive(row, "step_ms"):
            marks.append(Mark(name, 1e3 * work / traffic, reached, row))
    return marks


def _panel(axes: Axes, look: Look, title: str, roof: Roof, marks: Sequence[Mark]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    ridge = 1e3 * roof.tflops / roof.gb_per_s
    seen = [ridge, *(mark.intensity for mark in marks)]
    low, high = min(seen) / 2, max(seen) * 2
    axes.set_xlim(low, high)
    axes.set_ylim(min([roof.at(low), *(mark.tflops for mark in marks)]) / 2, max(mark.tflops for mark in marks) * 1.4)
    axes.set_ylim(top=max(axes.get_ylim()[1], roof.tflops * 2.2))
    axes.plot([low, ridge, high], [roof.at(low), roof.tflops, roof.tflops], color=ROOF, linewidth=1.6, zorder=2)
    _name_roof(axes, roof, low, high)
    for mark in marks:
        star = {"marker": "*", "markersize": 13} if mark.name == STEP else {"markersize": 5.5}
        drawn = look.marker(mark.row) | star
        axes.plot([mark.intensity], [mark.tflops], linestyle="none", zorder=4, clip_on=False, **drawn)
    _errors(axes, look, marks)
    picture_frame.quiet(axes, "both")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,g} T" if y >= 1 else f"{1e3 * y:,g} G"))
    axes.set_xlabel("FLOP per byte of least traffic", fontsize=9, color=QUIET)
    axes.set_ylabel("FLOP/s", fontsize=9, color=QUIET)
    axes.set_title(title, loc="left", fontsize=10, weight="bold", pad=60)
    _name_layers(axes, marks)
    _legend(axes, look, marks)


def _errors(axes: Axes, look: Look, marks: Sequence[Mark]) -> None:
    """What the intervals of their times make of the marks' FLOP/s."""
    x, least, most, colours = [], [], [], []
    for mark in marks:
        found = bounded(mark.row, float(mark.row["step_ms"]))
        if found.low is not None and found.high is not None:
            x.append(mark.intensity)
            least.append(mark.tflops * found.value / found.high)
            most.append(mark.tflops * found.value / found.low if found.low > 0 else axes.get_ylim()[1])
            colours.append(look.colour(text(mark.row, "framework")))
    axes.vlines(x, least, most, colors=colours, linewidth=0.8, zorder=3)


def _name_roof(axes: Axes, roof: Roof, low: float, high: float) -> None:
    said: dict[str, Any] = {"fontsize": 8, "color": ROOF, "textcoords": "offset points", "va": "bottom", "zorder": 5}
    said["bbox"] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
    axes.annotate(f"peak {flops(roof.tflops)}", (high, roof.tflops), (-3, 4), ha="right", **said)
    middle = math.sqrt(low * 1e3 * roof.tflops / roof.gb_per_s)  # of the slope, on a log scale
    axes.annotate(f"copy {figure(roof.gb_per_s)} GB/s", (middle, roof.at(middle)), (-7, 4), ha="right", **said)


def _name_layers(axes: Axes, marks: Sequence[Mark]) -> None:
    """Each layer's name once along the upper edge, above its marks: all series share a layer's intensity."""
    where: dict[str, Mark] = {}
    for mark in marks:
        best = where.get(mark.name)
        where[mark.name] = mark if best is None or mark.tflops > best.tflops else best
    inches = axes.get_position().width * axes.get_figure().get_size_inches()[0]  # type: ignore[union-attr]
    points = [axes.transAxes.inverted().transform(axes.transData.transform((m.intensity, 1.0))) for m in where.values()]
    places = picture_frame.spread([float(point[0]) for point in points], NAME / inches, 0.0, 1.0)
    for (name, mark), place in zip(where.items(), places, strict=True):
        axes.annotate(
            name, (mark.intensity, mark.tflops), (place, 1.03), textcoords="axes fraction", rotation=90, ha="center",
            va="bottom", fontsize=7, annotation_clip=False, weight="bold" if name == STEP else "normal",
            arrowprops={
                "arrowstyle": "-", "color": "#AAAAAA", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3, "relpos": (0.5, 0),
            },
        )  # fmt: skip


def _legend(axes: Axes, look: Look, marks: Sequence[Mark]) -> None:
    series = {(text(mark.row, "framework"), text(mark.row, "tuning")): mark.row for mark in marks}
    for (framework, tuning), row in sorted(series.items()):
        label = picture_frame.short(f"{framework} {tuning}".strip())
        axes.plot([], [], linestyle="none", markersize=5.5, label=label, **look.marker(row))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8, handletextpad=0.3)
