"""Layers as a tracer finds them, brought into the words of `impls.spec`. Standard library only.

What is one layer here may be two operations over there, each of which is none by itself: a product after dropout, a pad
before a convolution, a softmax in two steps. They are put together once the chain is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from impls.reading import Foreign, ReadLayer
from impls.spec import LRN, Conv, Dropout, DropoutScaling, MaxPool, Padding, ReLU, SpatialNorm

CLOSE = 1e-4  # relative, of factors that were computed in float32
SOFTMAX = ("Softmax", "LogSoftmax", "log_softmax", "softmax")
NO_BIAS = "no bias"
SHIFT = "minus its maximum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale(Foreign):
    """A product with a number; after dropout it may be the paper's."""

    kind: str = "scale"
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(Foreign):
    """Constant pixels around a map; before a convolution or a pool they may be its padding."""

    kind: str = "pad"
    padding: Padding
    value: float = 0.0


def without_bias(units: int, source: str) -> Foreign:
    """What follows a learned layer without biases, so that it is not forgotten: `impls.spec` has no such layer."""
    return Foreign(name="nobias", kind=NO_BIAS, parameters=-units, source=source)


def without_remarked(layers: Sequence[ReadLayer]) -> tuple[tuple[ReadLayer, ...], tuple[str, ...]]:
    """Layers without the words about missing biases, and the names over there of the layers that these are of."""
    kept = tuple(layer for layer in layers if not (isinstance(layer, Foreign) and layer.kind == NO_BIAS))
    return kept, tuple(layer.source for layer in layers if isinstance(layer, Foreign) and layer.kind == NO_BIAS)


def settled(layers: Sequence[ReadLayer]) -> tuple[ReadLayer, ...]:
    """The chain with what belongs together put together; a softmax at its end is left out, and so is a factor of 1."""
    found = list(layers)
    for change in (_scaled_at_test, _scaled_in_training, _padded, _without_softmax):
        found = change(found)
    return tuple(_plain(layer) for layer in found if not (isinstance(layer, Scale) and layer.factor == 1))


def _scaled_at_test(layers: Sequence[ReadLayer]) -> list[ReadLayer]:
    """Inverted dropout and then a product with 1 - rate is the paper's dropout: what is left is a plain mask."""
    found: list[ReadLayer] = []
    for layer in layers:
        last = found[-1] if found else None
        if (
            isinstance(layer, Scale)
            and isinstance(last, Dropout)
            and last.scaling is DropoutScaling.IN_TRAINING
            and abs(layer.factor - (1 - last.rate)) < CLOSE
        ):
            found[-1] = replace(last, scaling=DropoutScaling.AT_TEST)
        else:
            found.append(layer)
    return found


def _scaled_in_training(layers: Sequence[ReadLayer]) -> list[ReadLayer]:
    """A plain mask with a product with 1 / (1 - rate) before or after it is inverted dropout."""
    found: list[ReadLayer] = []
    for layer in layers:
        last = found[-1] if found else None
        mask, factor = (layer, last) if isinstance(last, Scale) else (last, layer)
        if (
            isinstance(factor, Scale)
            and isinstance(mask, Dropout)
            and mask.scaling is DropoutScaling.AT_TEST
            and abs(factor.factor * (1 - mask.rate) - 1) < CLOSE
        ):
            found[-1] = replace(mask, scaling=DropoutScaling.IN_TRAINING)
        else:
            found.append(layer)
    return found


def _padded(layers: Sequence[ReadLayer]) -> list[ReadLayer]:
    """Pads merged into what follows them: zeros into a convolution, and into a pool of what is never negative."""
    found: list[ReadLayer] = []
    for layer in layers:
        pad = found[-1] if found and isinstance(found[-1], Pad) else None
        fits = pad is not None and (
            (isinstance(layer, Conv) and pad.value == 0)
            or (isinstance(layer, MaxPool) and (pad.value == -math.inf or (pad.value == 0 and _positive(found[:-1]))))
        )
        if pad is not None and fits and isinstance(layer, Conv | MaxPool):
            both = Padding(*(one + other for one, other in zip(pad.padding, layer.padding, strict=True)))
            found[-1] = replace(layer, padding=both)
        else:
            found.append(layer)
    return found


def _positive(layers: Sequence[ReadLayer]) -> bool:
    """Whether what these layers give is never below zero: a ReLU, and then nothing that changes a sign."""
    for layer in reversed(layers):
        if not isinstance(layer, LRN | SpatialNorm | MaxPool | Dropout):
            return isinstance(layer, ReLU)
    return False


def _plain(layer: ReadLayer) -> ReadLayer:
    """A pad or a factor that found no layer of its own is foreign like any other."""
    if not isinstance(layer, Scale | Pad):
        return layer
    return Foreign(**{field.name: getattr(layer, field.name) for field in fields(Foreign)})


def _without_softmax(layers: Sequence[ReadLayer]) -> list[ReadLayer]:
    """Without a softmax at the end, and without what a softmax does not see before it."""
    found = list(layers)
    for kinds in (SOFTMAX, (SHIFT,)):
        while len(found) > 1 and _kind(found[-1]) in kinds:
            found.pop()
        if len(found) == len(layers):
            break
    return found


def _kind(layer: ReadLayer) -> str:
    return layer.kind if isinstance(layer, Foreign) else ""
