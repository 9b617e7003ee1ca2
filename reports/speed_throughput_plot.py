"""Pictures of images/s: over the batch size, and on one device beside two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports import picture_frame
from reports.cells import Row, figure, positive, text
from reports.parity_plot import QUIET
from reports.picture_frame import Look
from reports.ratio import Interval
from reports.speed_digest import PANEL, images_interval, is_emulated, is_measured, is_split, latest

BAR = 0.26  # inches that a bar takes
LABEL = 0.155  # inches that a label at the end of a curve takes
HATCH = "////"
CURVES: picture_frame.Margins = (0.75, 2.05, 0.42, 0.55)
BARS: picture_frame.Margins = (2.0, 1.75, 0.42, 0.5)

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
    said = "One device: median of the steady state, 95 % interval; stock hollow and dashed, tuned filled"
    picture_frame.save(
        path, "Images per second", said, kept, panels, columns=1 if bars else 2, width=7.4 if bars else 6.8,
        margins=BARS if bars else CURVES,
    )  # fmt: skip


def devices_drawable(rows: Sequence[Row]) -> bool:
    """Whether there is a figure for a split."""
    return any(is_split(row) for row in rows if is_measured(row))


def draw_devices(rows: Sequence[Row], path: Path) -> None:
    """One device beside several, a bar per split; emulated devices hatched, and said to claim nothing.

    Raises ValueError where there is nothing to draw, OSError.
    """
    groups = _by([row for row in latest(rows) if is_measured(row)], *PANEL, "batch_size")
    groups = {key: found for key, found in groups.items() if any(is_split(row) for row in found)}
    if not groups:
        raise ValueError("no row of several devices has images_per_s: there is nothing to draw")
    kept = [row for found in groups.values() for row in _with_splits(found)]
    look = Look(kept)
    panels = []
    for key, found in groups.items():
        shown = _with_splits(found)
        draw = partial(_bars, look=look, title=_title(key[:-1], shown), rows=shown, label=_split_name)
        panels.append((_bars_height(len(shown), len(_series(shown)) - 1), draw))
    said = "Images/s by split: median of the steady state, 95 % interval"
    if any(is_emulated(row) for row in kept):
        said += ". Hatched: emulated devices, which share one machine's cores: no speed-up is claimed"
    picture_frame.save(path, "One device and several", said, kept, panels, columns=1, width=7.4, margins=BARS)


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


def _errors(rows: Sequence[Row]) -> list[list[float]]:
    """Lengths of the error bars below and above; none where no interval was measured."""
    found = [images_interval(row) or Interval(0.0) for row in rows]
    below = [max(0.0, one.value - one.low) if one.low is not None else 0.0 for one in found]
    above = [max(0.0, one.high - one.value) if one.high is not None else 0.0 for one in found]
    return [below, above]


def _curves(axes: Axes, look: Look, title: str, rows: Sequence[Row]) -> None:
    series = _series(rows)
    batches = sorted({float(row["batch_size"]) for row in rows})
    axes.set_xscale("log", base=2)
    for (_, tuning), found in series.items():
        x, y = [float(row["batch_size"]) for row in found], [row["images_per_s"] for row in found]
        style: dict[str, Any] = {
            "linestyle": (0, (4, 2)) if tuning == "stock" else "-",
            "linewidth": 1.4,
            "markersize": 5.5,
        }
        axes.errorbar(x, y, yerr=_errors(found), capsize=2.5, elinewidth=1.0, **style, **look.marker(found[0]))
    axes.set_xlim(batches[0] / 2**0.3, batches[-1] * 2**0.3)
    axes.set_ylim(0, max(row["images_per_s"] for row in rows) * 1.1)
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
    _label_ends(axes, look, series)


def _label_ends(axes: Axes, look: Look, series: Series) -> None:
    """Each curve's name and last figure to the right of the axes, parted so that none covers another."""
    height = axes.get_position().height * axes.get_figure().get_size_inches()[1]  # type: ignore[union-attr]
    top = axes.get_ylim()[1]
    ends = [found[-1] for found in series.values()]
    places = picture_frame.spread([row["images_per_s"] / top for row in ends], LABEL / height, 0.0, 1.0)
    for row, place in zip(ends, places, strict=True):
        colour = look.colour(text(row, "framework"))
        last, said = float(row["batch_size"]), f"{_name(row)}  {figure(row['images_per_s'])}"
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


def _bars(axes: Axes, look: Look, title: str, rows: Sequence[Row], label: Callable[[Row], str]) -> None:
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
    values = [row["images_per_s"] for row in rows]
    axes.errorbar(values, places, xerr=_errors(rows), fmt="none", ecolor="#222222", elinewidth=1.0, capsize=2.5)
    ends = [value + length for value, length in zip(values, _errors(rows)[1], strict=True)]
    for y, row, end in zip(places, rows, ends, strict=True):
        said = f"{figure(row['images_per_s'])}{_beside_one(row, rows)}"
        axes.annotate(
            said, (end, y), (4, 0), textcoords="offset points", va="center", fontsize=8, annotation_clip=False
        )
    axes.set_yticks(places, labels=[label(row) for row in rows])
    axes.set_ylim(places[-1] + 0.7, -0.7)
    axes.set_xlim(0, max(ends) * 1.02)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    picture_frame.quiet(axes, "x")
    axes.tick_params(axis="y", length=0)
    picture_frame.heading(axes, title)
    axes.set_xlabel("images/s", fontsize=9, color=QUIET)


def _beside_one(row: Row, rows: Sequence[Row]) -> str:
    """What a split gains over one device; of emulated devices that nothing is claimed."""
    if not is_split(row):
        return ""
    if is_emulated(row):
        return "  emulated"
    one = [other for other in rows if _who(other) == _who(row) and not is_split(other)]
    return f"  {row['images_per_s'] / one[0]['images_per_s']:.2f}x one device" if one else ""
