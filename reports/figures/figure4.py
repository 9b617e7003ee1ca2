"""What a network sees, as the paper's Figure 4: test images with their likeliest classes, and with their neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from reports.figures import style as picture_frame
from reports.figures.error_by_layer import QUIET
from reports.format import clean

MOST_IMAGES = 24
MOST_NEIGHBOURS = 12
COLUMNS = 4  # of images with bars
BARS = 5  # classes under an image
SIDE = 1.5  # inches of an image
CELL = 1.9  # inches from one image with bars to the next
BAR, NAME = 0.2, 0.24  # inches of a bar, and of the true class above it
SMALL = 1.05  # inches of an image among its neighbours
WORDS = 0.2  # inches of what is written under it
BETWEEN = 0.25  # inches between a test image and its neighbours
RIGHT, WRONG = "#E69F00", "#BFD9EC"  # the true class darker in grey print too
ACROSS: picture_frame.Margins = (0.0, 0.0, 0.1, 0.1)

Words = tuple[str, bool]  # under an image; whether it is of another class than the test image


def draw_top5(
    images: NDArray[Any],
    true: Sequence[int] | NDArray[Any],
    names: Sequence[str],
    probabilities: NDArray[Any],
    path: Path,
    *,
    said: str = "",
    signature: str = "",
) -> None:
    """Test images, each above its true class and bars of its five likeliest classes, the true one in another colour.

    Args:
        images: [n, H, W, 1 or 3] in 0..255; more than MOST_IMAGES are left out.
        true: [n] classes.
        names: of all classes.
        probabilities: [n, classes].
        path: of the PNG.
        said: what they are of, in a line.
        signature: at the foot.

    Raises ValueError where the arguments do not fit each other, OSError.

    References:
        Paper, section 6.1 and figure 4, left.

    """
    images, labels, shares = _pixels(images), np.asarray(true), np.asarray(probabilities, np.float64)
    if shares.shape != (len(images), len(names)) or labels.shape != (len(images),):
        raise ValueError(
            f"{len(images)} images of {len(names)} classes have labels {list(labels.shape)} and probabilities "
            f"{list(shares.shape)}"
        )
    if not len(images) or labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(f"labels {labels.tolist()} for {len(names)} classes: there is nothing to draw")
    shown = min(len(images), MOST_IMAGES)
    columns = min(COLUMNS, shown)
    height = ACROSS[2] + ACROSS[3] + SIDE + NAME + BAR * min(BARS, len(names)) + 0.15
    draw = partial(_with_bars, images=images, labels=labels, names=[clean(name) for name in names], shares=shares)
    panels = [
        (height, partial(draw, places=range(start, min(start + columns, shown)), columns=columns))
        for start in range(0, shown, columns)
    ]
    told = "Under each image its true class and the five likeliest, the true one in orange"
    picture_frame.save(
        path, "Test images and what the network takes them for", ". ".join(filter(None, [said, told])),
        [{"signature": signature}], panels, columns=1, width=columns * CELL, margins=ACROSS,
    )  # fmt: skip


def draw_neighbours(
    queries: NDArray[Any],
    neighbours: NDArray[Any],
    distances: NDArray[Any],
    path: Path,
    *,
    query_names: Sequence[str] = (),
    neighbour_names: Sequence[Sequence[str]] = (),
    said: str = "",
    signature: str = "",
) -> None:
    """A column of test images, and in each one's line the training images nearest to it.

    Args:
        queries: [n, H, W, 1 or 3] in 0..255.
        neighbours: [n, k, H, W, 1 or 3], the nearest first; the paper shows six.
        distances: [n, k] between their features.
        path: of the PNG.
        query_names: [n] classes, written under the images where given.
        neighbour_names: [n][k] classes; those that differ from their query's are set in italics.
        said: what they are of, in a line.
        signature: at the foot.

    Raises ValueError where the arguments do not fit each other, OSError.

    References:
        Paper, section 6.1 and figure 4, right.

    """
    queries, far = _pixels(queries), np.asarray(distances, np.float64)
    found = np.asarray(neighbours)
    if not len(queries) or found.ndim != 5 or far.shape != found.shape[:2] or len(found) != len(queries):
        raise ValueError(
            f"{len(queries)} images have neighbours {list(found.shape)} at distances {list(far.shape)}: expected "
            "[n, k, H, W, C] and [n, k]"
        )
    near = [_pixels(line)[:MOST_NEIGHBOURS] for line in found[:MOST_IMAGES]]
    words = [_words(place, far, query_names, neighbour_names) for place in range(len(near))]
    width = SMALL * (1 + len(near[0])) * 1.1 + BETWEEN
    heading = 0.25
    panels = [
        (
            ACROSS[2] + SMALL + WORDS + (heading if place == 0 else 0.0),
            partial(_line, images=[queries[place], *line], words=words[place], first=place == 0, heading=heading),
        )
        for place, line in enumerate(near)
    ]
    told = "Left a test image, to its right the training images with the nearest features and their distance"
    picture_frame.save(
        path, "Test images and their nearest training images", ". ".join(filter(None, [said, told])),
        [{"signature": signature}], panels, columns=1, width=width, margins=(0.0, 0.0, ACROSS[2], 0.0), most=MOST_IMAGES
    )  # fmt: skip


def _pixels(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Images [n, H, W, 3] as bytes; grey ones in three equal channels."""
    found = np.asarray(images)
    if found.ndim != 4 or found.shape[3] not in (1, 3):
        raise ValueError(f"images of shape {list(found.shape)} cannot be shown: expected [n, H, W, 1 or 3]")
    whole = np.clip(np.nan_to_num(found), 0, 255).astype(np.uint8)
    return np.broadcast_to(whole, (*whole.shape[:3], 3))


