"""How an audit writes a layer's settings, and when two of them are equal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from impls.reading import Foreign, ReadLayer
from impls.spec import LRN, Conv, Dense, Init, MaxPool, Padding, SpatialNorm, Tanh

NONE = "none"


def same(a: float, b: float) -> bool:
    """Equal but for what float32 and a division by the window's size round."""
    return math.isclose(a, b, rel_tol=1e-6, abs_tol=0.0)


def number(value: float) -> str:
    """A setting as people write it."""
    return f"{value:g}"


def plural(count: int, noun: str) -> str:
    """`1 convolution`, `4 convolutions`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def padding(given: Padding) -> str:
    """`no padding`, `pad 2`, `pad bottom 3 right 3`."""
    if not any(given):
        return "no padding"
    if len(set(given)) == 1:
        return f"pad {given.top}"
    return "pad " + " ".join(f"{side} {pixels}" for side, pixels in given._asdict().items() if pixels)


def window(layer: Conv) -> str:
    """`11x11 / 4`."""
    return f"{layer.size}x{layer.size}{f' / {layer.stride}' if layer.stride > 1 else ''}"


def initial(layer: Conv | Dense) -> str:
    """What a layer's weights are drawn from."""
    match layer.init:
        case Init.TORCH:
            return "PyTorch's uniform"
        case Init.GLOROT:
            return "Glorot's uniform"
    return f"Gaussian, std {number(float(layer.init))}"


def between(layer: ReadLayer) -> str:
    """A layer between two learned ones."""
    match layer:
        case LRN():
            towers = ", per tower" if layer.groups > 1 else ""
            return f"LRN n={layer.size} alpha={layer.alpha:g} beta={layer.beta:g} k={layer.k:g}{towers}"
        case SpatialNorm():
            return f"{layer.size}x{layer.size} alpha={layer.alpha:g} beta={layer.beta:g} k={layer.k:g}"
        case MaxPool():
            pads = f", {padding(layer.padding)}" if any(layer.padding) else ""
            return f"{layer.size}x{layer.size} / {layer.stride}{pads}"
        case Foreign():
            return f"{layer.kind} ({layer.detail})" if layer.detail else layer.kind
        case Tanh():
            return "tanh"
    return type(layer).__name__


def in_order(layer: ReadLayer) -> str:
    """A layer's name where several are told in order."""
    if isinstance(layer, MaxPool):
        return "pool"
    if isinstance(layer, SpatialNorm):
        return "spatial norm"
    if isinstance(layer, Foreign):
        return layer.kind
    return "LRN" if isinstance(layer, LRN) else between(layer)
