"""Top-1 and top-5 error as the paper counts them: softmax outputs averaged over views and networks, ties in fractions.

Everything here is float64 NumPy, whatever computed the logits. What is not a number is refused: a network that answers
NaN has no error, and counting it as wrong would hide why.

References: paper, section 4.1 (ten views) and section 6 (the errors); 2012 source, the top-k cost layer (ties).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NORMAL_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile

Numbers = NDArray[np.float64]
Labels = NDArray[np.integer]


class NotFinite(ValueError):
    """Logits or probabilities that are no numbers."""

    exit_code = 1


class Rate(NamedTuple):
    """An error as a share of 1 with its 95 % interval."""

    error: float
    low: float
    high: float


def softmax(logits: NDArray[np.floating]) -> Numbers:
    """Probabilities of float32 logits [..., classes], computed in float64. Raises NotFinite."""
    wide = np.asarray(logits, np.float64)
    if not np.isfinite(wide).all():
        raise NotFinite(f"{np.count_nonzero(~np.isfinite(wide))} of {wide.size} logits are not finite")
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float64)


def averaged(logits: NDArray[np.floating]) -> Numbers:
    """[N, views, classes] logits to [N, classes]: the mean of the views' softmax outputs (paper, section 4.1)."""
    return np.asarray(softmax(logits).mean(axis=1), np.float64)


def credit(probabilities: NDArray[np.floating], labels: Labels, k: int) -> Numbers:
    """[N, classes] and [N] to each image's share of a right answer among the k most probable classes, [N].

    With b classes strictly more probable than the label and e equally probable, the label itself included, the label
    is among the first k in (k - b) / e of the orders that the tie allows. Raises NotFinite.
    """
    if not np.isfinite(probabilities).all():
        raise NotFinite(f"probabilities of {len(probabilities)} images are not all finite")
    own = np.take_along_axis(probabilities, np.asarray(labels, np.int64)[:, np.newaxis], axis=1)
    before = np.count_nonzero(probabilities > own, axis=1)
    equal = np.count_nonzero(probabilities == own, axis=1)
    return np.asarray(np.clip((k - before) / equal, 0.0, 1.0), np.float64)


def error_interval(error: float, images: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of an error measured on so many images; both are shares of 1.

    References: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if images < 1 or not 0.0 <= error <= 1.0:
        raise ValueError(f"an error of {error} on {images} images has no interval")
    z2 = NORMAL_95**2 / images
    centre = (error + z2 / 2) / (1 + z2)
    half = NORMAL_95 / (1 + z2) * math.sqrt(error * (1 - error) / images + z2 / (4 * images))
    # At the ends the formula is exact and its rounding is not.
    return (0.0 if error == 0.0 else max(0.0, centre - half)), (1.0 if error == 1.0 else min(1.0, centre + half))


def rate(earned: Numbers) -> Rate:
    """The error of images that earned these credits [N], with its interval. Raises ValueError where there are none."""
    if not len(earned):
        raise ValueError("no images: there is no error")
    error = math.fsum(1.0 - earned) / len(earned)
    return Rate(error, *error_interval(error, len(earned)))


def most_probable(probabilities: NDArray[np.floating], count: int) -> tuple[NDArray[np.int32], Numbers]:
    """The `count` most probable classes of each image and their probabilities, [N, count]; of equals the lower first.

    Where there are fewer classes, the rest is class -1 with probability NaN.
    """
    images, classes = probabilities.shape
    left = np.array(probabilities, np.float64)
    found = np.full((images, count), -1, np.int32)
    values = np.full((images, count), np.nan)
    rows = np.arange(images)
    for place in range(min(count, classes)):  # six passes cost less than sorting a thousand classes
        best = left.argmax(axis=1)
        found[:, place], values[:, place] = best, left[rows, best]
        left[rows, best] = -np.inf
    return found, values


def class_errors(earned: Numbers, labels: Labels, classes: int) -> tuple[NDArray[np.int64], Numbers]:
    """Of each class, its images [classes] and their mean error [classes]; NaN for a class without images."""
    images = np.bincount(labels, minlength=classes).astype(np.int64)
    wrong = np.bincount(labels, weights=1.0 - earned, minlength=classes)
    with np.errstate(invalid="ignore"):
        return images, np.asarray(wrong / images, np.float64)
