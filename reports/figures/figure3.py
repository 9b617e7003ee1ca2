"""Kernels of the first layer as the paper's Figure 3 shows them: a tile each, the towers apart, one scale for all."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from reports.figures import style as picture_frame
from reports.figures.error_by_layer import QUIET
from reports.format import plural

COLUMNS = 16  # tiles in a line: the paper's 48 kernels of a tower are three lines
TILE, GAP = 0.5, 0.06  # inches of a tile and between two
WHITEST = 0.998  # of all weights' sizes: a few outliers must not turn the rest grey
MARGINS: picture_frame.Margins = (0.0, 0.0, 0.32, 0.12)
NOT_A_NUMBER = (1.0, 0.0, 1.0)  # magenta, which no other weight gives beside grey and natural colours


def draw(
    kernels: NDArray[Any], towers: int, path: Path, *, title: str = "", said: str = "", signature: str = ""
) -> None:
    """Draw the kernels as a PNG.

    Args:
        kernels: [h, w, channels, kernels] of 1 or 3 channels; the towers' kernels follow each other.
        towers: how many equal groups to show apart: 2 for the paper's network, 1 for a network in one piece.
        path: of the PNG.
        title: above the picture.
        said: what the kernels are of, in a line.
        signature: at the foot.

    Raises ValueError where the shape is none that can be shown, OSError.

    References:
        Paper, section 6.1 and figure 3.

    """
    _check(kernels.shape, towers)
    tiles, most, strange = _scaled(kernels)
    each = len(tiles) // towers
    columns = min(COLUMNS, each)
    lines = math.ceil(each / columns)
    height = MARGINS[2] + MARGINS[3] + lines * (TILE + GAP) - GAP
    width = columns * (TILE + GAP) - GAP
    names = [f"Tower {tower + 1}: kernels {tower * each + 1} to {(tower + 1) * each}" for tower in range(towers)]
    names = names if towers > 1 else [f"{each} kernels"]
    panels = [
        (height, partial(_tower, tiles=tiles[tower * each : (tower + 1) * each], columns=columns, name=name))
        for tower, name in enumerate(names)
    ]
    size = "x".join(str(side) for side in kernels.shape[:3])
    scale = f"{size}, one scale for all: grey is 0, black and white are -{most:.2g} and {most:.2g} or beyond"
    scale = scale if most else f"{size}, all weights are 0"
    scale += f"; {plural(strange, 'weight')} not a number, in magenta" if strange else ""
    picture_frame.save(
        path, title or "Kernels of the first layer", ". ".join(filter(None, [said, scale])), [{"signature": signature}],
        panels, columns=1, width=width, margins=MARGINS,
    )  # fmt: skip


def _check(shape: tuple[int, ...], towers: int) -> None:
    if len(shape) != 4 or shape[2] not in (1, 3) or not all(shape):
        raise ValueError(f"kernels of shape {list(shape)} cannot be shown: expected [h, w, 1 or 3, kernels]")
    if towers < 1 or shape[3] % towers:
        raise ValueError(f"{shape[3]} kernels do not part into {towers} towers of one size")


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


def _tower(axes: Axes, tiles: NDArray[np.float64], columns: int, name: str) -> None:
    lines = math.ceil(len(tiles) / columns)
    pitch = TILE + GAP
    for place, tile in enumerate(tiles):
        line, column = divmod(place, columns)
        left, top = column * pitch, line * pitch
        axes.imshow(tile, extent=(left, left + TILE, top + TILE, top), interpolation="nearest", aspect="auto")
    axes.set_xlim(0, columns * pitch - GAP)
    axes.set_ylim(lines * pitch - GAP, 0)
    axes.set_axis_off()
    axes.set_title(name, loc="left", fontsize=9, color=QUIET, pad=5)
