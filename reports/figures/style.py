"""What all pictures share: colours, fonts, the paper with title and signature, marks with their texts, and files.

A figure is drawn under RC, whatever the user's own matplotlibrc says, and laid out by matplotlib's constrained layout.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D

from reports import atomic, signatures
from reports.format import Row, clean, text
from reports.statistics import Interval

# Every colour of a figure's SVG, for who shows it on other paper. Series are Okabe and Ito's, told apart by every kind
# of eye; black is not quite black, because matplotlib does not write that one down.
PALETTE = {
    "ink": "#222222",  # words, intervals
    "quiet": "#5a5a5a",  # axes and what explains
    "faint": "#999999",  # lines that lead somewhere
    "grid": "#dddddd",
    "band": "#f5f5f5",  # behind every second layer
    "paper": "#ffffff",
    "torch": "#d55e00",
    "tensorflow": "#009e73",
    "jax": "#0072b2",
    "other-1": "#cc79a7",  # frameworks and implementations from outside, by name
    "other-2": "#e69f00",
    "other-3": "#56b4e9",
    "other-4": "#111111",
    "pale": "#bfd9ec",  # bars that step back, light in grey print too
}
INK, QUIET, FAINT, GRID, BAND, PAPER = (PALETTE[name] for name in ("ink", "quiet", "faint", "grid", "band", "paper"))
SHAPES = {"torch": "o", "tensorflow": "s", "jax": "^", "other-1": "D", "other-2": "v", "other-3": "P", "other-4": "X"}
SERIES = tuple(SHAPES)
DASHED: Any = (0, (4, 2))
DOTTED: Any = (0, (1, 2))

DPI = 144  # of the PNG: two pixels for each of the SVG's points
MAX_PANELS = 12
MAX_NAME = 24  # characters of a name beside a panel
LINES = 2  # of a name in a legend
EM = 0.62  # of the font's size that a character takes, generously
TITLE, SENTENCE, FOOT = 14.0, 9.5, 6.5  # font sizes in points
LEADING = 1.4  # of the font's size that a line takes
PAD = 0.1, 0.07  # inches beside and above what is laid out

RC: Any = {
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # names with a dollar sign are no formula
    "figure.dpi": DPI,
    "figure.facecolor": PAPER,
    "figure.titlesize": TITLE,
    "figure.titleweight": "bold",
    "figure.constrained_layout.w_pad": PAD[0],
    "figure.constrained_layout.h_pad": PAD[1],
    "axes.facecolor": "none",
    "axes.edgecolor": QUIET,
    "axes.labelcolor": QUIET,
    "axes.labelsize": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 5.5,
    "errorbar.capsize": 2.5,
    "hatch.linewidth": 0.9,
    "image.composite_image": False,  # quick, and each at its own resolution
    "svg.fonttype": "none",
}

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Place = tuple[float, float]  # x, y


class Spot(NamedTuple):
    """A marker of a curve."""

    x: float
    y: float
    at: str  # where, in words
    value: str  # in words
    number: float | Interval | None = None  # that the words tell; y where None


class Mark(NamedTuple):
    """What an artist of a figure shows."""

    series: str
    panel: str  # its title, empty where there is one panel
    points: tuple[tuple[str, str], ...]  # where and value, of each marker or bar in the order of the SVG
    numbers: tuple[float | Interval | None, ...] = ()  # that the values tell, where they are known


class Drawing(Figure):
    """A figure with the texts of its marks. In its SVG the group of a marked artist has the mark's key as id."""

    def __init__(self, name: str, size: tuple[float, float]) -> None:
        super().__init__(figsize=size, layout="constrained")
        self.name = _slug(name)
        self.marks: dict[str, Mark] = {}
        self.svg = ""  # once it was drawn
        self.panels: list[Axes] = []
        self.panel_width = size[0]  # inches, with all that stands beside the axes


def who(row: Row) -> tuple[str, str]:
    """Framework and tuning, which make a series."""
    return text(row, "framework"), text(row, "tuning")


def trained(rows: Iterable[Row]) -> str:
    """`cifar-4layer on digits`: what these rows are of."""
    named = (" on ".join(filter(None, (text(row, "network"), text(row, "data")))) for row in rows)
    return ", ".join(filter(None, dict.fromkeys(named)))


