"""What a network sees, as the paper's Figure 4: test images with their likeliest classes, and with their neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from numpy.typing import NDArray

from reports.figures import style
from reports.figures.style import Drawing
from reports.format import clean

MAX_IMAGES = 24
MAX_NEIGHBOURS = 12
COLUMNS = 4  # of images with bars
BARS = 5  # classes under an image
SIDE = 1.5  # inches of an image with bars; all other lengths are those of images
CELL = 1.25  # from one image with bars to the next
BAR, NAME = 0.135, 0.17  # a bar, and the true class above it
SMALL = 1.05  # inches of an image among its neighbours
NEXT, LINE = 1.1, 1.3  # from one of those to the next, and to the line below
BETWEEN = 0.25  # between a test image and its neighbours
HEADING = 0.25  # above the first line
LETTERS = 105  # to the inch, of a font of one point
RIGHT, WRONG = style.PALETTE["other-2"], style.PALETTE["pale"]  # the true class darker in grey print too


@style.styled
def top5(
    images: NDArray[Any], true: Sequence[int] | NDArray[Any], names: Sequence[str], probabilities: NDArray[Any], *,
    said: str = "", signature: str = "", name: str = "figure4-top5",
) -> Drawing:  # fmt: skip
    """Test images, each above its true class and bars of its five likeliest classes, the true one in another colour.

    Args:
        images: [n, H, W, 1 or 3] in 0..255; more than MAX_IMAGES are left out.
        true: [n] classes.
        names: of all classes.
        probabilities: [n, classes].
        said: what they are of, in a line.
        signature: at the foot.
        name: of the figure, to tell it from others on a page.

    Raises ValueError where the arguments do not fit each other.

    References:
        Paper, section 6.1 and figure 4, left.

    """
    names = [clean(one) for one in names]
    images, labels, shares = _pixels(images), np.asarray(true), np.asarray(probabilities, np.float64)
    if shares.shape != (len(images), len(names)) or labels.shape != (len(images),):
        raise ValueError(
            f"{len(images)} images of {len(names)} classes have labels {list(labels.shape)} and probabilities "
            f"{list(shares.shape)}"
        )
    if not len(images) or labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(f"labels {labels.tolist()} for {len(names)} classes: there is nothing to draw")
    shown, kept = min(len(images), MAX_IMAGES), min(BARS, len(names))
    columns, deep = min(COLUMNS, shown), 1 + NAME + BAR * kept + 0.12
    told = ". ".join(
        filter(None, [said, "Under each image its true class and the five likeliest, the true one in orange"])
    )
    lines = math.ceil(shown / columns)
    drawn = style.drawing(
        name, "Test images and what the network takes them for", told, [{"signature": signature}],
        [SIDE * deep * lines], width=SIDE * CELL * columns,
    )  # fmt: skip
    [axes] = drawn.panels
    for place in range(shown):
        left, top, label = place % columns * CELL, place // columns * deep, int(labels[place])
        _image(axes, images[place], left, top)
        _say(axes, left + 0.5, top + 1 + NAME / 2, names[label], SIDE, fontsize=9, weight="bold", ha="center")
        likeliest = np.argsort(-np.nan_to_num(shares[place], nan=-1.0), kind="stable")[:kept]
        heights = [top + 1 + NAME + BAR * (line + 0.5) for line in range(kept)]
        lengths = np.clip(np.nan_to_num(shares[place, likeliest]), 0.0, 1.0)
        bars = axes.barh(
            heights, lengths, BAR * 0.8, left, color=[RIGHT if one == label else WRONG for one in likeliest]
        )
        for bar, one, height in zip(bars, likeliest, heights, strict=True):
            value = _share(shares[place, one])
            series = "the true class" if one == label else "other classes"
            style.mark(drawn, bar, series, [(f"image {place + 1}: {names[one]}", value)])
            _say(axes, left + 0.03, height, names[one], SIDE - 0.35, weight="bold" if one == label else "normal")
            _say(axes, left + 0.98, height, value, SIDE, fontsize=7, ha="right")
        axes.plot([left, left], [top + 1 + NAME, top + deep - 0.12], color=style.QUIET, linewidth=0.8)
    _sheet(axes, columns * CELL - (CELL - 1), deep * lines)
    return drawn


@style.styled
def neighbours(
    queries: NDArray[Any], near: NDArray[Any], distances: NDArray[Any], *, query_names: Sequence[str] = (),
    near_names: Sequence[Sequence[str]] = (), said: str = "", signature: str = "", name: str = "figure4-neighbours",
) -> Drawing:  # fmt: skip
    """A column of test images, and in each one's line the training images nearest to it.

    Args:
        queries: [n, H, W, 1 or 3] in 0..255.
        near: [n, k, H, W, 1 or 3], the nearest first; the paper shows six.
        distances: [n, k] between their features.
        query_names: [n] classes, written under the images where given.
        near_names: [n][k] classes; those that differ from their query's are set in italics.
        said: what they are of, in a line.
        signature: at the foot.
        name: of the figure, to tell it from others on a page.

    Raises ValueError where the arguments do not fit each other.

    References:
        Paper, section 6.1 and figure 4, right.

    """
    queries, far, found = _pixels(queries), np.asarray(distances, np.float64), np.asarray(near)
    if not len(queries) or found.ndim != 5 or far.shape != found.shape[:2] or len(found) != len(queries):
        raise ValueError(
            f"{len(queries)} images have neighbours {list(found.shape)} at distances {list(far.shape)}: expected "
            "[n, k, H, W, C] and [n, k]"
        )
    shown, most = min(len(queries), MAX_IMAGES), min(found.shape[1], MAX_NEIGHBOURS)
    told = "Left a test image, to its right the training images with the nearest features and their distance"
    wide = NEXT * (1 + most) + BETWEEN - (NEXT - 1)
    drawn = style.drawing(
        name, "Test images and their nearest training images", ". ".join(filter(None, [said, told])),
        [{"signature": signature}], [SMALL * (HEADING + LINE * shown)], width=SMALL * wide,
    )  # fmt: skip
    [axes] = drawn.panels
    for left, heading in ((0.0, "test"), (NEXT + BETWEEN, "nearest training images")):
        _say(axes, left, HEADING / 2, heading, SMALL * wide, fontsize=9, color=style.QUIET)
    for line in range(shown):
        top, own = HEADING + LINE * line, clean(query_names[line]) if len(query_names) else ""
        _image(axes, queries[line], 0.0, top)
        _say(axes, 0.5, top + 1.1, own, SMALL, weight="bold", ha="center")
        for place, image in enumerate(_pixels(found[line])[:most]):
            left, distance = NEXT * (place + 1) + BETWEEN, f"{far[line, place]:.3g}"
            theirs = clean(near_names[line][place]) if len(near_names) else ""
            other = bool(theirs) and theirs != own
            _image(axes, image, left, top)
            most_letters = int(LETTERS * SMALL / 7.5) - len(distance) - 2
            words = ", ".join(filter(None, [style.short(theirs, most_letters), distance]))
            written = _say(
                axes, left + 0.5, top + 1.1, words, SMALL, style="italic" if other else "normal", ha="center"
            )
            at = f"test image {line + 1}, neighbour {place + 1}"
            series = "neighbours of another class" if other else "neighbours"
            style.mark(drawn, written, series, [(at, ", ".join(filter(None, [theirs, distance])))])
    _sheet(axes, wide, HEADING + LINE * shown)
    return drawn


def _pixels(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Images [n, H, W, 3] as bytes; grey ones in three equal channels."""
    found = np.asarray(images)
    if found.ndim != 4 or found.shape[3] not in (1, 3):
        raise ValueError(f"images of shape {list(found.shape)} cannot be shown: expected [n, H, W, 1 or 3]")
    whole = np.clip(np.nan_to_num(found), 0, 255).astype(np.uint8)
    return np.broadcast_to(whole, (*whole.shape[:3], 3))


