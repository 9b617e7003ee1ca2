"""Decisions that rounding can turn: which side of 0 a ReLU's input lies, which element of a window is the largest.

Two correct float32 runs may decide differently where the inputs are equal within rounding; a gradient then takes
another path, and differs by far more than rounding. Such a decision is excused where the reference's own margin is
within the predicted error, and only for the share of the gradient that went through it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.parity.compare import SIGMAS
from impls.protocol import Array
from impls.spec import Conv, Dense, Layer, MaxPool, Network, ReLU

SHARE_MULTIPLE = 3.0  # a turned decision also changes what flows below it


@dataclass(frozen=True, slots=True)
class Turned:
    """Decisions of one layer that differ from the reference's."""

    layer: str
    count: int
    unexcused: int  # differ although the reference's margin is wide: a real error
    share: float  # of the rms gradient at this layer's output that went through the excused ones


def deciding_layers(network: Network) -> list[str]:
    """Layers whose activations tell every decision of a pass: ReLUs and max-pools, and what max-pools look at."""
    names: list[str] = []
    previous = ""
    for layer in network.layers:
        if isinstance(layer, MaxPool) and previous and previous not in names:
            names.append(previous)
        if isinstance(layer, ReLU | MaxPool):
            names.append(layer.name)
        previous = layer.name
    return names


def turned(
    network: Network,
    images: Array,
    found: Mapping[str, Array],
    reference: Mapping[str, Array],
    upstream: Mapping[str, Array],
    sigma: Mapping[str, Array],
) -> list[Turned]:
    """Where the implementation's pass decided otherwise, layer by layer."""
    result: list[Turned] = []
    x_found, x_reference, name_before = images, images, ""
    for layer in network.layers:
        if isinstance(layer, ReLU | MaxPool) and layer.name in upstream and layer.name in found:
            margin = sigma.get(name_before)
            fits = found[layer.name].shape == reference[layer.name].shape
            fits &= isinstance(layer, ReLU) or x_found.shape == x_reference.shape
            if fits:
                row = _turned_in(layer, x_found, x_reference, found[layer.name], margin, upstream[layer.name])
            else:
                size = int(reference[layer.name].size)
                row = Turned(layer.name, size, size, 0.0)
            if row.count:
                result.append(row)
        x_found, x_reference, name_before = found.get(layer.name, x_found), reference[layer.name], layer.name
    return result


def _turned_in(
    layer: Layer, x_found: Array, x_reference: Array, y_found: Array, sigma: Array | None, upstream: Array
) -> Turned:
    if isinstance(layer, MaxPool):
        differs, margin, limit = _pool_choice(layer, x_found, x_reference, sigma)
    else:
        differs = (y_found > 0) != (x_reference > 0)
        margin, limit = np.abs(x_reference), sigma
    if not differs.any():
        return Turned(layer.name, 0, 0, 0.0)
    allowed = SIGMAS * limit[differs] if limit is not None else np.zeros(int(differs.sum()))
    excused = margin[differs] <= allowed
    through = float(np.sum(np.square(upstream[differs][excused], dtype=np.float64)))
    total = float(np.sum(np.square(upstream, dtype=np.float64)))
    unexcused = int(np.count_nonzero(~excused))
    return Turned(layer.name, int(differs.sum()), unexcused, math.sqrt(through / total) if total else 0.0)


def _pool_choice(
    layer: MaxPool, x_found: Array, x_reference: Array, sigma: Array | None
) -> tuple[NDArray[np.bool_], Array, Array | None]:
    """Which windows chose another element, by how much the two differ in the reference, and that margin's limit."""
    ours, theirs = windows(layer, x_reference), windows(layer, x_found)
    best, chosen = ours.argmax(-1)[..., None], theirs.argmax(-1)[..., None]
    margin = np.take_along_axis(ours, best, -1) - np.take_along_axis(ours, chosen, -1)
    differs = (best != chosen)[..., 0]
    # Equal elements are no different choice to speak of where both are zero: a ReLU's zeros pass no gradient on.
    differs &= ~((margin[..., 0] == 0) & (np.take_along_axis(ours, best, -1)[..., 0] == 0))
    limit = None if sigma is None else 2 * windows(layer, sigma).max(-1)
    return differs, margin[..., 0], limit


def windows(layer: MaxPool, x: Array) -> Array:
    """[N, H', W', C, size * size], padding as minus infinity."""
    pad = layer.padding
    padded = np.pad(x, ((0, 0), (pad.top, pad.bottom), (pad.left, pad.right), (0, 0)), constant_values=-np.inf)
    view: NDArray[Any] = np.lib.stride_tricks.sliding_window_view(padded, (layer.size, layer.size), axis=(1, 2))
    strided = view[:, :: layer.stride, :: layer.stride]
    return strided.reshape(*strided.shape[:4], -1)


def allowance(network: Network, rows: list[Turned]) -> dict[str, float]:
    """For each learned layer, the relative error that turned decisions at or above it may cause in its gradient."""
    shares = {row.layer: row.share for row in rows}
    found: dict[str, float] = {}
    squares = 0.0
    for layer in reversed(network.layers):
        squares += shares.get(layer.name, 0.0) ** 2
        if isinstance(layer, Conv | Dense):
            found[layer.name] = SHARE_MULTIPLE * math.sqrt(squares)
    return found
