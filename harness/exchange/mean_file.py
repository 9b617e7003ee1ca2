"""A mean that a network's images are less of, in the forms in which Caffe's users have it.

A .binaryproto is one BlobProto of shape 1 x 3 x H x W; Caffe's own ilsvrc_2012_mean.npy is [3, H, W]; a mean colour is
[3]. All are BGR, of pixels in 0..255.

Reference: BVLC/caffe, tools/compute_image_mean.cpp; python/caffe/imagenet/ilsvrc_2012_mean.npy.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.exchange import npy_header
from harness.exchange.caffe_wire import blob_in
from harness.exchange.file_bytes import file_size, map_bytes
from harness.exchange.foreign import MOST_SIDES, FormatError, Shape
from harness.exchange.npy_header import NotNumpy
from harness.reading.caffe_schema import blob_shape, parsed

Mean: TypeAlias = NDArray[np.float32]

MOST_SIDE = 4096  # pixels, as harness.data.preprocessing takes them
PIXELS = 255.0


def read_mean(path: Path) -> Mean:
    """RGB float32 [H, W, 3], or [1, 1, 3] for a mean colour. Raises FormatError, CannotMeasure."""
    head = bytes(map_bytes(path, 0, min(len(npy_header.MAGIC), file_size(path))))
    values = _numpy(path) if head == npy_header.MAGIC else _blob(path)
    with np.errstate(over="ignore"):
        mean = values.astype(np.float32)
    if not np.isfinite(mean).all() or mean.min() < 0 or mean.max() > PIXELS:
        raise FormatError(f"{str(path)!r} has values from {mean.min()} to {mean.max()}, expected pixels in 0..255")
    return np.ascontiguousarray(mean[::-1].transpose(1, 2, 0))


def _blob(path: Path) -> NDArray[np.generic]:
    """BGR [3, H, W] of a .binaryproto."""
    structure, values = blob_in(path)
    shape = blob_shape(parsed("BlobProto", structure, repr(str(path))))
    if len(shape) == 4 and shape[0] == 1:
        shape = shape[1:]
    return values.read().reshape(_checked(path, shape, values.count))


def _checked(path: Path, shape: Shape, count: int) -> Shape:
    """[3, H, W] of a shape as found. Raises FormatError where it is none, or not that of so many numbers."""
    found = (*shape, 1, 1) if len(shape) == 1 else shape
    if len(found) != 3 or found[0] != 3 or not all(1 <= side <= MOST_SIDE for side in found[1:]):
        raise FormatError(f"{str(path)!r} has shape {shape[:MOST_SIDES]}, expected 3 x H x W (BGR) to {MOST_SIDE}")
    if math.prod(found) != count:
        raise FormatError(f"{str(path)!r} has shape {shape}, {math.prod(found):,} numbers; it holds {count:,}")
    return found


def _numpy(path: Path) -> NDArray[np.generic]:
    """BGR [3, H, W] of a .npy file: its header first, its values mapped."""
    length = file_size(path)
    try:
        header = npy_header.parse(bytes(map_bytes(path, 0, min(length, npy_header.MOST_HEADER))))
        if header.dtype.kind not in "fiu":
            raise FormatError(f"{str(path)!r} holds {str(header.dtype)[:50]}, expected floats or whole numbers")
        shape = header.shape[1:] if len(header.shape) == 4 and header.shape[0] == 1 else header.shape
        wanted = _checked(path, shape, (length - header.start) // header.dtype.itemsize)
        return header.values(map_bytes(path, header.start, header.length)).reshape(wanted)
    except NotNumpy as error:
        raise FormatError(f"{str(path)!r} cannot be read: {error}") from None
