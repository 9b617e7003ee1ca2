"""Learning curves: training loss and top-1 error against epochs, and the loss of the first steps.

Frameworks that train on one stream lie on each other, so the first line is wide and those over it ever thinner, their
markers at different epochs; colour, marker and dashes each tell the lines apart, in grey print too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from reports import tables
from reports.figures import style
from reports.figures.style import Drawing, Spot
from reports.format import Row, measured, number, percent, text, written
from reports.summaries.training import Key, epochs, name_of, trainings

WIDTHS = (3.6, 2.3, 1.3)  # points, of lines that may lie on each other
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
FIRST_STEPS = 100
STEEP = 30.0  # from this ratio of the highest to the lowest on, a loss is drawn on a log scale
MAX_MARKERS = 10
MAX_DROPS = 8

Looks = Mapping[Key, dict[str, Any]]
Curves = Mapping[Key, Sequence[Spot]]  # NaN and infinities too


@style.styled
def figure(training: pd.DataFrame, loss: pd.DataFrame) -> Drawing | None:
    """The curves that the tables `training` and `loss` give; None where there is none."""
    rows, losses = tables.records(training), tables.records(loss)
    found = trainings(training)
    looks = _looks([*found, *map(_key, losses)], style.places([*rows, *losses]))
    by_epoch = {
        name: {key: _curve(epochs(own), "epoch", name) for key, own in found.items()} for name in ("loss", "top1_error")
    }
    panels: list[tuple[str, str, Curves]] = [
        ("Training loss", "loss, mean over the epoch", by_epoch["loss"]),
        ("Top-1 error", "validation error, %", by_epoch["top1_error"]),
        ("Loss of the first steps", "loss", {key: _first_steps(losses, key) for key in looks}),
    ]
    panels = [panel for panel in panels if any(panel[2].values())]
    if not panels:
        return None
    drops = {key: _drops(own) for key, own in found.items()}
    said = [style.trained(rows), "Dotted: the learning rate changed" if any(drops.values()) else ""]
    height = max(3.2, style.beside_height(name_of(key) for key in looks))
    drawn = style.drawing(
        "curves", "Learning curves", ". ".join(filter(None, said)), rows or losses, [height] * len(panels),
        width=5.6, columns=2, grid="y",
    )  # fmt: skip
    for axes, (title, unit, curves) in zip(drawn.panels, panels, strict=True):
        style.heading(drawn, axes, title)
        by_step = title.endswith("steps")
        axes.set(xlabel="step" if by_step else "epochs", ylabel=unit)
        _scale(axes, [spot for curve in curves.values() for spot in curve], percents=unit.endswith("%"))
        _draw(drawn, axes, {key: curve for key, curve in curves.items() if curve}, looks)
        if not by_step:
            _draw_drops(axes, drops, looks)
    return drawn


def _key(row: Row) -> Key:
    framework = text(row, "framework")
    return framework, text(row, "label") or framework


def _curve(rows: Sequence[Row], along: str, name: str) -> list[Spot]:
    found = [
        (place, value)
        for row in rows
        if (place := number(row, along)) is not None and (value := measured(row, name)) is not None
    ]
    if name == "top1_error":
        said = [f"{percent(y)} %" if math.isfinite(y) else "NaN" for _, y in found]
        return [Spot(x, 100 * y, f"{along} {x:g}", one, y) for (x, y), one in zip(found, said, strict=True)]
    return [Spot(x, y, f"{along} {x:g}", written(y, "loss") if math.isfinite(y) else "NaN") for x, y in found]


def _first_steps(losses: Sequence[Row], key: Key) -> list[Spot]:
    """Of two rows of one step the last counts."""
    found = {step: row for row in losses if _key(row) == key and (step := number(row, "step")) is not None}
    return _curve([found[step] for step in sorted(found) if step <= FIRST_STEPS], "step", "loss")


def _drops(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """(epochs done when the rate changed, the new rate)."""
    rates = [(number(row, "epoch"), number(row, "learning_rate")) for row in epochs(rows)]
    known = [(epoch, rate) for epoch, rate in rates if epoch is not None and rate is not None]
    return [(before, rate) for (before, old), (_, rate) in pairwise(known) if not math.isclose(old, rate)]


def _looks(keys: Sequence[Key], places: Mapping[str, int]) -> Looks:
    """Colour by framework and dashes by label; where a framework has more labels than dashes, a colour per label."""
    keys = list(dict.fromkeys(keys))
    frameworks = [framework for framework, _ in keys]
    count = len(style.SERIES)
    crowded = max(map(frameworks.count, frameworks), default=0) > len(DASHES) or len(set(frameworks)) > count
    found = {}
    for place, key in enumerate(keys):
        turn = place // count if crowded else frameworks[:place].count(key[0])
        found[key] = style.look(place % count if crowded else places[key[0]], turn) | {
            "markerfacecolor": style.PAPER,
            "linestyle": DASHES[turn % len(DASHES)],
            "linewidth": WIDTHS[place - len(keys)] if len(keys) <= len(WIDTHS) else 1.5,
        }
    return found


def _draw(drawn: Drawing, axes: Axes, curves: Curves, looks: Looks) -> None:
    ends: dict[Artist, float] = {}
    for place, (key, curve) in enumerate(curves.items()):
        name, last = name_of(key), curve[-1]
        every = max(math.ceil(len(curve) / MAX_MARKERS), min(len(curves), len(curve) // 2), 1)
        line = style.plot(
            drawn, axes, name, curve, markevery=(place * every // len(curves) % len(curve), every), zorder=3 + place,
            markersize=5, markeredgewidth=1.2, label=f"{style.folded(name)}  {last.value}", **looks[key],
        )  # fmt: skip
        ends[line] = next((spot.y for spot in reversed(curve) if math.isfinite(spot.y)), math.inf)
        strange = next((spot for spot in curve if not math.isfinite(spot.y)), None)
        if strange is not None:  # it stands on the upper edge, said in letters
            _say_above(
                axes, "NaN" if math.isnan(strange.y) else "inf", strange.x, color=looks[key]["color"], weight="bold",
                ha="center", fontsize=7.5,
            )  # fmt: skip
    style.beside(axes, sorted(ends, key=ends.__getitem__, reverse=True))


def _scale(axes: Axes, spots: Sequence[Spot], *, percents: bool) -> None:
    """From 0 up; a loss that fell far on a log scale."""
    finite = [spot.y for spot in spots if math.isfinite(spot.y)] or [1.0]
    low, high = min(finite), max(finite)
    top = high * 1.06 if high > 0 else 1.0
    axes.set_xlim(0, 1.04 * max(1.0, *(spot.x for spot in spots)))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    if not percents and low > 0 and high > STEEP * low:
        axes.set(yscale="log", ylim=(low / 1.4, high * 1.4))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 300 * low else (1.0, 3.0)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(min(0.0, low * 1.06), min(top, 104.0) if percents else top)
    axes.yaxis.set_major_formatter("{x:g}")


def _draw_drops(axes: Axes, drops: Mapping[Key, Sequence[tuple[float, float]]], looks: Looks) -> None:
    """A dotted line where the learning rate changed, grey where it changed for all, the new rate beside it."""
    found = sorted({drop for own in drops.values() for drop in own})
    for epoch, rate in found:
        owners = [key for key, own in drops.items() if (epoch, rate) in own]
        colour = style.QUIET if len(owners) == len(drops) else looks[owners[0]]["color"]
        axes.axvline(epoch, color=colour, linewidth=0.9, linestyle=style.DOTTED, zorder=1)
        if len(found) <= MAX_DROPS:
            _say_above(axes, f"rate {rate:.3g}", epoch, 2, color=colour, rotation=90, fontsize=7)


def _say_above(axes: Axes, said: str, x: float, right: float = 0, **look: Any) -> None:
    """Words just below the upper edge, at x, so many points to the right."""
    style.say(axes, said, (x, 1.0), (right, -2), xycoords=("data", "axes fraction"), va="top", **look)
