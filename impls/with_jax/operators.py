"""Every layer as JAX functions, and the choice of them by a tuning's names.

Activations are [N, H, W, C] or [N, features]. Weights arrive in float32 and are cast to the activations' type here, so
that their gradients come back in float32.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, Padding, ReLU, SpatialNorm, Tanh
from impls.with_jax.tuning import Tuning

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
    towers = _towers(layer, x)
    total = _sum_over_channels(layer, towers * towers)
    return _normalised(layer, towers, total, power).reshape(x.shape).astype(x.dtype)


def lrn_own_gradient(layer: LRN, x: Tensor, power: Callable[[Tensor, float], Tensor]) -> Tensor:
    """The same with a gradient written by hand, which keeps the scale and takes one more window sum."""
    return _own_norm(layer, power, _towers(layer, x)).reshape(x.shape).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _own_norm(layer: LRN, power: Callable[[Tensor, float], Tensor], x: Tensor) -> Tensor:
    return _own_norm_forward(layer, power, x)[0]


def _own_norm_forward(
    layer: LRN, power: Callable[[Tensor, float], Tensor], x: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    scale = layer.k + layer.alpha * _sum_over_channels(layer, x * x)
    return x / power(scale, layer.beta), (x, scale)


def _own_norm_backward(
    layer: LRN, power: Callable[[Tensor, float], Tensor], kept: tuple[Tensor, Tensor], dy: Tensor
) -> tuple[Tensor]:
    """With s the scale: dx = dy s^-beta - 2 alpha beta x sum(dy x s^-beta / s)."""
    x, scale = kept
    factor = 1 / power(scale, layer.beta)
    total = _sum_over_channels(layer, dy * (x * factor) / scale)
    return (dy * factor - (2 * layer.alpha * layer.beta) * x * total,)


_own_norm.defvjp(_own_norm_forward, _own_norm_backward)


def _sum_over_channels(layer: LRN, towers: Tensor) -> Tensor:
    """[N, H, W, groups, C / groups]: the sum over each channel's window."""
    reach = layer.size // 2
    padding = [(0, 0)] * 4 + [(reach, reach)]
    return lax.reduce_window(towers, 0.0, lax.add, (1, 1, 1, 1, layer.size), (1,) * 5, padding)


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


def max_pool_indexed(layer: MaxPool, x: Tensor) -> Tensor:
    """The same with a gradient by each window's first maximum, kept as one byte: XLA searches every window again."""
    return _indexed(layer, x.shape[1:3], x)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _indexed(layer: MaxPool, sides: tuple[int, int], x: Tensor) -> Tensor:
    del sides
    return max_pool(layer, x)


def _indexed_forward(layer: MaxPool, sides: tuple[int, int], x: Tensor) -> tuple[Tensor, Tensor]:
    """The maxima [N, h, w, C], and which pixel of its window each is, counted row by row."""
    pad, stride = layer.padding, layer.stride
    x = lax.pad(
        x, np.array(-np.inf, x.dtype), ((0, 0, 0), (pad.top, pad.bottom, 0), (pad.left, pad.right, 0), (0, 0, 0))
    )
    n, height, width, channels = x.shape
    down, across = ((side - layer.size) // stride * stride + 1 for side in (height, width))
    largest = index = None
    for pixel in range(layer.size**2):
        i, j = divmod(pixel, layer.size)
        values = lax.slice(x, (0, i, j, 0), (n, i + down, j + across, channels), (1, stride, stride, 1))
        if largest is None or index is None:
            largest, index = values, jnp.zeros(values.shape, _index_type(layer))
        else:
            index = jnp.where(values > largest, jnp.array(pixel, index.dtype), index)
            largest = jnp.maximum(largest, values)
    return largest, index


def _index_type(layer: MaxPool) -> Any:
    return jnp.int8 if layer.size**2 <= 127 else jnp.int32


def _indexed_backward(layer: MaxPool, sides: tuple[int, int], index: Tensor, dy: Tensor) -> tuple[Tensor]:
    """Pixels at the same place between two strides take part in the same windows: one plane for each place."""
    (n, down, across, channels), stride = dy.shape, layer.stride
    reach = (layer.size - 1) // stride  # windows that begin before a pixel's own and still hold it
    height, width = down + reach, across + reach
    zero = jnp.zeros((), dy.dtype)
    planes = []
    for row, column in itertools.product(range(stride), repeat=2):
        plane = jnp.zeros((n, height, width, channels), dy.dtype)
        for a, b in itertools.product(range(reach + 1), repeat=2):
            i, j = row + stride * a, column + stride * b
            if i < layer.size and j < layer.size:
                share = jnp.where(index == i * layer.size + j, dy, zero)
                edges = ((0, 0, 0), (a, reach - a, 0), (b, reach - b, 0), (0, 0, 0))
                plane = plane + lax.pad(share, zero, edges)
        planes.append(plane)
    grid = jnp.stack(planes, axis=3).reshape(n, height, width, stride, stride, channels)
    grid = grid.transpose(0, 1, 3, 2, 4, 5).reshape(n, height * stride, width * stride, channels)
    top, left = layer.padding.top, layer.padding.left
    bottom, right = sides[0] + top - height * stride, sides[1] + left - width * stride
    return (lax.pad(grid, zero, ((0, 0, 0), (-top, bottom, 0), (-left, right, 0), (0, 0, 0))),)


_indexed.defvjp(_indexed_forward, _indexed_backward)


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
    max_pool: Callable[[MaxPool, Tensor], Tensor]


CONVOLUTIONS: dict[str, Callable[[Conv, Tensor, Tensor, Tensor], Tensor]] = {
    "grouped": conv,
    "per-group": conv_per_group,
}
NORMS: dict[str, Callable[[LRN, Tensor, Callable[[Tensor, float], Tensor]], Tensor]] = {
    "window": lrn,
    "own-gradient": lrn_own_gradient,
}
POWERS: dict[str, Callable[[Tensor, float], Tensor]] = {"pow": jnp.power, "roots": root_power}
MAX_POOLS: dict[str, Callable[[MaxPool, Tensor], Tensor]] = {"window": max_pool, "indexed": max_pool_indexed}


def table_of(tuning: Tuning) -> OperatorTable:
    """The operators that a tuning names."""
    return OperatorTable(
        conv=CONVOLUTIONS[tuning.conv],
        lrn=NORMS[tuning.lrn],
        power=POWERS[tuning.power],
        max_pool=MAX_POOLS[tuning.max_pool],
    )


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
            return table.max_pool(layer, x)
        case Dropout():
            return dropout(layer, x, mask)
