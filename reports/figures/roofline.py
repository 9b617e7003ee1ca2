"""The roofline: how fast each layer may run by the measured peak and bandwidth, and how fast it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from reports.figures import style
from reports.figures.style import Drawing, Spot
from reports.format import Row, flops, interval, positive, text
from reports.format import figure as digits
from reports.statistics import Interval
from reports.summaries.layers import Layers, groups
from reports.summaries.speed import best_peaks, bounded

NAME = 0.028  # of the axes' width that a layer's name takes along the upper edge
PASSES = ("forward", "backward")
STEP = "whole step"


class Roof(NamedTuple):
    """What the device reached in this run."""

    tflops: float
    gb_per_s: float

    def at(self, intensity: float) -> float:
        """TFLOP/s allowed at an intensity in FLOP per byte."""
        return min(self.tflops, intensity * self.gb_per_s / 1e3)


class Point(NamedTuple):
    """One layer and pass of one framework and tuning."""

    who: tuple[str, str]
    name: str
    intensity: float  # FLOP per byte
    tflops: Interval


@style.styled
def figure(layer: pd.DataFrame, peak: pd.DataFrame) -> Drawing | None:
    """The `layer` rows under the roof of the `peak` rows; layers without arithmetic have no place there.

    None where there is no layer with arithmetic, or no measured peak and bandwidth.
    """
    found = groups(layer)
    panels = []  # per place and pass, those of one place beside each other
    for place in dict.fromkeys(one.place for one in found):
        group = [one for one in found if one.place == place]
        for which in PASSES:
            roof, points = _roof(peak, group[0].rows[0]), [point for one in group for point in _points(one, which)]
            if roof and any(point.name != STEP for point in points):
                panels.append((f"{which}: {place}", roof, points))
    if not panels:
        return None
    said = (
        "Layers, with 95 % intervals, against the peak and the copy bandwidth measured in the same run; "
        "traffic is the least the layer needs"
    )
    rows = [row for one in found for row in one.rows]
    drawn = style.drawing("roofline", "Roofline", said, rows, [5.2] * len(panels), width=5.8, columns=2)
    places, entries = style.places(rows), dict[str, Artist]()
    for axes, (title, roof, points) in zip(drawn.panels, panels, strict=False):
        style.heading(drawn, axes, title)
        low, high = _scale(axes, roof, points)
        _draw_roof(axes, roof, low, high)
        entries |= _draw_points(drawn, axes, points, places)
        _name_layers(axes, points, low, high)
    drawn.subfigs[0].legend(handles=[entries[name] for name in sorted(entries)], loc="outside right center")
    return drawn


def _roof(peak: pd.DataFrame, like: Row) -> Roof | None:
    work, copy = best_peaks(peak, like.get("device"), like.get("precision"))
    return Roof(float(work["tflops"]), float(copy["gb_per_s"])) if work and copy else None


def _points(one: Layers, which: str) -> list[Point]:
    rows = [(text(row, "layer"), row) for row in one.rows if text(row, "pass") == which]
    rows += [(STEP, one.whole)] if one.whole is not None else []
    found = []
    for name, row in rows:
        work, traffic, reached = (positive(row, column) for column in ("gflops", "mbytes", "tflops"))
        if work and traffic and reached and positive(row, "step_ms"):
            ms, tflops = bounded(row, float(row["step_ms"])), Interval(reached)
            if ms.low is not None and ms.high is not None:
                high = reached * ms.value / ms.low if ms.low > 0 else math.inf
                tflops = Interval(reached, reached * ms.value / ms.high, high)
            found.append(Point(style.who(row), name, 1e3 * work / traffic, tflops))
    return found


def _scale(axes: Axes, roof: Roof, points: Sequence[Point]) -> tuple[float, float]:
    """Logarithmic axes with room for all; the lowest and highest intensity on them."""
    seen = [1e3 * roof.tflops / roof.gb_per_s, *(point.intensity for point in points)]
    low, high, reached = min(seen) / 2, max(seen) * 2, [point.tflops.value for point in points]
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte of least traffic", ylabel="FLOP/s", xlim=(low, high))
    axes.set_ylim(min(roof.at(low), *reached) / 2, max(1.4 * max(reached), 2.2 * roof.tflops))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:,g} T" if y >= 1 else f"{1e3 * y:,g} G")
    return low, high


def _draw_roof(axes: Axes, roof: Roof, low: float, high: float) -> None:
    ridge = 1e3 * roof.tflops / roof.gb_per_s
    middle = math.sqrt(low * ridge)  # of the slope, on a log scale
    axes.plot([low, ridge, high], [roof.at(low), roof.tflops, roof.tflops], color=style.QUIET, linewidth=1.6, zorder=2)
    look: dict[str, Any] = {"ha": "right", "va": "bottom", "color": style.QUIET, "zorder": 5}
    look["bbox"] = {"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.8}
    style.say(axes, f"peak {flops(roof.tflops)}", (high, roof.tflops), (-3, 4), **look)
    style.say(axes, f"copy {digits(roof.gb_per_s)} GB/s", (middle, roof.at(middle)), (-7, 4), **look)


def _draw_points(drawn: Drawing, axes: Axes, points: Sequence[Point], places: Mapping[str, int]) -> dict[str, Artist]:
    """Those of each series, the whole step as a star; what stands for each series in a legend."""
    top, entries = axes.get_ylim()[1], dict[str, Artist]()
    for who in sorted({point.who for point in points}):
        name, look = " ".join(filter(None, who)), style.look(places[who[0]], hollow=who[1] == "stock")
        own = [point for point in points if point.who == who]
        ends = [
            ((point.intensity, point.tflops.low), (point.intensity, min(point.tflops.high, top)))
            for point in own
            if point.tflops.low is not None and point.tflops.high is not None
        ]
        style.mark(drawn, style.segments(axes, ends, color=look["color"], linewidth=0.8, zorder=3), name)
        for is_step, star in ((True, {"marker": "*", "markersize": 13}), (False, {})):
            spots = [
                Spot(point.intensity, point.tflops.value, point.name, interval(point.tflops, flops), point.tflops)
                for point in own
                if (point.name == STEP) == is_step
            ]
            if spots:  # an empty line that is not clipped would count as one at the origin
                entries[name] = style.plot(
                    drawn, axes, name, spots, linestyle="none", zorder=4, clip_on=False, label=style.folded(name),
                    **look | star,
                )  # fmt: skip
    return entries


def _name_layers(axes: Axes, points: Sequence[Point], low: float, high: float) -> None:
    """Each layer's name once along the upper edge, above its marks: all series share a layer's intensity."""
    where = {}
    for point in sorted(points, key=lambda point: (point.intensity, point.name, point.tflops.value)):
        where[point.name] = (point.intensity, point.tflops.value)
    wanted = [math.log(intensity / low) / math.log(high / low) for intensity, _ in where.values()]
    places = [low * (high / low) ** place for place in spread(wanted, NAME)]
    names = axes.secondary_xaxis("top")
    names.set_xticks(places, list(map(style.short, where)), rotation=90, fontsize=min(7.0, 7.0 / NAME / len(where)))
    names.xaxis.set_minor_locator(NullLocator())
    names.tick_params(length=0)
    for label, name in zip(names.get_xticklabels(), where, strict=True):
        label.set_fontweight("bold" if name == STEP else "normal")
    edge = [(place, axes.get_ylim()[1]) for place in places]
    style.segments(axes, zip(edge, where.values(), strict=True), color=style.FAINT, linewidth=0.5, zorder=1)


def spread(wanted: Sequence[float], apart: float) -> NDArray[np.float64]:
    """Places in 0..1 as near to the wanted ones, which do not decrease, as `apart` allows, in their order."""
    rank = np.arange(len(wanted)) * min(apart, 1 / max(len(wanted) - 1, 1))
    level = np.asarray(wanted, np.float64) - rank  # without the distance due to each, places must only not decrease
    level = (np.maximum.accumulate(level) + np.minimum.accumulate(level[::-1])[::-1]) / 2
    return np.clip(level, 0.0, 1.0 - rank[-1:]) + rank
