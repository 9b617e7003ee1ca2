"""Single layers, forward and backward, in the dtype of x: float64 for the reference, float32 for baselines.

Analytic layers also take complex128, so that a derivative can be had from one complex step. Weights of any float dtype
are cast to x's dtype, block by block where they are large.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls.oracle import convolution, dense, normalization, pooling
from impls.oracle.convolution import OnWeight
from impls.oracle.product import Array, Tensor
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, ReLU, SpatialNorm, Tanh


class Vjp(NamedTuple):
    """The gradient of <dy, f(x, parameters)>."""

    dx: Array  # x's shape; size 0 where the caller said need_dx=False
    dparameters: dict[str, Tensor]  # "weight" and "bias"; a dense layer's weight as an OuterProduct


def forward(
    layer: Layer,
    x: Array,
    parameters: Mapping[str, Array],
    mask: Array | None = None,
    *,
    on_weight: OnWeight | None = None,
) -> Array:
    """One layer's output, [N, ...]. With a mask a Dropout layer computes as in training, without one as in testing.

    `on_weight` maps each block of a weight after its cast: rounding, absolute values, squares.
    """
    match layer:
        case Conv():
            return convolution.forward(layer, x, parameters["weight"], parameters["bias"], on_weight)
        case Dense():
            return dense.forward(x, parameters["weight"], parameters["bias"], on_weight)
        case ReLU():
            return np.asarray(np.maximum(x, x.dtype.type(0)))  # keeps NaN
        case Tanh():
            return np.asarray(np.tanh(x))
        case LRN() | SpatialNorm():
            return normalization.forward(layer, x)
        case MaxPool():
            return pooling.forward(layer, x)
        case Dropout():
            return x * dropout_factor(layer, x, mask)
    raise TypeError(f"no operator for a layer of type {type(layer).__name__}")


def vjp(
    layer: Layer,
    x: Array,
    parameters: Mapping[str, Array],
    dy: Array,
    mask: Array | None = None,
    *,
    need_dx: bool = True,
    on_weight: OnWeight | None = None,
) -> Vjp:
    """The layer's vector-Jacobian product at x; dy has the shape of its output."""
    match layer:
        case Conv():
            conv = convolution.vjp(layer, x, parameters["weight"], dy, on_weight, need_dx)
            return Vjp(conv.dx, {"weight": conv.weight, "bias": conv.bias})
        case Dense():
            full = dense.vjp(x, parameters["weight"], dy, on_weight, need_dx)
            return Vjp(full.dx, {"weight": full.weight, "bias": full.bias})
    if not need_dx:
        return Vjp(np.empty(0, x.dtype), {})
    match layer:
        case ReLU():
            return Vjp(np.where(x > 0, dy, dy.dtype.type(0)), {})
        case Tanh():
            y = np.tanh(x)
            return Vjp(dy * (1 - y) * (1 + y), {})  # 1 - y * y would cancel near saturation
        case LRN() | SpatialNorm():
            return Vjp(normalization.vjp(layer, x, dy), {})
        case MaxPool():
            return Vjp(pooling.vjp(layer, x, dy), {})
        case Dropout():
            return Vjp(dy * dropout_factor(layer, x, mask), {})
    raise TypeError(f"no operator for a layer of type {type(layer).__name__}")


def dropout_factor(layer: Dropout, x: Array, mask: Array | None) -> Array:
    """What a dropout layer multiplies by: [N, ...] as its mask, or a 0-d array at test time. In x's dtype."""
    kept = 1 - layer.rate
    if mask is None:
        return np.asarray(kept if layer.scaling is DropoutScaling.AT_TEST else 1, x.dtype)
    if mask.shape != x.shape:
        raise ValueError(f"layer {layer.name!r}: mask {mask.shape} does not fit its input {x.shape}")
    factor = mask.astype(x.dtype, copy=False)
    return factor if layer.scaling is DropoutScaling.AT_TEST else factor / x.dtype.type(kept)


def cross_entropy(logits: Array, labels: NDArray[np.integer[Any]]) -> tuple[Any, Array]:
    """Mean softmax cross-entropy (a Python float; complex for complex logits), and its gradient [N, classes].

    The gradient at the label, p - 1, is computed as minus the sum of the others, which does not cancel.
    Reference: paper, section 3.5 (multinomial logistic regression).
    """
    rows = np.arange(len(logits))
    shifted = logits - logits.real.max(axis=1, keepdims=True)
    weights = np.exp(shifted)
    total = weights.sum(axis=1)
    loss = (np.log(total) - shifted[rows, labels]).mean()
    others = weights / total[:, None]
    others[rows, labels] = 0
    others[rows, labels] = -others.sum(axis=1)
    return loss.item(), others / len(logits)
