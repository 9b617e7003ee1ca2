"""Pictures of images/s: over the batch size, and on one device beside several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from reports import tables
from reports.figures import style
from reports.figures.style import Drawing, Spot
from reports.format import NARROW, Row, briefly, briefly_claimed, interval, positive, text
from reports.format import figure as digits
from reports.statistics import Interval
from reports.summaries import speed as summary

BAR = 0.26  # inches that a bar takes
LABEL = 3.2  # and at most the name beside it
FARTHEST = 2.0  # times the largest figure, beyond which intervals are cut off
ASIDE = 0.03  # of a doubling of the batch size, between two series
HATCH = "////"


@style.styled
def throughput(speed: pd.DataFrame, sample: pd.DataFrame) -> Drawing | None:
    """Images/s by batch size and framework with intervals, one device; bars where there is one batch size.

    How often each was measured is told by the rows of `sample`. None where nothing was measured on one device.
    """
    rows = [row for row in _measured(speed, sample) if not summary.is_split(row) and positive(row, "batch_size")]
    if not rows:
        return None
    panels = _by(rows, summary.PANEL)
    single = [len({row["batch_size"] for row in panel}) == 1 for panel in panels]
    said = "One device: steady state, 95 % interval; stock hollow and dashed, tuned filled"
    crossed = any(_is_unstable(row) for panel, bars in zip(panels, single, strict=True) if not bars for row in panel)
    said += "; crossed out: not stable" if crossed else ""
    heights = [
        _height(len(panel)) if bars else max(3.2, style.beside_height(dict.fromkeys(map(_series, panel))))
        for panel, bars in zip(panels, single, strict=True)
    ]
    columns, width = (1, 7.4) if all(single) else (2, 6.0)
    drawn = style.drawing("throughput", "Images per second", said, rows, heights, columns=columns, width=width)
    places = style.places(rows)
    for axes, panel, bars in zip(drawn.panels, panels, single, strict=False):
        style.heading(drawn, axes, _title(panel), LABEL if bars else 0.7)
        if bars:
            _bars(drawn, axes, places, sorted(panel, key=style.who))
        else:
            _curves(drawn, axes, places, panel)
    return drawn


@style.styled
def devices(speed: pd.DataFrame, sample: pd.DataFrame) -> Drawing | None:
    """One device beside several, a bar per split; emulated devices hatched, and said to claim nothing.

    What a split gains over one device is judged by the rows of `sample`. None where nothing was split.
    """
    panels = [_with_splits(panel) for panel in _by(_measured(speed, sample), (*summary.PANEL, "batch_size"))]
    panels = [panel for panel in panels if panel]
    rows = [row for panel in panels for row in panel]
    if not rows:
        return None
    gains = {summary.setting(row): briefly_claimed(row["over_one"], digits) for row in rows if row["over_one"]}
    said = "Images/s by split: steady state, 95 % interval"
    if any(map(summary.is_emulated, rows)):
        said += ". Hatched: emulated devices, which share one machine's cores: no speed-up is claimed"
    heights = [_height(len(panel) + 0.5 * len(set(map(style.who, panel)))) for panel in panels]
    drawn = style.drawing("devices", "One device and several", said, rows, heights, width=8.0)
    for axes, panel in zip(drawn.panels, panels, strict=False):
        style.heading(drawn, axes, _title(panel), LABEL)
        _bars(drawn, axes, style.places(rows), panel, gains)
    return drawn


def _measured(speed: pd.DataFrame, sample: pd.DataFrame | None) -> list[Row]:
    samples = tables.frame("sample", ()) if sample is None else sample
    found = {summary.setting(row): row for row in summary.settings(speed, samples)}
    return [found[summary.setting(row)] for row in summary.latest(speed) if summary.is_measured(row)]


def _with_splits(rows: Sequence[Row]) -> list[Row]:
    """The rows of those frameworks and tunings that were split, one device first."""
    split = {style.who(row) for row in rows if summary.is_split(row)}
    kept = [row for row in rows if style.who(row) in split]
    return sorted(
        kept, key=lambda row: (*style.who(row), summary.is_split(row), row.get("devices") or 1, text(row, "split"))
    )


def _by(rows: Sequence[Row], names: Sequence[str]) -> list[list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(text(row, name) for name in names), []).append(row)
    return [groups[key] for key in sorted(groups)]


def _series(row: Row) -> str:
    return " ".join(style.who(row)).strip()


def _split(row: Row) -> str:
    return f"{text(row, 'split')} x{text(row, 'devices')}" if summary.is_split(row) else "1 device"


def _title(rows: Sequence[Row]) -> str:
    named, batches = [text(rows[0], name) for name in summary.PANEL], {text(row, "batch_size") for row in rows}
    named += [f"batch {batches.pop()}"] if len(batches) == 1 else []
    return ", ".join(part for part in named if part not in ("", "synthetic"))


def _images(row: Row) -> Interval:
    found: Interval = row["images"]  # what is drawn was measured
    return found


def _reach(rows: Sequence[Row]) -> float:
    """The most images/s that the axis shows: all figures, and their intervals as far as those leave figures visible."""
    most = max(_images(row).value for row in rows)
    return max(most, *(min(FARTHEST * most, _images(row).high or most) for row in rows))


def _is_unstable(row: Row) -> bool:
    return text(row, "stable") == "no"


def _doubts(row: Row, gain: str = "") -> list[str]:
    """What must be said beside a figure."""
    over = "emulated" if summary.is_emulated(row) else f"{gain} over one" if gain else ""
    return [said for said in (over, "not stable" if _is_unstable(row) else "") if said]


def _value(row: Row, gain: str = "") -> str:
    return ", ".join([interval(_images(row), digits, " images/s"), *_doubts(row, gain)])


def _brief(row: Row) -> str:
    """The figure of a row; how well it is known where an error bar would not show that."""
    found = _images(row)
    narrow = found.relative is not None and found.relative <= NARROW
    return digits(found.value) if narrow else briefly(found, digits)


def _intervals(
    drawn: Drawing, axes: Axes, at: Iterable[tuple[float, Row]], reach: float, colour: str, *, upright: bool
) -> None:
    """Error bars up to the end of the axis; an arrow says that they go on. None where no interval was measured.

    A bar without length would look like certainty.
    """

    def turned(along: float, value: float) -> tuple[float, float]:
        return (along, value) if upright else (value, along)

    for along, row in at:
        found = _images(row)
        if found.low is not None and found.high is not None:
            ends = [(turned(along, found.low), turned(along, min(found.high, reach)))]
            look: dict[str, Any] = {"marker": "_" if upright else "|", "markersize": 5, "zorder": 4}
            lines = style.segments(axes, ends, color=colour, linewidth=1.0, **look)
            if found.high > reach:
                lines += axes.plot(*turned(along, reach), "^" if upright else ">", markersize=4, color=style.INK)
            style.mark(drawn, lines, _series(row))


def _curves(drawn: Drawing, axes: Axes, places: Mapping[str, int], rows: Sequence[Row]) -> None:
    batches, reach = sorted({float(row["batch_size"]) for row in rows}), _reach(rows)
    ends: dict[Artist, float] = {}
    series = _by(rows, ("framework", "tuning"))
    axes.set_xscale("log", base=2)
    for place, given in enumerate(series):
        found = sorted(given, key=lambda row: float(row["batch_size"]))
        stock, name = text(found[0], "tuning") == "stock", _series(found[0])
        look = style.look(places[text(found[0], "framework")], hollow=stock)
        aside = 2 ** (ASIDE * (place - (len(series) - 1) / 2))  # so that no error bar hides another
        spots = [
            Spot(
                row["batch_size"] * aside,
                _images(row).value,
                f"batch {text(row, 'batch_size')}",
                _value(row),
                _images(row),
            )
            for row in found
        ]
        _intervals(drawn, axes, ((spot.x, row) for spot, row in zip(spots, found, strict=True)), reach, look["color"],
                   upright=True)  # fmt: skip
        label = f"{style.folded(name)}  {_brief(found[-1])}"
        line = style.plot(drawn, axes, name, spots, label=label, linestyle=style.DASHED if stock else "-", **look)
        ends[line] = spots[-1].y
        crossed = [spot for spot, row in zip(spots, found, strict=True) if _is_unstable(row)]
        where = [spot.x for spot in crossed], [spot.y for spot in crossed]
        style.mark(drawn, axes.plot(*where, "x", markersize=8.5, color=style.INK, zorder=5), name)
    axes.set(xlim=(batches[0] / 2**0.3, batches[-1] * 2**0.3), ylim=(0, reach * 1.1))
    axes.set(xlabel="batch size", ylabel="images/s")
    axes.set_xticks(batches, [f"{batch:g}" for batch in batches], rotation=60 if len(batches) > 8 else 0)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.grid(visible=False, axis="x")
    style.beside(axes, sorted(ends, key=ends.__getitem__, reverse=True))  # as they end at the right


def _height(bars: float) -> float:
    return 0.9 + BAR * bars


def _bars(
    drawn: Drawing,
    axes: Axes,
    places: Mapping[str, int],
    rows: Sequence[Row],
    gains: Mapping[summary.Key, str] | None = None,
) -> None:
    """Horizontal bars, the figure at the end of each; a gap between frameworks and tunings where they have several."""
    split, reach = any(map(summary.is_split, rows)), _reach(rows)
    heights, labels = (
        [0.0],
        [style.short(_series(row)) + (f", {style.short(_split(row))}" if split else "") for row in rows],
    )
    for before, row in pairwise(rows):
        heights.append(heights[-1] + (1.5 if split and style.who(before) != style.who(row) else 1.0))
    for y, row, label in zip(heights, rows, labels, strict=True):
        stock, emulated = text(row, "tuning") == "stock", summary.is_emulated(row)
        look = style.look(places[text(row, "framework")], hollow=stock or emulated)
        bar = axes.barh(
            y, row["images_per_s"], height=0.72, facecolor=look["markerfacecolor"], edgecolor=look["color"],
            linewidth=1.2, hatch=HATCH if emulated else None, linestyle="--" if stock else "-",
        )  # fmt: skip
        gain = (gains or {}).get(summary.setting(row), "")
        style.mark(drawn, bar.patches, _series(row), [(label, _value(row, gain))], [_images(row)])
        _intervals(drawn, axes, [(y, row)], reach, style.INK, upright=False)
        end = min(reach, _images(row).high or _images(row).value)
        style.say(axes, "  ".join([_brief(row), *_doubts(row, gain)]), (end, y), (5, 0))
    axes.set_yticks(heights, labels)
    axes.set(ylim=(heights[-1] + 0.7, -0.7), xlim=(0, reach * 1.04), xlabel="images/s")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", left=False)
    axes.xaxis.set_major_formatter("{x:,g}")
