"""The picture of where a step's time goes: a panel per framework and tuning, a bar per layer, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.figures import style as picture_frame
from reports.figures.error_by_layer import QUIET
from reports.figures.style import Look
from reports.format import Row, figure, positive, share, text
from reports.statistics import Interval
from reports.summaries import layers as speed_layers
from reports.summaries import speed as speed_digest
from reports.summaries.layers import REST, WHOLE, Layers

BAR = 0.19  # inches that a layer takes
MARGINS: picture_frame.Margins = (1.15, 0.75, 0.5, 0.5)
MOST_COLUMNS = 4
FORWARD, BACKWARD = "forward", "backward"
ASIDE = 0.17  # of a layer, by which the intervals of its two passes lie apart
INK = "#222222"
FARTHEST = 1.5  # times the longest bar, beyond which intervals are cut off


def drawable(rows: Sequence[Row]) -> bool:
    """Whether any layer has a time."""
    return bool(speed_layers.groups(rows))


def draw(rows: Sequence[Row], path: Path, order: Sequence[str] = ()) -> None:
    """Draw the `layer` rows as a PNG. `order` is the network's; without it the rows' own.

    Raises ValueError where there is nothing to draw, OSError.
    """
    found = sorted(speed_layers.groups(rows), key=lambda one: (one.place, _tuning(one)))
    if not found:
        raise ValueError("no row of a layer has step_ms: there is nothing to draw")
    kept = [row for one in found for row in one.rows]
    names = _in_order([row for row in rows if text(row, "layer") not in (REST, WHOLE)], order)
    names += [REST] if any(_rest_ms(one) for one in found) else []
    look = Look(kept)
    height = MARGINS[2] + MARGINS[3] + BAR * (len(names) + 0.6)
    longest: dict[tuple[str, str], float] = {}
    for one in found:
        longest[one.place, _tuning(one)] = max(longest.get((one.place, _tuning(one)), 0.0), _longest(one))
    panels = [
        (height, partial(_panel, look=look, one=one, names=names, longest=longest[one.place, _tuning(one)]))
        for one in found
    ]
    said = (
        "Forward filled, backward hatched after it, with 95 % intervals; beside it the share of all layers. "
        "The frameworks share a scale, stock and tuned each have their own"
    )
    # A row for stock and one for tuned, where the frameworks fit side by side.
    columns = max(sum((other.place, _tuning(other)) == (one.place, _tuning(one)) for other in found) for one in found)
    picture_frame.save(
        path, "Time by layer", said, kept, panels, columns=min(columns, MOST_COLUMNS), width=4.6, margins=MARGINS
    )


def _in_order(rows: Sequence[Row], order: Sequence[str]) -> list[str]:
    named = {text(row, "layer"): None for row in rows}
    known = [name for name in order if name in named]
    return [*known, *(name for name in named if name not in known)]


def _tuning(one: Layers) -> str:
    return text(one.rows[0], "tuning")


def _rest_ms(one: Layers) -> float:
    return (positive(one.rest, "step_ms") or 0.0) if one.rest is not None else 0.0


def _times(one: Layers) -> dict[str, dict[str, float]]:
    """Layer -> pass -> milliseconds."""
    found: dict[str, dict[str, float]] = {}
    for row in one.rows:
        found.setdefault(text(row, "layer"), {})[text(row, "pass") or FORWARD] = float(row["step_ms"])
    return found


def _intervals(one: Layers) -> dict[tuple[str, str], Interval]:
    """(layer, pass) -> milliseconds with their interval."""
    rows = [*one.rows, *([one.rest] if one.rest is not None and _rest_ms(one) else [])]
    return {
        (text(row, "layer"), text(row, "pass") or FORWARD): speed_digest.bounded(row, float(row["step_ms"]))
        for row in rows
    }


def _longest(one: Layers) -> float:
    """Milliseconds that the axis shows: all bars, and their intervals as far as those leave the bars visible."""
    bars = [*(sum(passes.values()) for passes in _times(one).values()), _rest_ms(one)]
    ends = [_end(one, layer) for layer in {*_times(one), REST}]
    return max(*bars, min(FARTHEST * max(bars), max(ends)))


def _end(one: Layers, layer: str) -> float:
    """Where a layer's bar and the interval of its last part end."""
    passes = {"all": _rest_ms(one)} if layer == REST else _times(one).get(layer, {})
    last = _intervals(one).get((layer, next((name for name in (BACKWARD, FORWARD, "all") if name in passes), "")))
    return sum(passes.values()) + (last.high - last.value if last is not None and last.high is not None else 0.0)


def _panel(axes: Axes, look: Look, one: Layers, names: Sequence[str], longest: float) -> None:
    times = _times(one)
    total = sum(sum(passes.values()) for passes in times.values())
    colour = look.colour(text(one.rows[0], "framework"))
    for place, name in enumerate(names):
        passes = {"all": _rest_ms(one)} if name == REST else times.get(name, {})
        forward, backward = passes.get(FORWARD, 0.0), passes.get(BACKWARD, 0.0)
        other = sum(passes.values()) - forward - backward
        axes.barh(place, forward, height=0.72, color=colour, linewidth=0)
        behind: dict[str, Any] = {"height": 0.72, "facecolor": "white", "edgecolor": colour, "linewidth": 0.9}
        axes.barh(place, backward, left=forward, hatch="/////", **behind)
        axes.barh(place, other, left=forward + backward, **behind)
        said = share(sum(passes.values()) / total) if passes and name != REST else figure(other) if other else ""
        said += " ms" if said and name == REST else ""
        axes.annotate(
            said, (min(longest, _end(one, name)), place), (3, 0), textcoords="offset points", va="center", fontsize=7,
            annotation_clip=False,
        )  # fmt: skip
    _errors(axes, one, names)
    _dress(axes, one, names, longest)


def _errors(axes: Axes, one: Layers, names: Sequence[str]) -> None:
    """The intervals of all bars; the axis cuts off what would leave no bar visible."""
    times, x, y, below, above = _times(one), [], [], [], []
    for (layer, which), found in _intervals(one).items():
        if found.low is not None and found.high is not None:
            before = times[layer].get(FORWARD, 0.0) if which == BACKWARD else 0.0
            x.append(before + found.value)
            y.append(names.index(layer) + {FORWARD: -ASIDE, BACKWARD: ASIDE}.get(which, 0.0))
            below.append(found.value - found.low)
            above.append(found.high - found.value)
    axes.errorbar(x, y, xerr=[below, above], fmt="none", ecolor=INK, elinewidth=0.7, capsize=1.2)


def _dress(axes: Axes, one: Layers, names: Sequence[str], longest: float) -> None:
    whole = positive(one.whole, "step_ms") if one.whole is not None else None
    axes.set_yticks(range(len(names)), labels=[picture_frame.short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, longest)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    picture_frame.quiet(axes, "x")
    axes.tick_params(axis="y", length=0, labelsize=8)
    step = f"  step {figure(whole)} ms" if whole else ""
    picture_frame.heading(axes, f"{picture_frame.short(one.name)}{step}")
    axes.set_xlabel(f"ms ({one.place})", fontsize=8, color=QUIET)
