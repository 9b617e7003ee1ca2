"""What imported weights want done to an image: recorded in their file, so that `evaluate` does it.

References:
    Caffe, models/bvlc_alexnet/train_val.prototxt: pixels 0..255 in BGR order minus imagenet_mean.binaryproto; its
    examples/classification.ipynb takes that image's mean colour. torchvision, transforms.Normalize. 2012 source,
    convdata.py: the mean image's centre.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from harness.data.images import resized_side
from harness.data.preprocessing import MOST_SIDE, Pixels, Preprocessing
from harness.errors import UsageError
from harness.exchange.foreign import ForeignWeights
from impls.spec import Network
from impls.spec import Preprocessing as Kind

# Red, green, blue: the mean over all pixels of Caffe's mean image of ILSVRC 2012 (examples/classification.ipynb).
CAFFE_MEAN = (122.67891434, 116.66876762, 104.00698793)
NEEDS_IMAGE = ("mean-image", "mean-image-centre")


class Recorded(NamedTuple):
    """What goes into the metadata, None where nothing is known, and a line for the user."""

    text: str | None
    said: str


def recorded(found: ForeignWeights, network: Network, kind: Kind | None, mean: Pixels | None) -> Recorded:
    """The preprocessing of a file's weights: as asked for, as the file carries it, or as its format implies.

    `mean` is [H, W, 3] or [1, 1, 3], RGB, 0..255. Raises UsageError for a kind and a mean that do not go together.
    """
    if kind is None and mean is None and found.preprocessing is not None:
        carried = Preprocessing.from_text(found.preprocessing)
        carried.check(network, carried.side)
        return Recorded(found.preprocessing, f"{carried.kind}, as the file says")
    if network.channels != 3 and (mean is not None or kind is None):
        return _unknown(network, mean)
    wanted, why = _kind(found, network, kind, mean)
    if wanted is None or (wanted in NEEDS_IMAGE and mean is None and kind is None):
        return _unknown(network, mean)
    made = Preprocessing(wanted, _side(network, mean), network.channels, _mean(wanted, network, mean))
    return Recorded(made.to_text(), f"{_told(made)}, {why}")


def _kind(found: ForeignWeights, network: Network, asked: Kind | None, mean: Pixels | None) -> tuple[Kind | None, str]:
    if asked is not None:
        return asked, "as asked for"
    if mean is not None:
        if mean.shape[:2] == (1, 1):
            return "mean-colour", "with the mean given"
        return ("mean-image-centre" if found.inputs == "convnet" else "mean-image"), "with the mean given"
    if found.inputs == "caffe":
        return "mean-colour", "Caffe's of ILSVRC 2012 (--mean FILE takes its whole mean image)"
    if found.inputs == "torchvision":
        return "mean-and-std", "torchvision's"
    if found.reading is not None and found.reading.preprocessing is not None:
        return found.reading.preprocessing, "as the file's layers say"
    if network.preprocessing in ("none", "unit-scale", "mean-and-std", "per-image-standard"):
        return network.preprocessing, f"that of {network.name}"
    return None, ""


def _side(network: Network, mean: Pixels | None) -> int:
    if mean is not None and mean.shape[:2] != (1, 1):
        return int(max(mean.shape[:2]))
    return resized_side(network.width)


def _mean(kind: Kind, network: Network, mean: Pixels | None) -> Pixels | None:
    """As `Preprocessing` wants it. Raises UsageError."""
    if kind not in ("mean-image", "mean-image-centre", "mean-colour"):
        if mean is not None:
            raise UsageError(f"--mean is given, and preprocessing {kind!r} subtracts none: leave one of the two out")
        return None
    if kind == "mean-colour":
        colour = np.array(CAFFE_MEAN) if mean is None else mean.reshape(-1, mean.shape[-1]).mean(0, dtype=np.float64)
        return colour.astype(np.float32).reshape(1, 1, -1)
    if mean is None:
        raise UsageError(f"preprocessing {kind!r} needs the mean image: pass --mean FILE")
    height, width = mean.shape[:2]
    if height != width or not network.height <= height <= MOST_SIDE:
        raise UsageError(
            f"--mean is {width}x{height} pixels: expected a square of at least {network.height} for {network.name!r}"
        )
    if kind == "mean-image":
        return mean
    top = (height - network.height) // 2
    return np.ascontiguousarray(mean[top : top + network.height, top : top + network.width])


def _told(made: Preprocessing) -> str:
    if made.kind == "mean-colour" and made.mean is not None:
        return "mean-colour " + ", ".join(f"{value:.2f}" for value in made.mean.ravel())
    return made.kind


def _unknown(network: Network, mean: Pixels | None) -> Recorded:
    if mean is not None:
        raise UsageError(f"--mean has three colours, network {network.name!r} takes {network.channels} channel")
    return Recorded(
        None,
        f"not known from the file: evaluate will take {network.preprocessing}, which is {network.name}'s, with the mean"
        " of the data scored; --preprocessing and --mean say better",
    )
