"""Colours: grey and RGB into each other, and the noise along the principal components of the training data's colours.

NumPy only. Pixels and noise are in 0..255.

References:
    paper, section 4.1; the 2012 source's data provider for images (`add_color_noise`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.data.prepared import Prepared
from harness.errors import UsageError
from impls.spec import ColourNoise

GREY, RGB = 1, 3
LUMA_WEIGHTS = (299, 587, 114)  # ITU-R BT.601, in thousandths
NOISE = 0.1  # the paper's standard deviation of alpha, and the 2012 source's factor of the noise
PIXEL_RANGE = 255.0

# The 2012 source divides images with noise by this, so that their scale stays near that of images without.
SHRINKING: dict[ColourNoise, float] = {"none": 1.0, "paper": 1.0, "original-2012": 1.0 + NOISE}


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [..., 3] to uint8 [..., 1], rounded half up; integers only, so exact."""
    red, green, blue = (pixels[..., colour].astype(np.uint32) for colour in range(RGB))
    of_red, of_green, of_blue = (np.uint32(weight) for weight in LUMA_WEIGHTS)
    thousandths = red * of_red + green * of_green + blue * of_blue
    grey: NDArray[np.uint8] = ((thousandths + np.uint32(500)) // np.uint32(1000)).astype(np.uint8)
    return grey[..., np.newaxis]


def pixels_in(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Pixels [..., C0] in the network's channels [..., C]: RGB as its luma, grey thrice. Raises UsageError."""
    found = pixels.shape[-1]
    _check(found, channels)
    if found == channels:
        return pixels
    return luma(pixels) if channels == GREY else np.broadcast_to(pixels, (*pixels.shape[:-1], RGB))


def values_in(values: NDArray[np.floating], channels: int) -> NDArray[np.float32]:
    """A mean or a noise, [..., C0] to float32 [..., C], by the same weights as pixels, not rounded to whole numbers."""
    found = values.shape[-1]
    _check(found, channels)
    if found > channels:
        # One colour after the other: the sum is the same on every machine.
        red, green, blue = (values[..., c].astype(np.float64) * LUMA_WEIGHTS[c] for c in range(RGB))
        values = ((red + green + blue) / 1000)[..., np.newaxis]
    elif found < channels:
        values = np.repeat(values, channels, axis=-1)
    return values.astype(np.float32)


def _check(found: int, channels: int) -> None:
    if found != channels and {found, channels} != {GREY, RGB}:
        raise UsageError(
            f"images of {found} channels cannot be made into {channels}: only grey (1) and RGB (3) into each other"
        )


def noise(kind: ColourNoise, prepared: Prepared, channels: int, normals: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is added to every pixel of an image: `normals` [N, C0] ~ N(0, 1), one row an image, to [N, channels].

    paper: the eigenvectors times alpha * eigenvalue, alpha ~ N(0, 0.1). The paper gives no unit, and the product
        depends on it; it is taken for pixels in 0..1. In 0..255 an eigenvalue is of the order of 10,000, and so the
        noise would be several times the whole range of a pixel.
    original-2012: the eigenvectors times N(0, 1) * sqrt(eigenvalue), times 0.1; the same in every unit.
    """
    eigenvalues = np.maximum(prepared.eigenvalues, 0)  # of a covariance: below zero by rounding only
    if kind == "paper":
        lengths = NOISE * (eigenvalues / PIXEL_RANGE**2) * PIXEL_RANGE
    elif kind == "original-2012":
        lengths = NOISE * np.sqrt(eigenvalues)
    else:
        raise ValueError(f"no such colour noise: {kind!r}")
    colours = np.zeros((len(normals), prepared.channels))
    for component, length in enumerate(lengths):  # elementwise: a matrix product's order depends on the machine
        along = normals[:, component].astype(np.float64) * length
        colours += along[:, np.newaxis] * prepared.eigenvectors[:, component]
    return values_in(colours, channels)
