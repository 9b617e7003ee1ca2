"""A whole network, forward and backward: the float64 reference, or what a low precision would make of it.

With a `Precision` the computation runs in `dtype` (float32) with operands rounded as they enter a product and every
stored array rounded: parameters, activations, gradients. The loss is computed in `dtype`, as in `impls.protocol`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from impls.oracle import operators
from impls.oracle.product import Array, OuterProduct, Tensor
from impls.oracle.rounding import Precision
from impls.protocol import Batch
from impls.spec import Conv, Dense, Dropout, Layer, Network


class GradientResult(NamedTuple):
    """One training-mode pass and its gradients."""

    loss: float
    gradients: dict[str, Tensor]  # canonical tensor name -> gradient; a dense weight's is an OuterProduct
    activations: dict[str, Array]  # layer -> its output
    upstream: dict[str, Array]  # layer -> gradient of the loss by its output; from the first learned layer on


def forward(
    network: Network,
    weights: Mapping[str, Array],
    images: Array,
    masks: Mapping[str, Array] | None = None,
    dtype: DTypeLike = np.float64,
    precision: Precision | None = None,
) -> dict[str, Array]:
    """Every layer's output, logits included. With masks: as in training; without: as in testing."""
    x = images.astype(dtype, copy=False)
    if precision is not None:
        x = precision.round(x)
    activations: dict[str, Array] = {}
    for layer in network.layers:
        x = _layer_forward(layer, x, layer_parameters(layer, weights), layer_mask(layer, masks), precision)
        activations[layer.name] = x
    return activations


def gradients(
    network: Network,
    weights: Mapping[str, Array],
    batch: Batch,
    dtype: DTypeLike = np.float64,
    precision: Precision | None = None,
) -> GradientResult:
    """Mean cross-entropy of a training-mode pass with the batch's masks, and its gradient by every parameter."""
    activations = forward(network, weights, batch.images, batch.masks, dtype, precision)
    images = batch.images.astype(dtype, copy=False)
    inputs = [images if precision is None else precision.round(images), *activations.values()]
    loss, dy = operators.cross_entropy(activations[network.logits], batch.labels)
    found: dict[str, Tensor] = {}
    upstream: dict[str, Array] = {}
    first = next(i for i, layer in enumerate(network.layers) if isinstance(layer, Conv | Dense))
    for i in range(len(network.layers) - 1, first - 1, -1):
        layer = network.layers[i]
        dy = dy if precision is None else precision.round(dy)
        upstream[layer.name] = dy
        parameters, mask = layer_parameters(layer, weights), layer_mask(layer, batch.masks)
        step = _layer_vjp(layer, inputs[i], parameters, dy, mask, precision, need_dx=i > first)
        dy = step.dx
        found.update({f"{layer.name}/{kind}": gradient for kind, gradient in step.dparameters.items()})
    ordered = {name: found[name] for name in weights if name in found}
    return GradientResult(loss, ordered, activations, dict(reversed(upstream.items())))


def layer_parameters(layer: Layer, weights: Mapping[str, Array]) -> dict[str, Array]:
    """The layer's own "weight" and "bias"; empty where it has none."""
    if not isinstance(layer, Conv | Dense):
        return {}
    return {kind: weights[f"{layer.name}/{kind}"] for kind in ("weight", "bias")}


def layer_mask(layer: Layer, masks: Mapping[str, Array] | None) -> Array | None:
    """The layer's dropout mask; None at test time and for other layers."""
    if masks is None or not isinstance(layer, Dropout):
        return None
    if layer.name not in masks:
        raise ValueError(f"training needs a mask for dropout layer {layer.name!r}; there are masks for {sorted(masks)}")
    return masks[layer.name]


def _layer_forward(
    layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None, precision: Precision | None
) -> Array:
    if precision is None:
        return operators.forward(layer, x, parameters, mask)
    if isinstance(layer, Conv | Dense):
        x = precision.operand(x)
        parameters = _rounded(parameters, x.dtype, precision)
    return precision.round(operators.forward(layer, x, parameters, mask, on_weight=precision.operand))


def _layer_vjp(
    layer: Layer,
    x: Array,
    parameters: Mapping[str, Array],
    dy: Array,
    mask: Array | None,
    precision: Precision | None,
    need_dx: bool,
) -> operators.Vjp:
    if precision is None:
        return operators.vjp(layer, x, parameters, dy, mask, need_dx=need_dx)
    if not isinstance(layer, Conv | Dense):
        return operators.vjp(layer, x, parameters, dy, mask, need_dx=need_dx)
    bias = precision.round(dy.sum(axis=tuple(range(dy.ndim - 1))))  # a plain sum: its terms enter no product
    x, dy = precision.operand(x), precision.operand(dy)
    step = operators.vjp(layer, x, parameters, dy, mask, need_dx=need_dx, on_weight=precision.operand)
    weight = step.dparameters["weight"]
    rounded: Tensor
    if isinstance(weight, OuterProduct):
        rounded = OuterProduct(weight.a, weight.b, rounding=precision.round)
    else:
        rounded = precision.round(weight)
    return operators.Vjp(step.dx, {"weight": rounded, "bias": bias})


def _rounded(parameters: Mapping[str, Array], dtype: Any, precision: Precision) -> dict[str, Array]:
    """The bias as stored; the weight is rounded block by block inside the product."""
    return {"weight": parameters["weight"], "bias": precision.round(parameters["bias"].astype(dtype))}
