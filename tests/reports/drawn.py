"""Looks at a drawn figure: what is written on it, and whether it can be read."""

from __future__ import annotations

import itertools

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text


def texts(figure: Figure) -> list[Text]:
    """Everything written that is to be read on its own."""
    figure.draw_without_rendering()
    unseen = {id(label) for axes in figure.axes for label in _beyond(axes)}
    found = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible() and text.get_text()]
    return [text for text in found if text.get_window_extent().width > 1 and id(text) not in unseen]


def _beyond(axes: Axes) -> list[Text]:
    """Labels of ticks that lie outside the axes: they are there, but not drawn."""
    found: list[Text] = []
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        found += [tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
    return found


def labels(axes: Axes) -> list[Text]:
    """What was written beside curves and bars."""
    return [text for text in axes.texts if text.get_text()]


def check(figure: Figure) -> None:
    """Nothing written leaves the paper; no label covers another."""
    paper = figure.bbox
    for text in texts(figure):
        box = text.get_window_extent()
        assert box.x0 >= -1 and box.x1 <= paper.x1 + 1, text.get_text()
        assert box.y0 >= -1 and box.y1 <= paper.y1 + 1, text.get_text()
    for axes in figure.axes:
        boxes = [(Text.get_window_extent(text).shrunk(1.0, 0.7), text.get_text()) for text in labels(axes)]
        for (one, first), (two, second) in itertools.combinations(boxes, 2):
            assert not one.overlaps(two), f"{first!r} covers {second!r}"