def _with_bars(
    axes: Axes, images: NDArray[np.uint8], labels: NDArray[Any], names: Sequence[str], shares: NDArray[np.float64],
    places: range, columns: int,
) -> None:  # fmt: skip
    deep = SIDE + NAME + BAR * min(BARS, len(names)) + 0.15
    _sheet(axes, columns * CELL, deep)
    for column, place in enumerate(places):
        left = column * CELL
        _image(axes, images[place], left, 0.0, SIDE)
        label = int(labels[place])
        axes.text(left + SIDE / 2, SIDE + NAME / 2, _fit(names[label], SIDE * 1.15), fontsize=9, weight="bold",
                  ha="center", va="center", parse_math=False)  # fmt: skip
        likeliest = np.argsort(-np.nan_to_num(shares[place], nan=-1.0), kind="stable")[:BARS]
        for line, one in enumerate(likeliest):
            _bar(axes, names[one], shares[place, one], left, SIDE + NAME + line * BAR, right=int(one) == label)


def _bar(axes: Axes, name: str, value: float, left: float, top: float, *, right: bool) -> None:
    """A bar as wide as the image at probability 1, the class's name over it."""
    long = SIDE * min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0
    axes.add_patch(Rectangle((left, top + 0.02), long, BAR - 0.04, facecolor=RIGHT if right else WRONG, linewidth=0))
    axes.plot([left, left], [top, top + BAR], color="#777777", linewidth=0.8)
    said = _share(value)
    weight = "bold" if right else "normal"
    axes.text(
        left + 0.05, top + BAR / 2, _fit(name, SIDE - 0.35), fontsize=7.5, va="center", weight=weight, parse_math=False
    )
    axes.text(left + SIDE - 0.03, top + BAR / 2, said, fontsize=7, va="center", ha="right", color="#333333")


def _share(value: float) -> str:
    """In whole percent, 0 and 100 only for what is exactly that."""
    if not math.isfinite(value):
        return "NaN"
    if 0 < value < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= value < 1 else f"{value:.0%}"


def _words(
    place: int, far: NDArray[np.float64], queries: Sequence[str], neighbours: Sequence[Sequence[str]]
) -> list[Words]:
    """What stands under a test image and its neighbours, and whether it is of another class."""
    query = clean(queries[place]) if len(queries) else ""
    distances = [f"{value:.3g}" for value in far[place]]
    if not len(neighbours):
        return [(query, False), *((said, False) for said in distances)]
    names = [clean(name) for name in neighbours[place]]
    told = [(f"{name}  {said}", name != query) for name, said in zip(names, distances, strict=True)]
    return [(query, False), *told]


def _line(axes: Axes, images: Sequence[NDArray[np.uint8]], words: Sequence[Words], first: bool, heading: float) -> None:
    pitch = SMALL * 1.1
    top = heading if first else 0.0
    _sheet(axes, pitch * len(images) + BETWEEN, top + SMALL + WORDS)
    for column, (image, (said, other)) in enumerate(zip(images, words, strict=False)):
        left = column * pitch + (BETWEEN if column else 0.0)
        _image(axes, image, left, top, SMALL)
        axes.text(
            left + SMALL / 2, top + SMALL + WORDS / 2, _fit(said, SMALL), fontsize=7.5, ha="center", va="center",
            weight="normal" if column else "bold", style="italic" if other else "normal", parse_math=False,
        )  # fmt: skip
    if first:
        axes.text(0.0, 0.0, "test", fontsize=9, color=QUIET, va="top")
        axes.text(pitch + BETWEEN, 0.0, "nearest training images", fontsize=9, color=QUIET, va="top")


def _sheet(axes: Axes, wide: float, tall: float) -> None:
    """Axes as a sheet measured in inches, from its upper left corner."""
    axes.set_xlim(0, wide)
    axes.set_ylim(tall, 0)
    axes.set_axis_off()


def _image(axes: Axes, image: NDArray[np.uint8], left: float, top: float, side: float) -> None:
    """An image within a square of that side, its proportions kept; small ones show their pixels."""
    rows, columns = image.shape[:2]
    wide, tall = side * columns / max(rows, columns), side * rows / max(rows, columns)
    x, y = left + (side - wide) / 2, top + (side - tall) / 2
    wanted = "nearest" if max(rows, columns) <= 64 else "antialiased"
    axes.imshow(image, extent=(x, x + wide, y + tall, y), interpolation=wanted, aspect="auto")


def _fit(said: str, inches: float) -> str:
    """Cut to what fits at this size, about 14 characters to the inch."""
    most = int(inches * 14)
    return said if len(said) <= most else f"{said[: most - 1]}…"
