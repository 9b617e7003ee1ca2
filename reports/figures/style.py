"""What a picture of a run has: panels, a title above, the signature below, one look per framework."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports import signatures
from reports.figures.error_by_layer import COLOURS, OTHER_COLOURS, OTHER_SHAPES, QUIET, SHAPES, save_png
from reports.format import Row, text

DPI = 160
MOST_PANELS = 12
LONGEST = 24  # characters of a name
LEFT, RIGHT, TOP, BOTTOM = 0.35, 0.3, 0.95, 0.35  # margins of the whole, in inches
LINE, FOOT = 0.18, 0.16  # a line below the title and one of the signature, in inches

Draw = Callable[[Axes], None]
Margins = tuple[float, float, float, float]  # of a panel within its cell: left, right, top, bottom, in inches


class Picture(NamedTuple):
    """A picture of a run's folder."""

    name: str  # of the file
    title: str
    draw: Callable[[Path], None]


class Look:
    """Colour, shape and line of each series. Colours are Okabe and Ito's; stock is hollow and dashed, tuned solid."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._others = sorted({text(row, "framework") for row in rows} - set(COLOURS))

    def colour(self, framework: str) -> str:
        """The framework's own colour."""
        return COLOURS.get(framework) or OTHER_COLOURS[self._others.index(framework) % len(OTHER_COLOURS)]

    def shape(self, framework: str) -> str:
        """The framework's own marker."""
        if framework in SHAPES:
            return SHAPES[framework]
        place = self._others.index(framework)
        # Once the colours are used up they come again with other shapes.
        return OTHER_SHAPES[(place + place // len(OTHER_COLOURS)) % len(OTHER_SHAPES)]

    def marker(self, row: Row) -> dict[str, Any]:
        """Settings of a marker for `Axes.plot`."""
        framework, stock = text(row, "framework"), text(row, "tuning") == "stock"
        colour = self.colour(framework)
        return {"color": colour, "marker": self.shape(framework), "markerfacecolor": "white" if stock else colour}


def save(
    path: Path, title: str, said: str, rows: Sequence[Row], panels: Sequence[tuple[float, Draw]], *,
    columns: int, width: float, margins: Margins, most: int = MOST_PANELS,
) -> None:  # fmt: skip
    """Draw panels row by row and write the PNG. A panel is its height in inches, margins included, and what draws it.

    `width` is a panel's, in inches; panels beyond `most` are counted only. Raises OSError.
    """
    left_out = len(panels) - most
    shown = panels[:most]
    columns = min(columns, len(shown))
    lines = [shown[start : start + columns] for start in range(0, len(shown), columns)]
    heights = [max(height for height, _ in line) for line in lines]
    whole = max(LEFT + RIGHT + columns * width, 6.4)
    foot = textwrap.wrap(signatures.merged(rows).replace("|", "| "), int((whole - LEFT - RIGHT) * 19)) or [""]
    said += f" ({left_out} more in the tables)" if left_out > 0 else ""
    beneath = textwrap.wrap(said, int((whole - LEFT - RIGHT) * 13))
    head = TOP + LINE * max(len(beneath) - 2, 0)  # there is room for two lines
    tall = head + sum(heights) + BOTTOM + FOOT * len(foot)
    figure = Figure(figsize=(whole, tall), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    _write(figure, title, "\n".join(beneath), "\n".join(foot).replace("| ", "|"))
    top = tall - head
    for line, height in zip(lines, heights, strict=True):
        for place, (_, draw) in enumerate(line):
            draw(figure.add_axes(_box(whole, tall, LEFT + place * width, top - height, width, height, margins)))
        top -= height
    save_png(figure, path)


def _write(figure: Figure, title: str, beneath: str, foot: str) -> None:
    """What stands around the panels. A name with a dollar sign is no formula."""
    whole, tall = figure.get_size_inches()
    small: dict[str, Any] = {"color": QUIET, "parse_math": False}
    figure.text(LEFT / whole, 1 - 0.42 / tall, title, fontsize=14, weight="bold", va="baseline", parse_math=False)
    figure.text(LEFT / whole, 1 - 0.54 / tall, beneath, fontsize=9.5, va="top", linespacing=1.3, **small)
    figure.text(LEFT / whole, 0.12 / tall, foot, fontsize=6.5, va="bottom", linespacing=1.4, **small)


def _box(
    whole: float, tall: float, left: float, bottom: float, width: float, height: float, margins: Margins
) -> tuple[float, float, float, float]:
    before, after, above, below = margins
    return (
        (left + before) / whole,
        (bottom + below) / tall,
        (width - before - after) / whole,
        (height - above - below) / tall,
    )


def quiet(axes: Axes, grid: str) -> None:
    """Axes that step back behind what is drawn on them. `grid` is x, y or both."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8.5, color=QUIET)
    axes.grid(axis=grid, color="#DDDDDD", linewidth=0.6, zorder=0)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def heading(axes: Axes, said: str) -> None:
    """A panel's title, at its upper left."""
    axes.set_title(said, loc="left", fontsize=10, weight="bold", pad=8, parse_math=False)


def short(name: str) -> str:
    """A name that fits beside a panel: of an outside implementation's path the end tells most."""
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Places for labels as near to the wanted ones as `apart` allows, in the same order, between low and high."""
    apart = min(apart, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    # Without the distance due to each rank, places must only not decrease: neighbours that do are given their mean.
    blocks: list[list[float]] = []
    for rank, place in enumerate(order):
        blocks.append([wanted[place] - apart * rank])
        while len(blocks) > 1 and mean(blocks[-2]) > mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    levels = [mean(block) for block in blocks for _ in block]
    most = high - apart * (len(wanted) - 1)
    found = dict(zip(order, levels, strict=True))
    return [min(max(found[place], low), most) + apart * order.index(place) for place in range(len(wanted))]
