"""What a reader makes of somebody's weights file: learned layers in order, sizes known before values are read.

Readers decide nothing about networks. They say what the file holds and in which layout, `recognise` finds the network
by the shapes, and `placing` brings the values into the canonical layout. A tensor's values are read only when its
shape has been found to be one of a network's, so what a file claims is never allocated on its word.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from impls.reading import Reading

Array = NDArray[np.float32]
Shape = tuple[int, ...]
Flatten = Literal["chw", "hwc"]  # order in which the first dense layer's inputs were a feature map
Colours = Literal["rgb", "bgr"]  # of the first convolution's input channels

MOST_ELEMENTS = 1_200_000_000  # of all tensors together: the catalog's largest network has 0.9 billion
MOST_LAYERS = 1_000
MOST_SIDES = 8


class FormatError(ValueError):
    """A file that cannot be taken in; the message is one line: the file, what was found, what to do."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class ForeignTensor:
    """One array of a file: its size first, its values when asked for."""

    name: str  # as the file has it
    shape: Shape
    dtype: str  # as NumPy names it: float32, float16, float64; bfloat16 by that name
    read: Callable[[], NDArray[np.generic]]  # any float dtype, this shape; raises FormatError

    @property
    def elements(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Learned:
    """A convolution or a dense layer."""

    name: str  # as the file has it
    weight: ForeignTensor
    bias: ForeignTensor | None
    axes: str  # of `weight`, a convolution's any order of o, i, h, w ("oihw", "hwio"), a dense layer's "oi" or "io"

    @property
    def canonical_shape(self) -> Shape:
        """Of the weight: [h, w, in / groups, out] or [in, out]."""
        sides = dict(zip(self.axes, self.weight.shape, strict=True))
        return tuple(sides[axis] for axis in ("hwio" if len(self.axes) == 4 else "io"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignWeights:
    """A file's learned layers, and what it says or what its format implies."""

    path: Path
    format: str  # for people: "ONNX", "Caffe", "PyTorch"
    layers: tuple[Learned, ...]  # in the network's order
    flatten: Flatten | None  # None where neither the file nor its format tells
    colours: Colours = "rgb"
    network: str | None = None  # a catalog name that the file carries (our own exports do)
    preprocessing: str | None = None  # text of harness.data.preprocessing (our own exports carry it)
    inputs: Literal["caffe", "torchvision", "convnet"] | None = None  # whose way with pixels the format's files follow
    reading: Reading | None = None  # the network's structure, where the file has it
    hint: str = ""  # what else the file calls itself, for messages: 'its net is called "CaffeNet"'
    notes: tuple[str, ...] = field(default=())  # for the user: what was merged, left out, assumed
