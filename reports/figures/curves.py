"""Learning curves: training loss and top-1 error against epochs, and the loss of the first steps.

Frameworks that train on one stream lie on each other, so the first line is wide and those over it ever thinner, their
markers at different epochs; colour, marker and dashes each tell the lines apart, in grey print too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from reports.figures import style as picture_frame
from reports.figures.error_by_layer import COLOURS, OTHER_COLOURS, OTHER_SHAPES, QUIET, SHAPES
from reports.format import Row, measured, number, text, written
from reports.summaries.training import Key, epochs, name_of, trainings
from reports.tables import frame

MARGINS: picture_frame.Margins = (0.75, 1.95, 0.5, 0.55)
WIDTH, HEIGHT = 6.8, 3.9
LABEL = 0.16  # inches that a label at the end of a curve takes
WIDTHS = (3.6, 2.3, 1.3)  # points, of lines that may lie on each other
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
FIRST_STEPS = 100
STEEP = 30.0  # from this ratio of the highest to the lowest on, a loss is drawn on a log scale
MOST_MARKERS = 10
MOST_DROPS = 8

Curve = list[tuple[float, float]]  # (epochs or steps done, value), NaN and infinities too
Series = dict[Key, Curve]


def drawable(training: Sequence[Row], losses: Sequence[Row] = ()) -> bool:
    """Whether there is any curve."""
    return bool(_panels(training, losses))


def draw(training: Sequence[Row], losses: Sequence[Row], path: Path) -> None:
    """Draw rows of the tables `training` and `loss` as a PNG. Raises ValueError where there is no curve, OSError."""
    panels = _panels(training, losses)
    if not panels:
        raise ValueError("no row has an epoch with a loss or an error: there is nothing to draw")
    said = [*dict.fromkeys(" on ".join(filter(None, (text(row, "network"), text(row, "data")))) for row in training)]
    said = [", ".join(said)] if any(said) else []
    said += ["Dotted: the learning rate changed"] if any(map(_drops, _trainings(training).values())) else []
    picture_frame.save(
        path, "Learning curves", ". ".join(said), training or losses, [(HEIGHT, panel) for panel in panels], columns=2,
        width=WIDTH, margins=MARGINS,
    )  # fmt: skip


def _panels(training: Sequence[Row], losses: Sequence[Row]) -> list[picture_frame.Draw]:
    found = _trainings(training)
    looks = _looks([*found, *(_key(row) for row in losses)])
    panels: list[picture_frame.Draw] = []
    by_epoch = {
        "loss": ("Training loss", "loss, mean over the epoch"),
        "top1_error": ("Top-1 error", "validation error, %"),
    }
    for name, (title, unit) in by_epoch.items():
        series = {key: _curve(epochs(rows), "epoch", name) for key, rows in found.items()}
        if any(series.values()):
            drops = {key: _drops(rows) for key, rows in found.items()}
            panels.append(partial(_panel, series=series, looks=looks, title=title, unit=unit, drops=drops))
    steps = _first_steps(losses)
    if any(steps.values()):
        panels.append(
            partial(_panel, series=steps, looks=looks, title="Loss of the first steps", unit="loss", drops={})
        )
    return panels


def _trainings(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    return trainings(frame("training", rows))


def _key(row: Row) -> Key:
    framework = text(row, "framework")
    return framework, text(row, "label") or framework


def _curve(rows: Sequence[Row], along: str, name: str) -> Curve:
    scale = 100.0 if name.endswith("error") else 1.0
    return [
        (place, scale * value)
        for row in rows
        if (place := number(row, along)) is not None and (value := measured(row, name)) is not None
    ]


def _first_steps(losses: Sequence[Row]) -> Series:
    found: dict[Key, dict[float, Row]] = {}
    for row in losses:
        step = number(row, "step")
        if step is not None and step <= FIRST_STEPS:
            found.setdefault(_key(row), {})[step] = row
    return {key: _curve([rows[step] for step in sorted(rows)], "step", "loss") for key, rows in found.items()}


def _drops(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """(epochs done when the rate changed, the new rate)."""
    rates = [(number(row, "epoch"), number(row, "learning_rate")) for row in epochs(rows)]
    known = [(epoch, rate) for epoch, rate in rates if epoch is not None and rate is not None]
    return [(before, rate) for (before, old), (_, rate) in pairwise(known) if not math.isclose(old, rate)]


def _looks(keys: Sequence[Key]) -> dict[Key, dict[str, Any]]:
    """Colour by framework and dashes by label; where a framework has more labels than dashes, a colour per label."""
    keys = list(dict.fromkeys(keys))
    frameworks = list(dict.fromkeys(framework for framework, _ in keys))
    counts = [sum(framework == own for own, _ in keys) for framework in frameworks]
    others = [name for name in frameworks if name not in COLOURS]
    by_label = max(counts, default=0) > len(DASHES) or len(others) > len(OTHER_COLOURS)
    colours, shapes = [*COLOURS.values(), *OTHER_COLOURS], [*SHAPES.values(), *OTHER_SHAPES]
    found: dict[Key, dict[str, Any]] = {}
    for place, key in enumerate(keys):
        own = place if by_label else _place(key[0], others)
        rank = [other for other in keys if other[0] == key[0]].index(key)
        found[key] = {
            "color": colours[own % len(colours)],
            "marker": shapes[(place if by_label else own + rank * 3) % len(shapes)],
            "linestyle": DASHES[place // len(colours) % len(DASHES) if by_label else rank % len(DASHES)],
            "linewidth": WIDTHS[place - len(keys)] if len(keys) <= len(WIDTHS) else 1.5,
        }
    return found


def _place(framework: str, others: Sequence[str]) -> int:
    names = list(COLOURS)
    return names.index(framework) if framework in names else len(names) + others.index(framework)


def _panel(
    axes: Axes, series: Series, looks: dict[Key, dict[str, Any]], title: str, unit: str,
    drops: dict[Key, list[tuple[float, float]]],
) -> None:  # fmt: skip
    along = "step" if title.endswith("steps") else "epochs"
    write: Callable[[float], str] = (lambda y: f"{y:.2f} %") if unit.endswith("%") else (lambda y: written(y, "loss"))
    last = max(x for curve in series.values() for x, _ in curve)
    _scale(axes, [y for curve in series.values() for _, y in curve], percent=unit.endswith("%"))
    axes.set_xlim(0, 1.04 * max(last, 1.0))
    for place, (key, curve) in enumerate(series.items()):
        every = max(math.ceil(len(curve) / MOST_MARKERS), min(len(series), len(curve) // 2), 1)
        start = place * every // len(series)
        look = looks[key]
        axes.plot(*_sides(curve), markersize=5, markevery=(start % max(len(curve), 1), every), zorder=3 + place,
                  markerfacecolor="white", markeredgewidth=1.2, **look)  # fmt: skip
        _mark_strange(axes, curve, look)
    _draw_drops(axes, drops, looks)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    picture_frame.quiet(axes, "y")
    picture_frame.heading(axes, title)
    axes.set_xlabel(along, fontsize=9, color=QUIET)
    axes.set_ylabel(unit, fontsize=9, color=QUIET)
    _label_ends(axes, series, looks, write)


def _scale(axes: Axes, values: Sequence[float], *, percent: bool) -> None:
    """From 0 up; a loss that fell far on a log scale."""
    finite = [value for value in values if math.isfinite(value)] or [1.0]
    low, high = min(finite), max(finite)
    if not percent and low > 0 and high > STEEP * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.4, high * 1.4)
        few = high > 300 * low
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if few else (1.0, 3.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        return
    top = high * 1.06 if high > 0 else 1.0
    axes.set_ylim(min(0.0, low * 1.06), min(top, 104.0) if percent else top)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))


def _mark_strange(axes: Axes, curve: Curve, look: dict[str, Any]) -> None:
    """The first value of a curve that is no number stands on the upper edge, said in letters."""
    strange = [(x, y) for x, y in curve if not math.isfinite(y)]
    if strange:
        x, y = strange[0]
        axes.annotate(
            "NaN" if math.isnan(y) else "inf", (x, 1.0), (0, -2), xycoords=("data", "axes fraction"),
            textcoords="offset points", fontsize=7.5, weight="bold", color=look["color"], ha="center", va="top",
        )  # fmt: skip


def _draw_drops(axes: Axes, drops: dict[Key, list[tuple[float, float]]], looks: dict[Key, dict[str, Any]]) -> None:
    """A dotted line where the learning rate changed, grey where it changed for all, the new rate beside it."""
    owners: dict[tuple[float, float], list[Key]] = {}
    for key, found in drops.items():
        for drop in found:
            owners.setdefault(drop, []).append(key)
    for (epoch, rate), keys in sorted(owners.items()):
        colour = QUIET if len(keys) == len(drops) else looks[keys[0]]["color"]
        axes.axvline(epoch, color=colour, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
        if len(owners) <= MOST_DROPS:
            axes.annotate(
                f"rate {rate:.3g}", (epoch, 0.99), (2, 0), xycoords=("data", "axes fraction"),
                textcoords="offset points", fontsize=7, color=colour, ha="left", va="top", rotation=90,
            )  # fmt: skip


def _label_ends(axes: Axes, series: Series, looks: dict[Key, dict[str, Any]], write: Callable[[float], str]) -> None:
    """Each curve's name and last value to the right of the axes, parted so that none covers another."""
    height = axes.get_position().height * axes.get_figure().get_size_inches()[1]  # type: ignore[union-attr]
    shown = {key: curve for key, curve in series.items() if curve}
    ends = {key: next(((x, y) for x, y in reversed(curve) if math.isfinite(y)), None) for key, curve in shown.items()}
    places = picture_frame.spread([_height(axes, end) for end in ends.values()], LABEL / height, 0.0, 1.0)
    for (key, end), place in zip(ends.items(), places, strict=True):
        colour = looks[key]["color"]
        name = picture_frame.short(name_of(key))
        value = "NaN" if not math.isfinite(shown[key][-1][1]) or end is None else write(end[1])
        axes.annotate(
            f"{name}  {value}", end or (axes.get_xlim()[1], axes.get_ylim()[1]), (1.03, place),
            textcoords="axes fraction", va="center", fontsize=8, color=colour, annotation_clip=False, parse_math=False,
            arrowprops={
                "arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.5, "shrinkA": 1, "shrinkB": 4,
                "relpos": (0, 0.5),
            },
        )  # fmt: skip


def _height(axes: Axes, end: tuple[float, float] | None) -> float:
    """Where a curve ends, as a share of the axes' height."""
    if end is None:
        return 1.0
    return float(axes.transAxes.inverted().transform(axes.transData.transform(end))[1])


def _sides(points: Curve) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
