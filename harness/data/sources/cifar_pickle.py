"""CIFAR-10's pickled batches: what `harness.exchange.pickles` makes of them, checked figure by figure."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.exchange import pickles

PIXELS = 32 * 32 * 3
MOST_IMAGES = 100_000


class NotABatch(ValueError):
    """The pickle is not one of CIFAR's; the message says what it is instead."""


class Batch(NamedTuple):
    """What a batch file holds."""

    pixels: NDArray[np.uint8]  # [N, 3072]: all red, then all green, then all blue
    labels: list[int]
    names: list[str]


def read_batch(data: bytes) -> Batch:
    """The images of one file. Raises NotABatch."""
    found = _loaded(data)
    pixels = _array(_entry(found, "data"))
    labels, names = _entry(found, "labels"), _entry(found, "filenames")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise NotABatch("its labels are no list of whole numbers")
    if not isinstance(names, list):
        raise NotABatch("its filenames are no list")
    if not len(labels) == len(names) == len(pixels):
        raise NotABatch(f"it has {len(pixels)} images, {len(labels)} labels and {len(names)} names")
    return Batch(pixels, labels, [_text(name) for name in names])


def read_names(data: bytes) -> list[str]:
    """The class names of `batches.meta`. Raises NotABatch."""
    names = _entry(_loaded(data), "label_names")
    if not isinstance(names, list):
        raise NotABatch("its label_names are no list")
    return [_text(name) for name in names]


def _loaded(data: bytes) -> Any:
    try:
        return pickles.load(data, "CIFAR batch", old_text="bytes").value
    except pickles.BadPickle as error:
        raise NotABatch(str(error)) from None


def _entry(found: Any, name: str) -> Any:
    if not isinstance(found, dict):
        raise NotABatch(f"it holds a {type(found).__name__} instead of a dictionary")
    for key in (name.encode(), name):  # written by Python 2, written by Python 3
        if key in found:
            return found[key]
    raise NotABatch(f"it has no entry {name!r}")


def _text(value: Any) -> str:
    return pickles.text_of(value) or type(value).__name__


def _array(found: Any) -> NDArray[np.uint8]:
    """uint8 [N, 3072]; every figure of the pickled state is checked before it is used."""
    if not isinstance(found, pickles.PickledArray):
        raise NotABatch("its data are no array")
    try:
        shape = found.shape
        if found.dtype != np.uint8:
            raise NotABatch("its data are no array of bytes")
        if len(shape) != 2 or shape[1] != PIXELS or not 0 < shape[0] <= MOST_IMAGES:
            raise NotABatch(f"its data are {shape}: expected [N, {PIXELS}]")
        return found.values()
    except pickles.BadPickle as error:
        raise NotABatch(f"its data are no array of bytes: {error}") from None
