"""Images/s of each setting in run after run, with intervals, steps, and where machines or versions changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from reports.figures import style
from reports.figures.style import Drawing, Spot
from reports.format import Row, figure, interval, text
from reports.statistics import location
from reports.summaries.history import Change, Point, Series

WIDE = 4.0  # most over least images/s from which on ticks are powers of ten and what lies between
APART = 0.3  # of the distance between two runs, shared by the series
MANY = 40  # runs from which on markers are small
FARTHEST = 1.35  # times the most and the least figure, beyond which intervals leave the panel
BEYOND = 10.0  # as far as they are drawn outside of it

Panels = Mapping[str, Sequence[Series]]  # title -> the series of one panel


@style.styled
def history(name: str, panels: Panels, runs: Sequence[str], changes: Sequence[Change]) -> Drawing | None:
    """A line per framework and tuning over `runs`, which are named in order of time; a panel for each of `panels`.

    None where there is no series.
    """
    rows = [point.row for series in panels.values() for one in series for point in one.measured]
    if not rows:
        return None
    grounds = [change for change in changes if change.grounds]
    said = "A point a run, with the 95 % interval within it; hollow and dashed: stock; crossed: not stable"
    said += "; bands: levels between which there is a step, with runs as the unit"
    said += "; dotted: machine, versions, flags or weights changed" if grounds else ""
    heights = [max(3.4, style.beside_height(_name(one.row) for one in series)) for series in panels.values()]
    drawn = style.drawing(name, "Images per second, run after run", said, rows, heights, width=8.0, grid="y")
    places = style.places(rows)
    for axes, (title, series) in zip(drawn.panels, panels.items(), strict=False):
        style.heading(drawn, axes, title)
        _panel(drawn, axes, places, series, runs)
        for change in grounds:
            axes.axvline(change.run + 0.5, color=style.FAINT, linestyle=style.DOTTED, linewidth=1.2, zorder=0.5)
    return drawn


def _panel(
    drawn: Drawing, axes: Axes, places: Mapping[str, int], series: Sequence[Series], runs: Sequence[str]
) -> None:
    axes.set_yscale("log")
    figures = [point.images.value for one in series for point in one.measured if point.images]
    low, high = min(figures), max(figures)
    for place, one in enumerate(series):
        aside = APART * ((place + 0.5) / len(series) - 0.5)  # so that no interval hides another
        _line(drawn, axes, places, one, aside, runs, (low / BEYOND, high * BEYOND))
    reach = low / FARTHEST, high * FARTHEST
    lows, highs = zip(*(_ends(point, reach) for one in series for point in one.measured), strict=True)
    axes.set(xlim=(0.4, len(runs) + 0.6), ylim=(min(lows) / 1.04, max(highs) * 1.04), xlabel="run", ylabel="images/s")
    wide = high > WIDE * low
    axes.xaxis.set_major_locator(MaxNLocator(nbins=20, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if wide else MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    style.beside(axes)


def _line(
    drawn: Drawing, axes: Axes, places: Mapping[str, int], series: Series, aside: float, runs: Sequence[str],
    reach: tuple[float, float],
) -> None:  # fmt: skip
    """One setting: its points, its intervals, its steps, and where it is missing."""
    named, stock, small = _name(series.row), text(series.row, "tuning") == "stock", len(runs) > MANY
    look = style.look(places[text(series.row, "framework")], hollow=stock)
    spots = [_spot(point, aside, runs) for point in series.measured]
    ends = [
        ((spot.x, low), (spot.x, high))
        for spot, (low, high) in ((spot, _ends(p, reach)) for spot, p in zip(spots, series.measured, strict=True))
    ]
    beside = style.segments(axes, ends, color=look["color"], linewidth=0.4 if small else 0.8, zorder=1.5)
    style.plot(
        drawn, axes, named, spots, label=style.folded(named), linestyle=style.DASHED if stock else "-",
        **look | {"markersize": 3.0 if small else 5.5},
    )  # fmt: skip
    crossed = [spot for spot, p in zip(spots, series.measured, strict=True) if text(p.row, "stable") == "no"]
    beside += axes.plot([spot.x for spot in crossed], [spot.y for spot in crossed], "x", color=style.INK,
                        markersize=2.5 if small else 4.5, markeredgewidth=0.8, zorder=5)  # fmt: skip
    levels = _levels(series)
    bands = [((first + 1 + aside, level), (last + 1 + aside, level)) for level, first, last in levels]
    beside += style.segments(axes, bands, color=look["color"], linewidth=4, alpha=0.35, zorder=1)
    style.mark(drawn, beside, named)
    for (above, _, _), (below, after, _), step in zip(levels, levels[1:], series.steps, strict=False):
        at = after + 1 + aside, math.sqrt(above * below)
        style.say(axes, f"{step.ratio.value:.2f}x", at, (5, 0), fontsize=7.5, color=look["color"])
    missing = [point for point in series.points if point.images is None]
    if missing:
        below_all: Any = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        where = [point.run + 1 + aside for point in missing], [0.015] * len(missing)
        style.mark(drawn, axes.plot(*where, "x", color=look["color"], **below_all), named,
                   [(runs[point.run], text(point.row, "status")) for point in missing])  # fmt: skip


def _spot(point: Point, aside: float, runs: Sequence[str]) -> Spot:
    found = point.images
    assert found is not None  # it was measured
    doubt = ", not stable" if text(point.row, "stable") == "no" else ""
    return Spot(
        point.run + 1 + aside, found.value, runs[point.run], interval(found, figure, " images/s") + doubt, found
    )


def _levels(series: Series) -> list[tuple[float, int, int]]:
    """Geometric mean, first and last run of each part between two steps; none where there is no step."""
    return [
        (location([point.images.value for point in part if point.images]).value, part[0].run, part[-1].run)
        for part in series.parts
        if series.steps
    ]


def _ends(point: Point, reach: tuple[float, float]) -> tuple[float, float]:
    """The interval's ends within `reach`; a bar without length where there is no interval."""
    found = point.images
    assert found is not None  # it was measured
    if found.low is None or found.high is None:
        return found.value, found.value
    return max(found.low, reach[0]), min(found.high, reach[1])


def _name(row: Row) -> str:
    return " ".join(style.who(row)).strip()
