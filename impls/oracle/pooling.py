"""Max-pooling of x [N, H, W, C] to y [N, H', W', C]. Reference: paper, section 3.4 (overlapping windows).

Padding is minus infinity. A NaN in a window makes its output NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.derive import layer_facts
from impls.oracle.convolution import interior, pad, taps
from impls.spec import MaxPool

Array = NDArray[Any]


def forward(layer: MaxPool, x: Array) -> Array:
    """y [N, H', W', C]."""
    out = layer_facts(layer, x.shape[1:]).output_shape
    padded = pad(x, layer.padding, -np.inf)
    y = np.full((len(x), *out), -np.inf, x.dtype)
    for rows, columns in taps(layer, out):
        np.maximum(y, padded[:, rows, columns], out=y)
    return y


def vjp(layer: MaxPool, x: Array, dy: Array) -> Array:
    """dx: each output's gradient goes to the first maximum of its window in row-major order (or to its first NaN)."""
    out = dy.shape[1:]
    padded = pad(x, layer.padding, -np.inf)
    y = forward(layer, x)
    lost = np.isnan(y)
    dpadded = np.zeros(padded.shape, dy.dtype)
    open_ = np.ones(y.shape, bool)  # windows whose maximum has not been met yet
    for rows, columns in taps(layer, out):
        tap = padded[:, rows, columns]
        first = (tap == y) & open_
        if lost.any():
            first |= lost & np.isnan(tap) & open_
        open_ &= ~first
        dpadded[:, rows, columns] += np.where(first, dy, dy.dtype.type(0))
    return np.ascontiguousarray(interior(dpadded, layer.padding))
