"""Pictures of images/s: over the batch size, and on one device beside two."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.figures import style as picture_frame
from reports.figures.error_by_layer import QUIET
from reports.figures.style import Look
from reports.format import NARROW, Row, briefly, briefly_claimed, figure, positive, text
from reports.statistics import Interval
from reports.summaries.speed import (
    PANEL,
    Key,
    digest,
    images_interval,
    is_emulated,
    is_measured,
    is_split,
    latest,
    setting,
)

BAR = 0.26  # inches that a bar takes
LABEL = 0.155  # inches that a label at the end of a curve takes
NOT_STABLE = "not stable"
ON_BAR = 0.62  # inches that these words take on a bar
FARTHEST = 2.0  # times the largest figure, beyond which intervals are cut off
ASIDE = 0.03  # of a doubling of the batch size, between two series
INK = "#222222"
HATCH = "////"
CURVES: picture_frame.Margins = (0.75, 2.05, 0.42, 0.55)
BARS: picture_frame.Margins = (2.0, 1.75, 0.42, 0.5)
SPLIT_BARS: picture_frame.Margins = (2.0, 3.1, 0.42, 0.5)  # beside them, what a split gains

NONE: Mapping[Key, str] = {}

Series = dict[tuple[str, str], list[Row]]  # (framework, tuning) -> rows


def throughput_drawable(rows: Sequence[Row]) -> bool:
    """Whether there is a figure for one device."""
    return bool(_one_device(rows))


def draw_throughput(rows: Sequence[Row], path: Path) -> None:
    """Images/s by batch size and framework with intervals, one device; bars where there is one batch size.

    Raises ValueError where there is nothing to draw, OSError.
    """
    kept = _one_device(rows)
    if not kept:
        raise ValueError("no row of one device has images_per_s: there is nothing to draw")
    look = Look(kept)
    panels = []
    bars = True
    for key, found in _by(kept, *PANEL).items():
        single = len({row.get("batch_size") for row in found}) == 1
        bars &= single
        height = _bars_height(len(found), 0) if single else max(3.6, 1.0 + LABEL * len(_series(found)))
        draw = partial(_bars, look=look, title=_title(key, found), rows=found, label=_name) if single else partial(
            _curves, look=look, title=_title(key, found), rows=found
        )  # fmt: skip
        panels.append((height, draw))
    said = "One device: steady state, 95 % interval; stock hollow and dashed, tuned filled"
    said += "; crossed out: not stable" if not bars and any(map(_is_unstable, kept)) else ""
    picture_frame.save(
        path, "Images per second", said, kept, panels, columns=1 if bars else 2, width=7.4 if bars else 6.8,
        margins=BARS if bars else CURVES,
    )  # fmt: skip


def devices_drawable(rows: Sequence[Row]) -> bool:
    """Whether there is a figure for a split."""
    return any(is_split(row) for row in rows if is_measured(row))


def draw_devices(rows: Sequence[Row], path: Path, samples: Sequence[Row] = ()) -> None:
    """One device beside several, a bar per split; emulated devices hatched, and said to claim nothing.

    What a split gains over one device is judged by the rows of `samples`. Raises ValueError where there is nothing to
    draw, OSError.
    """
    groups = _by([row for row in latest(rows) if is_measured(row)], *PANEL, "batch_size")
    groups = {key: found for key, found in groups.items() if any(is_split(row) for row in found)}
    if not groups:
        raise ValueError("no row of several devices has images_per_s: there is nothing to draw")
    kept = [row for found in groups.values() for row in _with_splits(found)]
    lines = (line for panel in digest({"speed": kept, "sample": samples}).panels for line in panel.lines)
    gains = {setting(line.row): briefly_claimed(line.over_one, figure) for line in lines if line.over_one}
    look = Look(kept)
    panels = []
    for key, found in groups.items():
        shown = _with_splits(found)
        draw = partial(_bars, look=look, title=_title(key[:-1], shown), rows=shown, label=_split_name, gains=gains)
        panels.append((_bars_height(len(shown), len(_series(shown)) - 1), draw))
    said = "Images/s by split: steady state, 95 % interval"
    if any(is_emulated(row) for row in kept):
        said += ". Hatched: emulated devices, which share one machine's cores: no speed-up is claimed"
    picture_frame.save(path, "One device and several", said, kept, panels, columns=1, width=8.75, margins=SPLIT_BARS)


def _one_device(rows: Sequence[Row]) -> list[Row]:
    return [row for row in latest(rows) if is_measured(row) and not is_split(row) and positive(row, "batch_size")]


def _with_splits(rows: Sequence[Row]) -> list[Row]:
    """The rows of those frameworks and tunings that were split."""
    split = {(text(row, "framework"), text(row, "tuning")) for row in rows if is_split(row)}
    kept = [row for row in rows if (text(row, "framework"), text(row, "tuning")) in split]
    return sorted(kept, key=lambda row: (*_who(row), is_split(row), row.get("devices") or 1, text(row, "split")))


def _by(rows: Sequence[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in names), []).append(row)
    return dict(sorted(groups.items(), key=lambda item: [str(part) for part in item[0]]))


def _series(rows: Sequence[Row]) -> Series:
    found: Series = {}
    for row in sorted(rows, key=_who):
        found.setdefault(_who(row), []).append(row)
    return {key: sorted(group, key=lambda row: float(row.get("batch_size") or 0)) for key, group in found.items()}


def _who(row: Row) -> tuple[str, str]:
    return text(row, "framework"), text(row, "tuning")


def _name(row: Row) -> str:
    return picture_frame.short(" ".join(_who(row)).strip())


def _split_name(row: Row) -> str:
    return f"{_name(row)}, {text(row, 'split')} x{text(row, 'devices')}" if is_split(row) else f"{_name(row)}, 1 device"


def _title(key: Sequence[Any], rows: Sequence[Row]) -> str:
    batches = {text(row, "batch_size") for row in rows}
    named = [str(part) for part in key if part not in (None, "", "synthetic")]
    return ", ".join([*named, *([f"batch {batches.pop()}"] if len(batches) == 1 else [])])


def _interval(row: Row) -> Interval:
    found = images_interval(row)
    assert found is not None  # what is drawn was measured
    return found


def _reach(rows: Sequence[Row]) -> float:
    """The most images/s that the axis shows: all figures, and their intervals as far as those leave figures visible."""
    most = max(float(row["images_per_s"]) for row in rows)
    ends = [found.high for row in rows if (found := _interval(row)).high is not None]
    return max([most, *(min(FARTHEST * most, end) for end in ends)])


def _errors(rows: Sequence[Row], reach: float) -> list[list[float]]:
    """Lengths of the error bars below and above, up to the end of the axis.

    NaN, which draws nothing, where no interval was measured: a bar without length would look like certainty.
    """
    found = [_interval(row) for row in rows]
    below = [one.value - one.low if one.low is not None else math.nan for one in found]
    above = [min(one.high, reach) - one.value if one.high is not None else math.nan for one in found]
    return [below, above]


def _is_unstable(row: Row) -> bool:
    return text(row, "stable") == "no"


def _told(row: Row) -> str:
    """The figure of a row; how well it is known where an error bar would not show that."""
    found = _interval(row)
    narrow = found.relative is not None and found.relative <= NARROW
    return figure(found.value) if narrow else briefly(found, figure)


def _curves(axes: Axes, look: Look, title: str, rows: Sequence[Row]) -> None:
    series = _series(rows)
    batches = sorted({float(row["batch_size"]) for row in rows})
    axes.set_xscale("log", base=2)
    reach = _reach(rows)
    aside = _aside(series)
    for (_, tuning), found in series.items():
        x, y = _points(found, aside)
        style: dict[str, Any] = {
            "linestyle": (0, (4, 2)) if tuning == "stock" else "-",
            "linewidth": 1.4,
            "markersize": 5.5,
        }
        axes.errorbar(x, y, yerr=_errors(found, reach), capsize=2.5, elinewidth=1.0, **style, **look.marker(found[0]))
    axes.set_xlim(batches[0] / 2**0.3, batches[-1] * 2**0.3)
    axes.set_ylim(0, reach * 1.1)
    doubtful = [row for row in rows if _is_unstable(row)]
    axes.plot(*_points(doubtful, aside), linestyle="none", marker="x", markersize=8.5, color=INK, zorder=5)
    cut = [row for row in rows if (_interval(row).high or 0.0) > reach]
    axes.plot(_points(cut, aside)[0], [reach] * len(cut), linestyle="none", marker="^", markersize=4, color=INK)
    axes.xaxis.set_major_locator(FixedLocator(batches))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    if len(batches) > 8:
        axes.tick_params(axis="x", labelrotation=60)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,g}"))
    picture_frame.quiet(axes, "y")
    picture_frame.heading(axes, title)
    axes.set_xlabel("batch size", fontsize=9, color=QUIET)
    axes.set_ylabel("images/s", fontsize=9, color=QUIET)
    _label_ends(axes, look, series, aside)


def _aside(series: Series) -> dict[tuple[str, str], float]:
    """By which factor each series stands beside its batch size, so that no error bar hides another."""
    middle = (len(series) - 1) / 2
    return {who: 2 ** (ASIDE * (place - middle)) for place, who in enumerate(series)}


def _points(rows: Sequence[Row], aside: Mapping[tuple[str, str], float]) -> tuple[list[float], list[float]]:
    return [row["batch_size"] * aside[_who(row)] for row in rows], [float(row["images_per_s"]) for row in rows]


def _label_ends(axes: Axes, look: Look, series: Series, aside: Mapping[tuple[str, str], float]) -> None:
    """Each curve's name and last figure to the right of the axes, parted so that none covers another."""
    height = axes.get_position().height * axes.get_figure().get_size_inches()[1]  # type: ignore[union-attr]
    top = axes.get_ylim()[1]
    ends = [found[-1] for found in series.values()]
    places = picture_frame.spread([row["images_per_s"] / top for row in ends], LABEL / height, 0.0, 1.0)
    for row, place in zip(ends, places, strict=True):
        colour = look.colour(text(row, "framework"))
        last, said = row["batch_size"] * aside[_who(row)], f"{_name(row)}  {_told(row)}"
        axes.annotate(
            said, (last, row["images_per_s"]), (1.03, place), textcoords="axes fraction", va="center", fontsize=8,
            color=colour, weight="normal" if text(row, "tuning") == "stock" else "bold", annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.5, "shrinkA": 1, "shrinkB": 4,
                "relpos": (0, 0.5),
            },
        )  # fmt: skip


