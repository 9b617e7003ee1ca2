"""Looks at a figure: what is written on it, and whether it can be read."""

from __future__ import annotations

import itertools
import warnings

from matplotlib.axes import Axes
from matplotlib.text import Text

from reports.figures.style import Drawing


def texts(drawing: Drawing) -> list[Text]:
    """Everything written that is to be read on its own, laid out."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a layout that has no room says so and does nothing
        drawing.draw_without_rendering()
    unseen = {id(label) for axes in drawing.axes for label in _beyond(axes)}
    found = [text for text in drawing.findobj(Text) if isinstance(text, Text) and text.get_visible()]
    return [text for text in found if text.get_text() and id(text) not in unseen and text.get_window_extent().width > 1]


def _beyond(axes: Axes) -> list[Text]:
    """Labels of ticks that lie outside the axes, or of axes that are off: they are there, but not drawn."""
    found: list[Text] = []
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        outside = [tick for tick in axis.get_major_ticks() if not (axes.axison and low <= tick.get_loc() <= high)]
        found += [label for tick in outside for label in (tick.label1, tick.label2)]
    return found


def words(drawing: Drawing) -> list[str]:
    return [text.get_text() for text in texts(drawing)]


def said(drawing: Drawing) -> str:
    """All words in one line."""
    return " ".join(" ".join(words(drawing)).split())


def labels(axes: Axes) -> list[str]:
    """What was written beside curves and bars."""
    return [text.get_text() for text in axes.texts if text.get_text()]


def legend(drawing: Drawing) -> list[str]:
    """The entries of all legends, each on one line."""
    legends = [*(axes.get_legend() for axes in drawing.axes), *drawing.subfigs[0].legends]
    return [" ".join(text.get_text().split("\n")) for one in legends if one is not None for text in one.get_texts()]


def marks(drawing: Drawing, series: str) -> list[tuple[str, str]]:
    """Where and what a series shows."""
    return [point for mark in drawing.marks.values() if mark.series == series for point in mark.points]


def check(drawing: Drawing) -> None:
    """Nothing written leaves the paper; no text that stands straight covers another."""
    paper, straight = drawing.bbox, []
    for text in texts(drawing):
        box = text.get_window_extent()
        assert box.x0 >= -1 and box.x1 <= paper.x1 + 1, text.get_text()
        assert box.y0 >= -1 and box.y1 <= paper.y1 + 1, text.get_text()
        if text.get_rotation() % 90 == 0:
            straight.append((box.shrunk(0.98, 0.7) if text.get_rotation() == 0 else box.shrunk(0.7, 0.98), text))
    for (one, first), (two, second) in itertools.combinations(straight, 2):
        assert not one.overlaps(two), f"{first.get_text()!r} covers {second.get_text()!r}"
