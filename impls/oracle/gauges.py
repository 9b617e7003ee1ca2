"""Beside each result its rounding gauge: how far a correct computation in a given precision may lie from it.

A gauge is the operator's own sum over absolute values, the rule of the reference BLAS tests: a computed sum of K terms
errs by at most about K * u * (sum of |terms|) whatever its order. Rounding errors are mostly independent, so that
sqrt(K) takes the place of K with probability next to one (`c`).

Where a layer is not a sum, the scale carries the amplification of its own formula: see `_norm_forward` and `_norm_dx`.

Domain. A gauge holds where every intermediate of a sensible float32 implementation is a normal number. For LRN and
SpatialNorm these are x^2, x * dy and base^(2 beta + 1) (automatic differentiation of a quotient squares its
denominator): with |x| of 1e20 a float32 square overflows though y is finite, and no gauge of y can say so. Keep |x|
below about 1e7 and |x|, |dy| above about 1e-15; float16 implementations need x^2 below 65504.

References: Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1; Higham, Mary, "A new approach to
probabilistic rounding error analysis", SIAM J. Sci. Comput. 41(5), 2019; LAPACK working note 41 (test ratios).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.oracle import normalization, operators
from impls.oracle.product import Array, OuterProduct, Tensor
from impls.oracle.rounding import Precision
from impls.spec import LRN, Conv, Dense, Layer, MaxPool, SpatialNorm, Tanh


@dataclass(frozen=True)
class Gauge:
    """The rounding gauge of one result.

    scale: shape of the result; the same sum over absolute values.
    terms: K, the longest sum behind one element.
    spread_rms: root mean square over the elements of the error that plain sequential summation is expected to make, in
        units of u: the partial sums of zero-mean terms t err by a variance of u^2 / 3 of their own squares, which adds
        up to K / 6 * sum(t^2), and products and the stored result add a little: sqrt((K / 6 + 2) * sum(t^2)).
    """

    scale: Tensor
    terms: int
    spread_rms: float

    def limit(self, scale: Array, unit: float, smallest: float) -> Array:
        """Largest error allowed, for a block of this gauge's scale."""
        return np.asarray(c(self.terms) * unit * scale + self.terms * smallest)


def c(terms: int) -> float:
    """The factor before u * scale: max(8, sqrt(terms)).

    Higham and Mary's bound for a sum of K independent rounding errors is lambda * sqrt(K) * u, with lambda of order
    one. 8 covers the short sums and the functions: libraries' exp, log, tanh and pow err by up to about 4 units in the
    last place, which is 8 u.
    """
    return max(8.0, math.sqrt(terms))


def unit(layer: Layer, precision: Precision) -> float:
    """The u of a layer's gauge: products take their operands rounded, the rest computes on stored values."""
    return max(precision.unit, precision.unit_product) if isinstance(layer, Conv | Dense) else precision.unit


def _gauge(scale: Tensor, terms: int, sum_of_squares: Tensor | None = None) -> Gauge:
    """`sum_of_squares` is each element's sum of squared terms; without it a result of one term."""
    if sum_of_squares is None:
        sum_of_squares = np.square(np.asarray(scale))
    return Gauge(scale, terms, math.sqrt((terms / 6 + 2) * _mean(sum_of_squares)))


def _mean(values: Tensor) -> float:
    """Mean of the finite elements: one planted NaN must not take the floor away from the others."""
    if isinstance(values, OuterProduct):
        return values.sum() / max(1, values.size)
    finite = np.isfinite(values)
    if finite.all():
        return float(values.mean()) if values.size else 0.0
    return float(values[finite].mean()) if finite.any() else 0.0


def forward(layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None = None) -> Gauge:
    """Gauge of `operators.forward`, computed in float64."""
    x = x.astype(np.float64, copy=False)
    if isinstance(layer, Conv | Dense):
        weight, bias = parameters["weight"], parameters["bias"].astype(np.float64)
        scale = operators.forward(layer, np.abs(x), {"weight": weight, "bias": np.abs(bias)}, on_weight=np.abs)
        squares = operators.forward(layer, x * x, {"weight": weight, "bias": bias * bias}, on_weight=np.square)
        return _gauge(scale, math.prod(weight.shape[:-1]) + 1, squares)
    if isinstance(layer, LRN | SpatialNorm):
        return _norm_forward(layer, x)
    return _gauge(np.abs(operators.forward(layer, x, parameters, mask)), 1)