def places(rows: Iterable[Row]) -> dict[str, int]:
    """Framework -> its place in SERIES; those from outside follow by name."""
    names = [*SERIES[:3], *sorted({text(row, "framework") for row in rows} - set(SERIES[:3]))]
    return {name: place for place, name in enumerate(names)}


def look(place: int, turn: int = 0, *, hollow: bool = False) -> dict[str, Any]:
    """Colour and marker at a place; another marker at each turn, and where the colours come again."""
    turn += place // len(SERIES)
    colour, shape = PALETTE[SERIES[place % len(SERIES)]], SHAPES[SERIES[(place + turn) % len(SERIES)]]
    return {"color": colour, "marker": shape, "markerfacecolor": PAPER if hollow else colour}


def styled(draw: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A function that draws in this style."""

    @wraps(draw)
    def within(*arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(RC)
            return draw(*arguments, **named)

    return within


def drawing(
    name: str, title: str, said: str, rows: Sequence[Row], heights: Sequence[float], *,
    width: float, columns: int = 1, grid: Literal["x", "y", "both"] = "both", share_y: bool = False,
) -> Drawing:  # fmt: skip
    """Paper with a title, a sentence beneath, panels, and the rows' signatures as one at the foot.

    A panel has a height, and all have one `width`, in inches. Panels beyond MAX_PANELS are counted only.
    """
    mpl.rcParams["axes.grid.axis"] = grid
    shown, left_out = heights[:MAX_PANELS], len(heights) - MAX_PANELS
    columns = min(columns, len(shown))
    lines = [max(shown[start : start + columns]) for start in range(0, len(shown), columns)]
    wide = max(columns * width, 6.4)
    said += f" ({left_out} more in the tables)" if left_out > 0 else ""
    foot = signatures.merged(rows).replace("|", "| ")
    sizes = (TITLE, SENTENCE, FOOT)
    texts = [_wrapped(given, wide, size) for given, size in zip((title, said, foot), sizes, strict=True)]
    tall = sum(LEADING * size / 72 * (given.count("\n") + 1) for given, size in zip(texts, sizes, strict=True))
    made = Drawing(name, (wide, sum(lines) + tall + 0.4))
    small: dict[str, Any] = {"weight": "normal", "color": QUIET, "linespacing": LEADING}
    made.suptitle(texts[0], x=PAD[0] / wide, ha="left")
    made.supxlabel(texts[2].replace("| ", "|"), x=PAD[0] / wide, ha="left", fontsize=FOOT, **small)
    # A figure has one title; the sentence is that of the figure within, which holds the panels.
    within = made.add_subfigure(GridSpec(1, 1, made)[0])
    within.suptitle(texts[1], x=PAD[0] / wide, ha="left", fontsize=SENTENCE, **small)
    panels = list(within.subplots(len(lines), columns, squeeze=False, sharey=share_y, height_ratios=lines).flat)
    for axes in panels[len(shown) :]:
        axes.remove()
    made.panels, made.panel_width = panels[: len(shown)], wide / columns
    return made


def mark(
    drawn: Drawing,
    artists: Artist | Iterable[Artist],
    series: str,
    points: Iterable[tuple[str, str]] = (),
    numbers: Iterable[float | Interval | None] = (),
) -> None:
    """Note what artists show, as (where, value): one artist with all the points, or several with a point each.

    `numbers` are what the values tell, where they are known. Without points the artists only belong to the series, as
    intervals and lines between markers do.
    """
    each = [artists] if isinstance(artists, Artist) else list(artists)
    texts = list(zip_longest([(clean(at), clean(value)) for at, value in points], numbers))
    shares = [texts] if len(each) == 1 else [[point] for point in texts] or [[] for _ in each]
    titles = {axes: axes.get_title(loc="left") for axes in drawn.panels if len(drawn.panels) > 1}
    for artist, share in zip(each, shares, strict=True):
        gid = f"{_slug(series)}-{len(drawn.marks) + 1}"
        artist.set_gid(gid)
        panel = next((title for axes, title in titles.items() if axes is artist.axes), "")
        drawn.marks[gid] = Mark(
            clean(series), clean(panel), tuple(point for point, _ in share), tuple(found for _, found in share)
        )


def plot(drawn: Drawing, axes: Axes, series: str, spots: Sequence[Spot], **settings: Any) -> Line2D:
    """A curve whose markers are noted. `settings` are those of `Axes.plot`."""
    [line] = axes.plot([spot.x for spot in spots], [spot.y for spot in spots], **settings)
    first, every = settings.get("markevery", (0, 1))
    seen = [spot for spot in spots[first::every] if math.isfinite(spot.y)]
    numbers = [spot.y if spot.number is None else spot.number for spot in seen]
    mark(drawn, line, series, [(spot.at, spot.value) for spot in seen], numbers)
    return line


def heading(drawn: Drawing, axes: Axes, said: str, left: float = 0.7) -> None:
    """A panel's title on as many lines as it needs, `left` inches from the panel's side: the layout makes no room."""
    width = (drawn.panel_width - left) * 72 / (EM * mpl.rcParams["axes.titlesize"])
    axes.set_title("\n".join(textwrap.wrap(short(said, 4 * MAX_NAME), int(width))))


def segments(axes: Axes, ends: Iterable[tuple[Place, Place]], **look: Any) -> list[Line2D]:
    """Separate lines, each from a place to a place, as one artist: many are drawn quickly so."""
    places = [place for pair in ends for place in (*pair, (math.nan, math.nan))]
    return axes.plot([x for x, _ in places], [y for _, y in places], solid_capstyle="butt", **look)


def say(axes: Axes, said: str, at: Place, aside: Place, **settings: Any) -> None:
    """Words at a place on the axes, so many points aside. `settings` are those of `Axes.annotate`."""
    usual: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False, "va": "center", "fontsize": 8}
    axes.annotate(said, at, aside, **usual | settings)


def beside(axes: Axes, entries: Sequence[Artist] | None = None) -> None:
    """A legend to the right of the axes, of these labelled artists or of all."""
    entries = axes.get_legend_handles_labels()[0] if entries is None else entries
    if entries:
        axes.legend(handles=entries, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0)


def beside_height(names: Iterable[str]) -> float:
    """The inches that such a legend of these names takes, with what stands above and below the axes."""
    return 0.9 + sum(0.06 + 0.14 * (folded(name).count("\n") + 1) for name in names)


def short(name: str, most: int = MAX_NAME) -> str:
    """A name cut to fit, in the middle: of a class the beginning tells most, of an implementation's path the end."""
    name = clean(name)
    return name if len(name) <= most else f"{name[: most // 3]}…{name[most // 3 + 1 - most :]}"


def folded(name: str, most: int = MAX_NAME) -> str:
    """A name for a legend, on as many lines as it needs and may have."""
    return "\n".join(textwrap.wrap(short(name, LINES * most - LINES), most))


def save(drawn: Drawing, path: Path) -> list[str]:
    """Write `path`, a PNG, and the same as SVG beside it, each whole or not at all; their names. Raises OSError."""
    vector = path.with_suffix(".svg")
    atomic.write_bytes(_saved(drawn, "png"), path)
    atomic.write_bytes(svg(drawn).encode(), vector)
    return [path.name, vector.name]


def svg(drawn: Drawing) -> str:
    """The figure as SVG, the same text for the same figure; drawn once for its file and the page."""
    if not drawn.svg:
        drawn.svg = _saved(drawn, "svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))).decode()
    return drawn.svg


@styled
def _saved(drawn: Drawing, form: str, **settings: Any) -> bytes:
    """The layout is settled the first time and serves every file: it takes as long as drawing."""
    if (engine := drawn.get_layout_engine()) is not None:
        engine.execute(drawn)
        drawn.set_layout_engine(None)
    mpl.rcParams["svg.hashsalt"] = drawn.name
    buffer = BytesIO()
    drawn.savefig(buffer, format=form, **settings)
    return buffer.getvalue()


def _wrapped(said: str, inches: float, size: float) -> str:
    return "\n".join(textwrap.wrap(clean(said), int((inches - 2 * PAD[0]) * 72 / (EM * size))))


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[:40].strip("-") or "unnamed"
