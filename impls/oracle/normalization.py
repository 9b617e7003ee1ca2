"""Response normalisation, across channels (LRN) and within a map (SpatialNorm): y = x * base ** -beta.

base = k + alpha * (sum of squares over a window). Windows are clipped at the edges: of the group of channels that holds
the element for LRN, of the map for SpatialNorm. Windows have odd size, so j lies in i's window exactly when i lies in
j's, and one function serves the forward sum and its adjoint.

References: paper, section 3.3; 2012 source, layers/layers-145.cfg (`cmrnorm`, `rnorm`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.derive import layer_facts
from impls.spec import LRN, SpatialNorm

Array = NDArray[Any]
Norm = LRN | SpatialNorm


def window_length(layer: Norm) -> int:
    """Number of terms of an unclipped window."""
    return layer.size if isinstance(layer, LRN) else layer.size**2


def window_sum(layer: Norm, values: Array) -> Array:
    """Sums of `values` [N, H, W, C] over every element's window."""
    half = layer.size // 2
    if isinstance(layer, LRN):
        towers = values.reshape(*values.shape[:3], layer.groups, -1)
        return _sum_along(towers, 4, half).reshape(values.shape)
    return _sum_along(_sum_along(values, 1, half), 2, half)


def _sum_along(values: Array, axis: int, half: int) -> Array:
    """Plain sums of shifted copies: running sums would cancel."""
    moved = np.moveaxis(values, axis, 0)
    total = values.copy()
    view = np.moveaxis(total, axis, 0)
    for shift in range(1, half + 1):
        view[shift:] += moved[:-shift]
        view[:-shift] += moved[shift:]
    return total


def base(layer: Norm, x: Array) -> Array:
    """k + alpha * sum of squares, [N, H, W, C]."""
    layer_facts(layer, x.shape[1:])  # names the layer where groups and channels do not fit
    total = window_sum(layer, x * x)
    total *= layer.alpha
    total += layer.k
    return total


def forward(layer: Norm, x: Array) -> Array:
    """y [N, H, W, C]."""
    return x * base(layer, x) ** -layer.beta


def vjp(layer: Norm, x: Array, dy: Array) -> Array:
    """dx_i = dy_i base_i^-beta - 2 alpha beta x_i * (window sum of dy_j x_j base_j^(-beta-1))."""
    below = base(layer, x)
    scale = below**-layer.beta
    crossing = window_sum(layer, dy * x * scale / below)
    crossing *= x * (2 * layer.alpha * layer.beta)
    return dy * scale - crossing
