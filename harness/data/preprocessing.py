"""What is done to a crop's pixels before the first layer: `impls.spec.Preprocessing`, with the numbers it needs.

The mean is that of the data a network was trained on. It travels with the weights, so that they meet the same inputs
wherever they are scored. NumPy only.

References:
    paper, section 2; the 2012 source's data provider; Caffe, src/caffe/data_transformer.cpp; TensorFlow,
    tf.image.per_image_standardization; torchvision, transforms.ToTensor and Normalize.
"""

from __future__ import annotations

import base64
import functools
import json
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray

from harness.data.colours import values_in
from harness.data.prepared import Prepared
from harness.errors import UsageError
from impls.spec import Network
from impls.spec import Preprocessing as Kind

Pixels = NDArray[np.float32]

PIXEL_RANGE = np.float32(255)
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # torchvision's, of pixels in 0..1
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)

METADATA_KEY = "preprocessing"  # of a weights file: what `to_text` makes
FORMAT = 1
MOST_SIDE = 4096
MOST_TEXT = 90_000_000  # characters; a safetensors header holds at most 100,000,000
DAMAGED = "the weights' preprocessing is damaged ({}): train again, or leave it out of the file's metadata"


class Window(NamedTuple):
    """Where a view is cut out of an image, and whether it is mirrored left to right."""

    top: int
    left: int
    mirrored: bool = False


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """One kind, and the mean it subtracts: of the training data, in the network's channels.

    mean-image: [S, S, C]; mean-image-centre: its centre, [H, W, C]; mean-colour: [1, 1, C]; the others: None.
    """

    kind: Kind
    side: int  # S, of the images crops are cut from
    channels: int  # C
    mean: Pixels | None = None

    @classmethod
    def of(cls, network: Network, prepared: Prepared) -> Self:
        """What the network asks for, with the mean of this data. Raises UsageError."""
        mean = None
        if network.preprocessing in ("mean-image", "mean-image-centre", "mean-colour"):
            image = values_in(prepared.mean, network.channels)
            mean = _cut_of_mean(network, image)
        return cls(network.preprocessing, prepared.side, network.channels, mean)

    def check(self, network: Network, side: int) -> None:
        """Whether crops for this network out of images of this side can be preprocessed so. Raises UsageError."""
        if self.channels != network.channels:
            raise UsageError(
                f"the weights' preprocessing is for {self.channels} channels, network {network.name!r} takes"
                f" {network.channels}"
            )
        if self.kind == "mean-image" and self.side != side:
            raise UsageError(
                f"the weights' mean image is of side {self.side}, the data's images of {side}: prepare them with"
                f" --side {self.side}"
            )
        inputs = (network.height, network.width)
        if self.kind == "mean-image-centre" and self.mean is not None and self.mean.shape[:2] != inputs:
            raise UsageError(
                f"the weights' mean image is {_by(*self.mean.shape)}, network {network.name!r} takes {_by(*inputs)}"
            )

    def apply(self, view: Pixels, window: Window) -> None:
        """Preprocess a view [H, W, C] of whole numbers 0..255, cut at `window`, in place."""
        if self.kind == "mean-image":
            view -= self._mean_at(window, *view.shape[:2])
        elif self.kind == "mean-colour" and self.mean is not None:
            by_rows(view)[...] -= colour_row(self.mean[0, 0], view)
        elif self.mean is not None:
            # The 2012 source subtracts after it has mirrored the crop, so its mean is never mirrored.
            view -= self.mean
        elif self.kind == "unit-scale":
            view /= PIXEL_RANGE
        elif self.kind == "mean-and-std":
            view /= PIXEL_RANGE
            rows = by_rows(view)
            rows -= colour_row(values_in(IMAGENET_MEAN, self.channels), view)
            rows /= colour_row(values_in(IMAGENET_STD, self.channels), view)
        elif self.kind == "per-image-standard":
            standardize(view)

    def _mean_at(self, window: Window, height: int, width: int) -> Pixels:
        """The part of the mean image under a window, mirrored as the window is."""
        top, left, mirrored = window
        mean, first = (self._mirrored_mean, self.side - width - left) if mirrored else (self.mean, left)
        if mean is None:
            raise ValueError(f"preprocessing {self.kind!r} needs a mean")
        return mean[top : top + height, first : first + width]

    @functools.cached_property
    def _mirrored_mean(self) -> Pixels | None:
        return None if self.mean is None else np.ascontiguousarray(self.mean[:, ::-1])

    def to_text(self) -> str:
        """JSON, to stand in a weights file's metadata."""
        mean = None
        if self.mean is not None:
            data = base64.b64encode(np.ascontiguousarray(self.mean, "<f4").tobytes()).decode("ascii")
            mean = {"shape": list(self.mean.shape), "float32": data}
        facts = {"format": FORMAT, "kind": self.kind, "side": self.side, "channels": self.channels, "mean": mean}
        return json.dumps(facts, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `to_text` wrote. Raises UsageError for anything else."""
        if len(text) > MOST_TEXT:
            raise UsageError(DAMAGED.format(f"it has {len(text):,} characters, over {MOST_TEXT:,}"))
        try:
            facts = json.loads(text)
        except (ValueError, RecursionError):
            raise UsageError(DAMAGED.format("it is not JSON")) from None
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise UsageError(DAMAGED.format(f"it is not of this version's format, {FORMAT}"))
        kind, side, channels = facts.get("kind"), facts.get("side"), facts.get("channels")
        mean = _mean_from(facts.get("mean"))
        _check_facts(kind, side, channels, mean)
        return cls(kind, side, channels, mean)  # type: ignore[arg-type]


def by_rows(view: Pixels) -> Pixels:
    """A view [H, W, C] as its rows [H, W * C]: NumPy's inner loop then runs over a row, not over C values."""
    return view.reshape((len(view), -1), copy=False)


def colour_row(colour: Pixels, view: Pixels) -> Pixels:
    """A colour [C] for every pixel of one row of a view: [W * C]."""
    return np.tile(colour, view.shape[1])


def standardize(view: Pixels) -> None:
    """Minus its mean, over its standard deviation or 1 / sqrt(H W C) if that is larger, in place.

    The sums are of whole numbers or of their floats' exact values in float64; of whole numbers they are exact.
    """
    count = view.size
    total = float(np.sum(view, dtype=np.float64))
    squares = float(np.sum(np.square(view, dtype=np.float64)))
    variance = max(squares / count - (total / count) ** 2, 0.0)
    view -= np.float32(total / count)
    view /= np.float32(max(math.sqrt(variance), 1 / math.sqrt(count)))


def _cut_of_mean(network: Network, image: Pixels) -> Pixels:
    """As much of the mean image [S, S, C] as the network's kind needs."""
    if network.preprocessing == "mean-colour":
        colours = [math.fsum(image[..., c].ravel()) / image[..., c].size for c in range(image.shape[-1])]
        return np.array(colours, np.float32).reshape(1, 1, -1)
    if network.preprocessing == "mean-image-centre":
        height, width = network.height, network.width
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        if min(top, left) < 0:
            raise UsageError(too_small(network, image.shape[0]))
        return np.ascontiguousarray(image[top : top + height, left : left + width])
    return image


def too_small(network: Network, side: int) -> str:
    """What is said of images that hold no crop of the network's input."""
    return (
        f"images of {_by(side, side)} are smaller than the input of network {network.name!r},"
        f" {_by(network.height, network.width)}: prepare them with --side {max(network.height, network.width)} or more"
    )


def _by(*sides: int) -> str:
    return "x".join(map(str, sides))


def _is_count(value: Any, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _mean_from(value: Any) -> Pixels | None:
    """The array of a parsed text. Raises UsageError."""
    if value is None:
        return None
    try:
        shape = tuple(value["shape"])
        data = base64.b64decode(value["float32"].encode("ascii"), validate=True)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise UsageError(DAMAGED.format("its mean has no shape or is not base64")) from None
    if len(shape) != 3 or not all(_is_count(side, MOST_SIDE) for side in shape) or math.prod(shape) * 4 != len(data):
        raise UsageError(DAMAGED.format(f"its mean has {len(data)} bytes for shape {str(value['shape'])[:60]}"))
    mean = np.frombuffer(data, "<f4").astype(np.float32).reshape(shape)
    if not np.isfinite(mean).all():
        raise UsageError(DAMAGED.format("its mean is not finite"))
    return mean


def _check_facts(kind: Any, side: Any, channels: Any, mean: Pixels | None) -> None:
    """Raises UsageError unless they can stand together."""
    if kind not in get_args(Kind):
        raise UsageError(DAMAGED.format(f"its kind is {str(kind)[:40]!r}, expected one of {', '.join(get_args(Kind))}"))
    if not (_is_count(side, MOST_SIDE) and _is_count(channels, 3) and channels != 2):
        raise UsageError(DAMAGED.format(f"side {str(side)[:40]}, channels {str(channels)[:40]}"))
    shape = None if mean is None else mean.shape
    if not _mean_fits(kind, side, channels, shape):
        raise UsageError(DAMAGED.format(f"{kind} of side {side} in {channels} channels with a mean of shape {shape}"))


def _mean_fits(kind: Any, side: Any, channels: Any, shape: tuple[int, ...] | None) -> bool:
    if kind == "mean-image":
        return shape == (side, side, channels)
    if kind == "mean-colour":
        return shape == (1, 1, channels)
    if kind == "mean-image-centre":
        return shape is not None and shape[2] == channels and max(shape[:2]) <= side
    return shape is None