def _bars_height(bars: int, gaps: int) -> float:
    return BARS[2] + BARS[3] + BAR * (bars + 0.5 * gaps + 0.4)


def _bars(
    axes: Axes,
    look: Look,
    title: str,
    rows: Sequence[Row],
    label: Callable[[Row], str],
    gains: Mapping[Key, str] = NONE,
) -> None:
    """Horizontal bars, the figure at the end of each; a gap between frameworks and tunings where they have several."""
    rows = sorted(rows, key=_who) if label is _name else rows
    places, place, split = [], 0.0, any(is_split(row) for row in rows)
    for before, row in zip([None, *rows[:-1]], rows, strict=True):
        place += 0.0 if before is None else 1.5 if split and _who(before) != _who(row) else 1.0
        places.append(place)
    for y, row in zip(places, rows, strict=True):
        hollow = text(row, "tuning") == "stock" or is_emulated(row)
        colour = look.colour(text(row, "framework"))
        axes.barh(
            y, row["images_per_s"], height=0.72, facecolor="white" if hollow else colour, edgecolor=colour,
            linewidth=1.2, hatch=HATCH if is_emulated(row) else None,
            linestyle="--" if text(row, "tuning") == "stock" else "-",
        )  # fmt: skip
    values, reach = [row["images_per_s"] for row in rows], _reach(rows)
    errors = _errors(rows, reach)
    axes.errorbar(values, places, xerr=errors, fmt="none", ecolor=INK, elinewidth=1.0, capsize=2.5)
    axes.set_yticks(places, labels=[label(row) for row in rows])
    axes.set_ylim(places[-1] + 0.7, -0.7)
    axes.set_xlim(0, reach * 1.02)
    for y, row in zip(places, rows, strict=True):
        end = min(reach, max(row["images_per_s"], _interval(row).high or 0.0))
        _label_bar(axes, y, row, end, gains.get(setting(row), ""))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    picture_frame.quiet(axes, "x")
    axes.tick_params(axis="y", length=0)
    picture_frame.heading(axes, title)
    axes.set_xlabel("images/s", fontsize=9, color=QUIET)


def _label_bar(axes: Axes, y: float, row: Row, end: float, gain: str) -> None:
    """Beside the bar its figure and what it gains over one device; on it, where it has room, that it is not stable."""
    beside = [_told(row), "emulated" if is_emulated(row) else f"{gain} over one" if gain else ""]
    if _is_unstable(row):
        inches = axes.get_position().width * axes.get_figure().get_size_inches()[0]  # type: ignore[union-attr]
        if row["images_per_s"] / axes.get_xlim()[1] * inches >= ON_BAR:
            axes.annotate(
                NOT_STABLE, (0, y), (4, 0), textcoords="offset points", va="center", fontsize=7, zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
            )  # fmt: skip
        else:
            beside.append(NOT_STABLE)
    if (_interval(row).high or 0.0) > end:
        axes.plot([end], [y], marker=">", markersize=4, color=INK, clip_on=False)
    axes.annotate(
        "  ".join(filter(None, beside)), (end, y), (5, 0), textcoords="offset points", va="center", fontsize=8,
        annotation_clip=False,
    )  # fmt: skip
