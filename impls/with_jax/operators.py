"""Every layer as JAX functions, and the choice of them for each tuning.

Activations are [N, H, W, C] or [N, features]. Weights arrive in float32 and are cast to the activations' type here, so
that their gradients come back in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from impls.protocol import Tuning
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, Padding, ReLU, SpatialNorm, Tanh

Tensor: TypeAlias = jax.Array


def conv(layer: Conv, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Cross-correlation: [N, H, W, C] with [size, size, C / groups, kernels]."""
    return _correlate(layer, x, weight, layer.groups) + bias


def conv_per_group(layer: Conv, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One convolution for each group's slice: XLA's gradient of a grouped one is eight times slower on the CPU."""
    slices = zip(jnp.split(x, layer.groups, axis=3), jnp.split(weight, layer.groups, axis=3), strict=True)
    maps = [_correlate(layer, channels, kernels, 1) for channels, kernels in slices]
    return jnp.concatenate(maps, axis=3) + bias


def _correlate(layer: Conv, x: Tensor, weight: Tensor, groups: int) -> Tensor:
    return lax.conv_general_dilated(
        x,
        weight,
        window_strides=(layer.stride, layer.stride),
        padding=_sides(layer.padding),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def dense(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """[N, in] or [N, H, W, C] times [in, units]; a map is flattened in the order H, W, C."""
    return jnp.matmul(x.reshape(x.shape[0], -1), weight) + bias


def relu(x: Tensor) -> Tensor:
    """max(0, x), derivative 0 at 0, where jnp.maximum's is one half."""
    return jax.nn.relu(x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return jnp.tanh(x)


def lrn(layer: LRN, x: Tensor, power: Callable[[Tensor, float], Tensor]) -> Tensor:
    """Neither JAX nor Flax has it: the window's sum by `reduce_window`.

    In float32 whatever the type: squares of float16 overflow from 256 on. Towers get an axis of their own.

    References:
        paper, section 3.3
    """
    reach = layer.size // 2
    towers = _towers(layer, x)
    padding = [(0, 0)] * 4 + [(reach, reach)]
    total = lax.reduce_window(towers * towers, 0.0, lax.add, (1, 1, 1, 1, layer.size), (1,) * 5, padding)
    return _normalised(layer, towers, total, power).reshape(x.shape).astype(x.dtype)


def lrn_shifted(layer: LRN, x: Tensor, power: Callable[[Tensor, float], Tensor]) -> Tensor:
    """The window's sum as `size` shifted slices of the squares, which XLA fuses into one loop."""
    reach = layer.size // 2
    towers = _towers(layer, x)
    squares = jnp.pad(towers * towers, [(0, 0)] * 4 + [(reach, reach)])
    channels = towers.shape[4]
    total = squares[..., :channels]
    for shift in range(1, layer.size):
        total = total + squares[..., shift : shift + channels]
    return _normalised(layer, towers, total, power).reshape(x.shape).astype(x.dtype)


def _towers(layer: LRN, x: Tensor) -> Tensor:
    """[N, H, W, groups, C / groups] in float32."""
    return x.astype(jnp.float32).reshape(*x.shape[:3], layer.groups, x.shape[3] // layer.groups)


def _normalised(layer: LRN | SpatialNorm, x: Tensor, total: Tensor, power: Callable[[Tensor, float], Tensor]) -> Tensor:
    return x / power(layer.k + layer.alpha * total, layer.beta)


def spatial_norm(layer: SpatialNorm, x: Tensor, power: Callable[[Tensor, float], Tensor]) -> Tensor:
    """Response normalisation within each map."""
    values = x.astype(jnp.float32)
    window = (1, layer.size, layer.size, 1)
    sides = [(0, 0), *_sides(Padding.same(layer.size // 2)), (0, 0)]
    total = lax.reduce_window(values * values, 0.0, lax.add, window, (1, 1, 1, 1), sides)
    return _normalised(layer, values, total, power).astype(x.dtype)


def root_power(base: Tensor, beta: float) -> Tensor:
    """base ** beta; for the paper's 0.75 by two square roots, which are cheaper than a power."""
    if beta != 0.75:
        return jnp.power(base, beta)
    root = jnp.sqrt(base)
    return root * jnp.sqrt(root)


def max_pool(layer: MaxPool, x: Tensor) -> Tensor:
    """Maximum over windows; padding is minus infinity."""
    lowest = np.array(-np.inf, x.dtype)
    window, stride = (1, layer.size, layer.size, 1), (1, layer.stride, layer.stride, 1)
    return lax.reduce_window(x, lowest, lax.max, window, stride, [(0, 0), *_sides(layer.padding), (0, 0)])


def _sides(padding: Padding) -> list[tuple[int, int]]:
    """Before and after, for the height and for the width."""
    return [(padding.top, padding.bottom), (padding.left, padding.right)]


def dropout(layer: Dropout, x: Tensor, mask: Tensor | None) -> Tensor:
    """With a mask as in training, without one as at test time.

    References:
        paper, section 4.2
    """
    keep = 1 - layer.rate
    if layer.scaling is DropoutScaling.AT_TEST:
        return x * keep if mask is None else x * mask
    return x if mask is None else x * mask / keep


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the batch, in float32. logits [N, classes], labels [N] int32."""
    log_softmax = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(log_softmax, labels[:, None], axis=1).mean()


@dataclass(frozen=True, slots=True)
class OperatorTable:
    """The operators on which the tunings differ."""

    conv: Callable[[Conv, Tensor, Tensor, Tensor], Tensor]
    lrn: Callable[[LRN, Tensor, Callable[[Tensor, float], Tensor]], Tensor]
    power: Callable[[Tensor, float], Tensor]


TABLES: dict[Tuning, OperatorTable] = {
    "stock": OperatorTable(conv=conv, lrn=lrn, power=jnp.power),
    "tuned": OperatorTable(conv=conv_per_group, lrn=lrn_shifted, power=root_power),
}


def apply_layer(
    layer: Layer, x: Tensor, parameters: Mapping[str, Tensor], mask: Tensor | None, table: OperatorTable
) -> Tensor:
    """One layer's output in the type of x. `parameters` has "weight" and "bias" for Conv and Dense."""
    cast = {name: tensor.astype(x.dtype) for name, tensor in parameters.items()}
    match layer:
        case Conv():
            return table.conv(layer, x, cast["weight"], cast["bias"])
        case Dense():
            return dense(x, cast["weight"], cast["bias"])
        case ReLU():
            return relu(x)
        case Tanh():
            return tanh(x)
        case LRN():
            return table.lrn(layer, x, table.power)
        case SpatialNorm():
            return spatial_norm(layer, x, table.power)
        case MaxPool():
            return max_pool(layer, x)
        case Dropout():
            return dropout(layer, x, mask)