def _share(value: float) -> str:
    """In whole percent, 0 and 100 only for what is exactly that."""
    if not math.isfinite(value):
        return "NaN"
    if 0 < value < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= value < 1 else f"{value:.0%}"


def _image(axes: Axes, image: NDArray[np.uint8], left: float, top: float) -> None:
    """An image within a square of side 1, its proportions kept; small ones show their pixels."""
    rows, columns = image.shape[:2]
    wide, tall = columns / max(rows, columns), rows / max(rows, columns)
    x, y = left + (1 - wide) / 2, top + (1 - tall) / 2
    kept = "none" if max(rows, columns) <= 64 else "antialiased"
    axes.imshow(image, extent=(x, x + wide, y + tall, y), interpolation=kept)


def _say(axes: Axes, x: float, y: float, said: str, inches: float, fontsize: float = 7.5, **look: Any) -> Text:
    """Words, cut to what fits into so many inches; within the axes, so that no layout asks for their size."""
    cut = style.short(said, int(LETTERS * inches / fontsize))
    return axes.text(x, y, cut, va="center", clip_on=True, fontsize=fontsize, **look)


def _sheet(axes: Axes, wide: float, tall: float) -> None:
    """Axes as a sheet of this size in sides of an image, from its upper left corner."""
    axes.set(xlim=(0, wide), ylim=(tall, 0), aspect="equal", anchor="NW")
    axes.set_axis_off()
