"""The rounding error that accumulates from layer to layer, predicted to first order.

Each rounding is an independent error; variances add and pass a linear layer through its squared weights. The whole pass
costs no more than a float64 forward pass. Variances are kept in units of u^2 (u the precision's unit), where they are
as large as squared activations and so stay far from float32's edges.

Reference: Higham, "Accuracy and Stability of Numerical Algorithms", section 2.8 (statistical model of rounding errors).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from impls.oracle import normalization, operators, pooling
from impls.oracle.network import layer_mask, layer_parameters
from impls.oracle.product import Array
from impls.oracle.rounding import Precision
from impls.spec import LRN, Conv, Dense, Dropout, Layer, MaxPool, Network, ReLU, SpatialNorm

_SIGMAS = 8  # a ReLU passes error where its input may be positive at this many standard deviations
_FUNCTION_ERROR = 8.0  # units of u that libraries' powers may err by, as in `gauges.c`
_SAFE = (1e-9, 1e9)  # largest magnitudes of activations whose squares float32 holds with room to spare


def deviations(
    network: Network,
    weights: Mapping[str, Array],
    images: Array,
    activations: Mapping[str, Array],
    precision: Precision,
    masks: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """One standard deviation of the accumulated error of every activation, by layer, in that activation's shape.

    `activations` are the reference's own, from `network.forward` with the same masks.
    """
    dtype = _dtype([images, *activations.values()])
    x = images.astype(dtype, copy=False)
    variance = np.zeros(x.shape, dtype)
    found: dict[str, Array] = {}
    for layer in network.layers:
        y = activations[layer.name].astype(dtype, copy=False)
        parameters, mask = layer_parameters(layer, weights), layer_mask(layer, masks)
        variance = _through(layer, x, y, variance, parameters, mask, precision)
        found[layer.name] = np.sqrt(variance) * dtype(precision.unit)
        x = y
    return found


def _dtype(arrays: list[Array]) -> Any:
    largest = [max(float(array.max()), -float(array.min())) for array in arrays if array.size]
    return np.float32 if all(size == 0 or _SAFE[0] < size < _SAFE[1] for size in largest) else np.float64


def _through(
    layer: Layer,
    x: Array,
    y: Array,
    variance: Array,
    parameters: Mapping[str, Array],
    mask: Array | None,
    precision: Precision,
) -> Array:
    """Variance of the layer's output, in units of u^2, from that of its input."""
    match layer:
        case Conv() | Dense():
            return _product(layer, x, y, variance, parameters, precision)
        case ReLU():
            reach = x + _SIGMAS * precision.unit * np.sqrt(variance)
            return np.where(reach > 0, variance, variance.dtype.type(0))
        case MaxPool():
            return pooling.forward(layer, variance)  # the maximum may come from any element of the window
        case LRN() | SpatialNorm():
            return _norm(layer, x, y, variance)
        case Dropout():
            return np.asarray(variance * operators.dropout_factor(layer, x, mask) ** 2 + y * y)
    return np.asarray(variance * ((1 - y) * (1 + y)) ** 2 + y * y)  # Tanh


def _product(
    layer: Conv | Dense, x: Array, y: Array, variance: Array, parameters: Mapping[str, Array], precision: Precision
) -> Array:
    """Each term t = x * w errs by the rounding of its operands and by its share of the sum's.

    Sequential summation errs by u on every partial sum. These start at 0 and end at y, so that their squares add up to
    about K * (sum t^2) / 6 + K * y^2 / 3 (a Brownian bridge): without the second part the largest outputs, whose
    partial sums are all large, lie ten deviations out. A rounding error has a third of u^2 as its variance; the first
    part keeps all of u^2, for sums whose terms do not have zero mean.
    """
    terms = int(np.prod(parameters["weight"].shape[:-1]))
    unit_of_sums = (precision.unit_accumulate / precision.unit) ** 2
    accumulated, final = unit_of_sums * (terms / 6 + 2), unit_of_sums * terms / 9
    operands = 2 * (precision.unit_product / precision.unit) ** 2
    source = variance + (accumulated + operands) * (x * x)
    bias = parameters["bias"].astype(x.dtype)
    stored_narrow = precision.unit > precision.unit_accumulate
    squared = {"weight": parameters["weight"], "bias": bias * bias if stored_narrow else np.zeros_like(bias)}
    return operators.forward(layer, source, squared, on_weight=np.square) + (1 + final) * (y * y)


def _norm(layer: LRN | SpatialNorm, x: Array, y: Array, variance: Array) -> Array:
    """dy_i/dx_j = [i = j] base^-beta - 2 alpha beta x_i x_j base_i^(-beta-1), each coefficient squared."""
    below = normalization.base(layer, x)
    scale = below**-layer.beta
    slope = 2 * layer.alpha * layer.beta * x * scale / below
    own = x * x * variance
    others = np.maximum(normalization.window_sum(layer, own) - own, 0)
    return np.asarray(variance * (scale - slope * x) ** 2 + slope * slope * others + (_FUNCTION_ERROR * y) ** 2)
