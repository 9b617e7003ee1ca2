"""Views: crops of the network's input size out of larger images, mirrored or not, preprocessed. NumPy only.

References:
    paper, section 4.1: random crops and their mirror images in training; ten crops in testing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.data.colours import pixels_in
from harness.data.preprocessing import Preprocessing, Window, by_rows, colour_row, too_small
from harness.errors import UsageError
from impls.spec import Network

VIEWS = ("top-left", "top-right", "bottom-left", "bottom-right", "centre")
CENTRE = VIEWS.index("centre")
CROPS = (1, 2 * len(VIEWS))  # the centre, or the five places and then their mirror images


def ten_windows(side: tuple[int, int], size: tuple[int, int]) -> list[Window]:
    """The paper's ten test views of an image [H, W]: `VIEWS` in order, then the mirror image of each.

    Raises ValueError for an image smaller than `size`.
    """
    bottom, right = side[0] - size[0], side[1] - size[1]
    if min(bottom, right) < 0:
        raise ValueError(f"an image of {side[1]}x{side[0]} pixels has no crop of {size[1]}x{size[0]}")
    places = ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2))
    return [Window(top, left, mirrored) for mirrored in (False, True) for top, left in places]


def ten_crops(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The ten views' pixels: [H, W, C] to [10, size, size, C]."""
    height, width = image.shape[:2]
    crops = [
        image[top : top + size, left : left + size][:, :: -1 if mirrored else 1]
        for top, left, mirrored in ten_windows((height, width), (size, size))
    ]
    return np.stack(crops)


def test_windows(network: Network, side: int, crops: int) -> list[Window]:
    """Where 1 or 10 test views are cut. Raises UsageError where the images are smaller than the network's input."""
    if crops not in CROPS:
        raise ValueError(f"crops = {crops} must be {CROPS[0]} or {CROPS[1]}")
    if side < max(network.height, network.width):
        raise UsageError(too_small(network, side))
    windows = ten_windows((side, side), (network.height, network.width))
    return windows if crops > 1 else [windows[CENTRE]]


def differing_views(side: int, network: Network) -> int:
    """How many of the ten views of a square image differ: 2 where the crop is the whole image."""
    return len(set(test_windows(network, side, CROPS[1])))


def test_views(
    images: NDArray[np.uint8], network: Network, preprocessing: Preprocessing, crops: int
) -> NDArray[np.float32]:
    """Preprocessed test views: images [N, S, S, C0] to [N, crops, H, W, C], the centre or all ten in order."""
    side = images.shape[1]
    windows = test_windows(network, side, crops)
    preprocessing.check(network, side)
    views = np.empty((len(images), crops, network.height, network.width, network.channels), np.float32)
    for image, into in zip(np.asarray(images), views, strict=True):
        for window, view in zip(windows, into, strict=True):
            cut(image, window, view)
            preprocessing.apply(view, window)
    return views


def train_views(
    images: NDArray[np.uint8],
    order: NDArray[np.integer],
    windows: Sequence[Window],
    preprocessing: Preprocessing,
    views: NDArray[np.float32],
    noise: NDArray[np.float32] | None = None,
    shrinking: float = 1.0,
) -> None:
    """Put one view of each image in `order` [N], of all images [M, S, S, C0], into `views` [N, H, W, C].

    `noise` [N, C], in 0..255, is added to the pixels; the preprocessed view is divided by `shrinking`.
    """
    pixels = images.view(np.ndarray)  # slices of a memory map cost more
    for place, (index, window) in enumerate(zip(order.tolist(), windows, strict=True)):
        view = views[place]
        cut(pixels[index], window, view)
        if noise is not None:
            by_rows(view)[...] += colour_row(noise[place], view)
        preprocessing.apply(view, window)
        if shrinking != 1:
            view /= np.float32(shrinking)


def cut(image: NDArray[np.uint8], window: Window, view: NDArray[np.float32]) -> None:
    """Put one window of an image [S, S, C0] into a view [H, W, C], as whole numbers 0..255."""
    height, width, channels = view.shape
    top, left, mirrored = window
    crop = pixels_in(image[top : top + height, left : left + width], channels)
    if not mirrored:
        view[...] = crop
        return
    for channel in range(channels):  # rows of W pixels backwards: four times as fast as W pixels of C backwards
        view[..., channel] = crop[:, ::-1, channel]
