"""The picture of where a step's time goes: a panel per framework and tuning, a bar per layer, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.ticker import MaxNLocator

from reports import tables
from reports.figures import style
from reports.figures.style import Drawing
from reports.format import clean, interval, positive, share, text
from reports.format import figure as digits
from reports.statistics import Interval
from reports.summaries.layers import REST, WHOLE, Layers, groups
from reports.summaries.speed import bounded

BAR = 0.19  # inches that a layer takes
MAX_COLUMNS = 3
ASIDE = {"forward": -0.17, "backward": 0.17}  # of a layer, by which the intervals of its passes lie apart
FARTHEST = 1.5  # times the longest bar, beyond which intervals are cut off
LABEL = 1.2  # times the longest bar or interval, where the axis ends: there is room for a share
HATCH = "/////"


class Part(NamedTuple):
    """One pass of a layer; of the rest of a step all at once."""

    layer: str
    which: str  # pass
    start: float  # ms, where the pass before it ends
    ms: Interval

    @property
    def end(self) -> float:
        """Where the bar ends."""
        return self.start + self.ms.value

    @property
    def high(self) -> float:
        """Where the interval ends; the bar where there is none."""
        return self.start + (self.ms.value if self.ms.high is None else self.ms.high)


@style.styled
def figure(layer: pd.DataFrame, order: Sequence[str] = ()) -> Drawing | None:
    """Time by layer in the order given, else that of the rows; None where no layer has a time."""
    rows = tables.records(layer)
    found = sorted(groups(layer), key=_line)
    if not found:
        return None
    parts = [_parts(one) for one in found]
    given = [text(row, "layer") for row in rows if text(row, "layer") not in (REST, WHOLE)]
    names = list(dict.fromkeys([*(name for name in map(clean, order) if name in given), *given]))
    names += [REST] if any(part.layer == REST for own in parts for part in own) else []
    said = (
        "Forward filled, backward hatched after it, with 95 % intervals; beside it the share of all layers. "
        "The frameworks share a scale, stock and tuned each have their own"
    )
    # A row for stock and one for tuned, where the frameworks fit side by side.
    lines = [_line(one) for one in found]
    kept = [row for one in found for row in one.rows]
    drawn = style.drawing(
        "time-by-layer", "Time by layer", said, kept,
        [0.8 + BAR * len(names)] * len(found), width=3.4, columns=min(MAX_COLUMNS, max(map(lines.count, lines))),
        grid="x", share_y=True,
    )  # fmt: skip
    places = style.places(kept)
    for axes, one, own, line in zip(drawn.panels, found, parts, lines, strict=False):
        longest = max(_longest(other) for other, place in zip(parts, lines, strict=True) if place == line)
        whole = positive(one.whole, "step_ms") if one.whole is not None else None
        style.heading(drawn, axes, style.short(clean(one.name)) + (f", step {digits(whole)} ms" if whole else ""))
        colour = style.look(places[text(one.rows[0], "framework")])["color"]
        _draw(drawn, axes, clean(one.name), colour, own, names, longest)
        axes.set_yticks(range(len(names)), list(map(style.short, names)))
        axes.tick_params(axis="y", left=False, labelsize=8)
        axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(0, LABEL * longest))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.set_xlabel(f"ms ({style.short(one.place, 40)})", fontsize=8)
    return drawn


def _line(one: Layers) -> tuple[str, str]:
    return one.place, text(one.rows[0], "tuning")


def _parts(one: Layers) -> list[Part]:
    rest = [one.rest] if one.rest is not None and positive(one.rest, "step_ms") else []
    made, ends = [], dict[str, float]()
    for row in sorted((*one.rows, *rest), key=lambda row: text(row, "pass") == "backward"):
        layer, which = text(row, "layer"), text(row, "pass") or "forward"
        made.append(Part(layer, which, ends.get(layer, 0.0), bounded(row, float(row["step_ms"]))))
        ends[layer] = made[-1].end
    return made


def _longest(parts: Sequence[Part]) -> float:
    """Milliseconds to show: all bars, and their intervals as far as those leave the bars visible."""
    bar = max(part.end for part in parts)
    return max(bar, min(FARTHEST * bar, max(part.high for part in parts)))


def _draw(
    drawn: Drawing, axes: Axes, name: str, colour: str, parts: Sequence[Part], names: Sequence[str], longest: float
) -> None:
    looks: dict[str, dict[str, Any]] = {"forward": {"facecolor": colour}, "backward": {"hatch": HATCH}}
    for which in dict.fromkeys(part.which for part in parts):
        own = [part for part in parts if part.which == which]
        corners = [_corners(part, names.index(part.layer)) for part in own]
        look: dict[str, Any] = {"facecolor": style.PAPER, "edgecolor": colour, "linewidth": 0.9} | looks.get(which, {})
        bars = PolyCollection(corners, zorder=1, **look)  # one artist: it is drawn quickly
        axes.add_collection(bars, autolim=False)
        at = [part.layer if part.layer == REST else f"{part.layer} {which}" for part in own]
        points = zip(at, (interval(part.ms, digits, " ms") for part in own), strict=True)
        style.mark(drawn, bars, name, points, [part.ms for part in own])
    known = [(part, names.index(part.layer) + ASIDE.get(part.which, 0.0)) for part in parts if part.ms.known]
    ends = [((part.start + (part.ms.low or 0.0), y), (min(part.high, longest), y)) for part, y in known]
    style.mark(drawn, style.segments(axes, ends, color=style.INK, linewidth=0.9), name)
    total = sum(part.ms.value for part in parts if part.layer != REST)
    for layer in dict.fromkeys(part.layer for part in parts):
        own = [part for part in parts if part.layer == layer]
        end = min(longest, max(max(part.end, part.high) for part in own)) + 0.015 * longest
        said = f"{digits(own[-1].end)} ms" if layer == REST else share(own[-1].end / total)
        axes.text(end, names.index(layer), said, va="center", fontsize=7, clip_on=True)


def _corners(part: Part, place: int) -> list[tuple[float, float]]:
    low, high = place - 0.36, place + 0.36
    return [(part.start, low), (part.end, low), (part.end, high), (part.start, high)]
