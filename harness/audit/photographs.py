"""Photographs for networks that are to see the same pixels: one window of each, cut and preprocessed for every one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data import images
from harness.data.colours import pixels_in, values_in
from harness.data.preprocessing import Preprocessing, Window
from harness.errors import UsageError
from impls.spec import Network
from impls.spec import Preprocessing as Kind

MOST_PHOTOGRAPHS = 50

# These subtract a mean of the training data, which photographs alone do not give: ImageNet's mean colour stands in.
MEANS: frozenset[Kind] = frozenset({"mean-image", "mean-image-centre", "mean-colour"})

Pixels = NDArray[np.uint8]


def windows(paths: Sequence[Path], height: int, width: int) -> Pixels:
    """The centre height x width of each photograph, its shorter side scaled as for parity: uint8 [N, H, W, 3].

    Raises ImageError, UsageError.
    """
    files = images.expand(paths) if paths else images.photographs()
    if len(files) > MOST_PHOTOGRAPHS:
        raise UsageError(f"{len(files)} images given: an audit measures on at most {MOST_PHOTOGRAPHS}")
    longer = max(height, width)
    side = max(images.resized_side(longer), longer)
    top, left = (side - height) // 2, (side - width) // 2
    squares = (images.resize_and_crop(images.load(path), side) for path in files)
    return np.stack([square[top : top + height, left : left + width] for square in squares])


def inputs(pixels: Pixels, network: Network) -> NDArray[np.float32]:
    """What the network takes: float32 [N, H, W, C], the top left corner of every window [N, H0, W0, 3].

    Networks of different input sizes so share all pixels that both have.
    """
    cut = pixels_in(pixels[:, : network.height, : network.width], network.channels).astype(np.float32)
    kind: Kind = "mean-colour" if network.preprocessing in MEANS else network.preprocessing
    mean = values_in(np.array([[images.MEAN_COLOUR]], np.float32), network.channels) if kind == "mean-colour" else None
    done = Preprocessing(kind, max(network.height, network.width), network.channels, mean)
    for view in cut:
        done.apply(view, Window(0, 0))
    return cut