def vjp(
    layer: Layer,
    x: Array,
    parameters: Mapping[str, Array],
    dy: Array,
    mask: Array | None = None,
    *,
    need_dx: bool = True,
) -> dict[str, Gauge]:
    """Gauges of `operators.vjp`, computed in float64: keys "dx", and "weight" and "bias" where the layer has them."""
    x, dy = x.astype(np.float64, copy=False), dy.astype(np.float64, copy=False)
    if isinstance(layer, Conv | Dense):
        return _product_vjp(layer, x, parameters, dy, need_dx)
    if not need_dx:
        return {}
    if isinstance(layer, LRN | SpatialNorm):
        return {"dx": _norm_dx(layer, x, dy)}
    if isinstance(layer, Tanh):
        # 1 - y^2 cancels where y is near one: its error is that of y^2, not of the difference.
        return {"dx": _gauge(np.abs(dy) * (1 + np.tanh(x) ** 2), 1)}
    terms = math.ceil(layer.size / layer.stride) ** 2 if isinstance(layer, MaxPool) else 1
    scale = operators.vjp(layer, x, parameters, np.abs(dy), mask).dx
    squares = operators.vjp(layer, x, parameters, dy * dy, mask).dx if terms > 1 else None
    return {"dx": _gauge(np.abs(scale), terms, squares)}


def _product_vjp(
    layer: Conv | Dense, x: Array, parameters: Mapping[str, Array], dy: Array, need_dx: bool
) -> dict[str, Gauge]:
    scale = operators.vjp(layer, np.abs(x), parameters, np.abs(dy), need_dx=need_dx, on_weight=np.abs)
    squares = operators.vjp(layer, x * x, parameters, dy * dy, need_dx=need_dx, on_weight=np.square)
    batch = math.prod(dy.shape[:-1])
    found = {}
    if need_dx:
        found["dx"] = _gauge(scale.dx, _terms_of_dx(layer, dy.shape[-1]), squares.dx)
    found["weight"] = _gauge(scale.dparameters["weight"], batch, squares.dparameters["weight"])
    # The bias' sum is over dy itself, whose square vjp has summed.
    found["bias"] = _gauge(scale.dparameters["bias"], batch, squares.dparameters["bias"])
    return found


def _terms_of_dx(layer: Conv | Dense, out: int) -> int:
    """How many outputs one input reaches at most."""
    return math.ceil(layer.size / layer.stride) ** 2 * out // layer.groups if isinstance(layer, Conv) else out


def _norm_forward(layer: LRN | SpatialNorm, x: Array) -> Gauge:
    """base^-beta is often exp(-beta * log(base)): an error of u in the logarithm becomes beta * |ln base| * u in y.

    The sum of squares does not cancel, so its error stays a few u, times beta.
    """
    below = normalization.base(layer, x)
    amplified = 1 + layer.beta * np.abs(np.log(below))
    return _gauge(np.abs(x) * below**-layer.beta * amplified, normalization.window_length(layer))


def _norm_dx(layer: LRN | SpatialNorm, x: Array, dy: Array) -> Gauge:
    """Both terms of the derivative in absolute value, each with the amplification of its own power of the base."""
    below = normalization.base(layer, x)
    logarithm = np.abs(np.log(below))
    direct = np.abs(dy) * below**-layer.beta * (1 + layer.beta * logarithm)
    each = np.abs(dy * x) * below ** (-layer.beta - 1) * (1 + (layer.beta + 1) * logarithm)
    crossing = 2 * layer.alpha * layer.beta * np.abs(x) * normalization.window_sum(layer, each)
    return _gauge(direct + crossing, normalization.window_length(layer))


def cross_entropy(logits: Array, labels: NDArray[np.integer[Any]]) -> tuple[Gauge, Gauge]:
    """Gauges of the mean loss (a 0-d scale) and of its gradient [N, classes].

    A difference z - max that enters an exponential turns its own rounding, u * |z - max|, into a relative error of p;
    the normaliser carries the average of these. Implementations that subtract a log-sum-exp add the maximum's size.
    """
    logits = logits.astype(np.float64, copy=False)
    count, classes = logits.shape
    largest = logits.max(axis=1, keepdims=True)
    shifted = np.abs(logits - largest)
    weights = np.exp(logits - largest)
    total = weights.sum(axis=1, keepdims=True)
    p = weights / total
    common = (p * shifted).sum(axis=1, keepdims=True) + np.abs(largest) + np.log(total) + 1
    label = np.zeros_like(p)
    label[np.arange(count), labels] = 1
    losses = (shifted + common)[np.arange(count), labels]
    dlogits = (p * (shifted + common) + label) / count
    return _gauge(np.asarray(losses.mean()), count + classes, np.square(losses / count).sum()), _gauge(dlogits, classes)
