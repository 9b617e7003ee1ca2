"""y = x W + b in row blocks of W, so that a memory-mapped float32 weight is never copied whole to float64.

Shapes: x [N, in] (a 4-D input is flattened H, W, C), weight [in, out], y [N, out]. Computed in x's dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls.oracle.product import OuterProduct, blocks

Array = NDArray[Any]
OnWeight = Callable[[Array], Array]

_BLOCK = 1 << 17  # elements: a cast block stays in the second-level cache; with few images it is read once and dropped


class Gradients(NamedTuple):
    """dx in x's shape (size 0 where it was not asked for), the weight's gradient as its factors, the bias' [out]."""

    dx: Array
    weight: OuterProduct
    bias: Array


def _cast(weight: Array, dtype: Any, on_weight: OnWeight | None) -> Iterator[tuple[slice, Array]]:
    for rows, block in blocks(weight, _BLOCK):
        cast = block.astype(dtype, copy=False)
        yield rows, cast if on_weight is None else on_weight(cast)


def forward(x: Array, weight: Array, bias: Array, on_weight: OnWeight | None = None) -> Array:
    """y [N, out]; `on_weight` is applied to each block of the weight after its cast to x's dtype."""
    flat = x.reshape(len(x), -1)
    if flat.shape[1] != weight.shape[0]:
        raise ValueError(f"dense weight {weight.shape} does not take the {flat.shape[1]} features of x {x.shape}")
    y = np.zeros((len(x), weight.shape[1]), x.dtype)
    for rows, block in _cast(weight, x.dtype, on_weight):
        y += flat[:, rows] @ block
    y += bias.astype(x.dtype, copy=False)
    return y


def vjp(x: Array, weight: Array, dy: Array, on_weight: OnWeight | None = None, need_dx: bool = True) -> Gradients:
    """Gradients of <dy, y>, dy [N, out]."""
    flat = x.reshape(len(x), -1)
    dx = np.empty(flat.shape if need_dx else 0, x.dtype)
    if need_dx:
        for rows, block in _cast(weight, x.dtype, on_weight):
            dx[:, rows] = dy @ block.T
        dx = dx.reshape(x.shape)
    return Gradients(dx, OuterProduct(flat, dy), dy.sum(axis=0))
