"""`photos`: the two photographs that scikit-learn carries, cut into tiles; which photograph, is the class.

Tiles for training come from the left three quarters and overlap each other; those held out come from the right
quarter, which no tile for training touches.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data import images
from harness.data.sources.source import Item, Reference, Skip, Source
from harness.errors import CannotMeasure

TILE = 160  # pixels; the photographs are 640 wide and 427 high
LEFTS, TOPS = tuple(range(0, 321, 40))[:8], (0, 89, 178, 267)  # 8 x 4 tiles for training, at 0 to 280 + 160 = 440
HELD_OUT_LEFT = 480


def open_photos() -> Source:
    """The embedded photographs. Raises CannotMeasure where scikit-learn is missing."""
    try:
        paths = images.photographs()
    except images.ImageError as error:
        raise CannotMeasure(str(error)) from None

    def items(lefts: tuple[int, ...]) -> Iterator[Item | Skip]:
        for label, path in enumerate(paths):
            for top in TOPS:
                for left in lefts:
                    yield Item(label, f"{path.name} at {left},{top}", ("tile", path.name, left, top))

    return Source(
        title="photos",
        root=paths[0].parent,
        channels=3,
        side=None,
        classes=tuple(path.stem for path in paths),
        parts={"train": lambda: items(LEFTS), "val": lambda: items((HELD_OUT_LEFT,))},
        files=lambda: [path.name for path in paths],
    )


def read(root: Path, reference: Reference) -> NDArray[np.uint8]:
    """One tile, uint8 [160, 160, 3]."""
    left, top = int(reference[2]), int(reference[3])
    return _photograph(root / str(reference[1]))[top : top + TILE, left : left + TILE]


@functools.lru_cache(maxsize=2)
def _photograph(path: Path) -> NDArray[np.uint8]:
    return images.load(path)
