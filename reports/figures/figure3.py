"""Kernels of the first layer as the paper's Figure 3 shows them: a tile each, the towers apart, one scale for all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.figures import style
from reports.figures.style import Drawing
from reports.format import plural

COLUMNS = 16  # tiles in a line: the paper's 48 kernels of a tower are three lines
TILE = 0.55  # inches of a tile and what parts it from the next
PIXELS = 24  # that a tile has at least: a gap between two is a small part of it
GAP = 0.1  # of a tile
WHITEST = 0.998  # of all weights' sizes: a few outliers must not turn the rest grey
NOT_A_NUMBER = (1.0, 0.0, 1.0)  # magenta, which no other weight gives beside grey and natural colours


@style.styled
def figure(
    kernels: NDArray[Any], towers: int, *, title: str = "", said: str = "", signature: str = "", name: str = "figure3"
) -> Drawing:
    """The kernels as tiles.

    Args:
        kernels: [h, w, channels, kernels] of 1 or 3 channels; the towers' kernels follow each other.
        towers: how many equal groups to show apart: 2 for the paper's network, 1 for a network in one piece.
        title: above the picture.
        said: what the kernels are of, in a line.
        signature: at the foot.
        name: of the figure, to tell it from others on a page.

    Raises ValueError where the shape is none that can be shown.

    References:
        Paper, section 6.1 and figure 3.

    """
    shape = kernels.shape
    if len(shape) != 4 or shape[2] not in (1, 3) or not all(shape):
        raise ValueError(f"kernels of shape {list(shape)} cannot be shown: expected [h, w, 1 or 3, kernels]")
    if towers < 1 or shape[3] % towers:
        raise ValueError(f"{shape[3]} kernels do not part into {towers} towers of one size")
    tiles, most, strange = _scaled(kernels)
    each = len(tiles) // towers
    columns = min(COLUMNS, each)
    scale = f"one scale for all: grey is 0, black and white are -{most:.2g} and {most:.2g} or beyond"
    scale = f"{'x'.join(map(str, shape[:3]))}, {scale if most else 'all weights are 0'}"
    scale += f"; {plural(strange, 'weight')} not a number, in magenta" if strange else ""
    drawn = style.drawing(
        name, title or "Kernels of the first layer", ". ".join(filter(None, [said, scale])), [{"signature": signature}],
        [0.35 + TILE * math.ceil(each / columns)] * towers, width=columns * TILE,
    )  # fmt: skip
    for tower, axes in enumerate(drawn.panels):
        first = tower * each
        named = f"Tower {tower + 1}: kernels {first + 1} to {first + each}" if towers > 1 else plural(each, "kernel")
        axes.imshow(mosaic(tiles[first : first + each], columns), interpolation="none")
        axes.set_title(named, fontsize=9, color=style.QUIET, weight="normal")
        axes.set_anchor("NW")
        axes.set_axis_off()
    return drawn


def _scaled(kernels: NDArray[Any]) -> tuple[NDArray[np.float64], float, int]:
    """Tiles [kernels, h, w, 3] in 0..1, the weight that is white, and how many weights were no numbers."""
    tiles = np.moveaxis(np.asarray(kernels, np.float64), 3, 0)
    finite = np.isfinite(tiles)
    sizes = np.abs(tiles[finite])
    most = float(np.quantile(sizes, WHITEST)) if sizes.size else 0.0
    shown = np.clip(0.5 + np.where(finite, tiles, 0.0) / (2 * most or 1.0), 0.0, 1.0)
    shown = np.broadcast_to(shown, (*shown.shape[:3], 3)).copy()
    shown[~finite.all(axis=3)] = NOT_A_NUMBER
    return shown, most, int((~finite).sum())


def mosaic(tiles: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Tiles [n, h, w, 3] line by line as one image [H, W, 4], which is transparent between them."""
    larger = math.ceil(PIXELS / min(tiles.shape[1:3]))
    tiles = tiles.repeat(larger, axis=1).repeat(larger, axis=2)
    count, height, width, _ = tiles.shape
    gap = max(1, round(GAP * min(height, width)))
    lines = math.ceil(count / columns)
    image = np.zeros((lines, height + gap, columns, width + gap, 4))
    for place, tile in enumerate(tiles):
        image[place // columns, :height, place % columns, :width, :3] = tile
        image[place // columns, :height, place % columns, :width, 3] = 1.0
    return image.reshape(lines * (height + gap), columns * (width + gap), 4)[:-gap, :-gap]
