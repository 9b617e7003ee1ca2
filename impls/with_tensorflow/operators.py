"""Every layer as TensorFlow functions, and the choice of them for each tuning.

Activations are [N, H, W, C] or [N, features]. Weights arrive in float32 and are cast to the activations' type here, so
that their gradients come back in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import tensorflow as tf

from impls.protocol import Tuning
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, Padding, ReLU, SpatialNorm, Tanh
from impls.with_tensorflow.arrays import Numerics

Tensor: TypeAlias = tf.Tensor


def conv(layer: Conv, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Cross-correlation: [N, H, W, C] with [size, size, C / groups, kernels].

    Padded beforehand: TensorFlow hands convolutions to oneDNN only without explicit padding, and on the CPU nothing but
    oneDNN has the gradient of a grouped convolution.
    """
    return tf.nn.bias_add(tf.nn.conv2d(_padded(x, layer.padding), weight, layer.stride, "VALID"), bias)


def conv_per_group(layer: Conv, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One convolution for each group's slice of channels and kernels."""
    slices = zip(
        tf.split(_padded(x, layer.padding), layer.groups, axis=3), tf.split(weight, layer.groups, axis=3), strict=True
    )
    maps = [tf.nn.conv2d(channels, kernels, layer.stride, "VALID") for channels, kernels in slices]
    return tf.nn.bias_add(tf.concat(maps, axis=3) if len(maps) > 1 else maps[0], bias)


def dense(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """[N, in] or [N, H, W, C] times [in, units]; a map is flattened in the order H, W, C."""
    return tf.nn.bias_add(tf.linalg.matmul(tf.reshape(x, (tf.shape(x)[0], weight.shape[0])), weight), bias)


def relu(x: Tensor) -> Tensor:
    """max(0, x), derivative 0 at 0."""
    return tf.nn.relu(x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return tf.math.tanh(x)


def lrn(layer: LRN, x: Tensor) -> Tensor:
    """TensorFlow's own, whose alpha multiplies the sum as the paper's does. `depth_radius` is half the window.

    In float32 whatever the type: the kernel has no bfloat16 on the CPU, and squares of float16 overflow from 256 on.
    Towers become rows of pixels, so that no window crosses from one into the other.

    References:
        paper, section 3.3; tf.nn.local_response_normalization
    """
    shape = tf.shape(x)
    tower = x.shape[3] // layer.groups
    towers = tf.reshape(tf.cast(x, tf.float32), (shape[0], shape[1], shape[2] * layer.groups, tower))
    y = tf.nn.local_response_normalization(towers, layer.size // 2, layer.k, layer.alpha, layer.beta)
    return tf.cast(tf.reshape(y, shape), x.dtype)


def spatial_norm(layer: SpatialNorm, x: Tensor, power: Callable[[Tensor, float], Tensor]) -> Tensor:
    """Response normalisation within each map; the window's sum is its mean times its size."""
    values = tf.cast(x, tf.float32)
    squares = _padded(values * values, Padding.same(layer.size // 2))
    total = tf.nn.avg_pool2d(squares, layer.size, 1, "VALID") * layer.size**2
    return tf.cast(values / power(layer.k + layer.alpha * total, layer.beta), x.dtype)


def root_power(base: Tensor, beta: float) -> Tensor:
    """base ** beta; for the paper's 0.75 by two square roots, which are cheaper than a power."""
    if beta != 0.75:
        return tf.pow(base, beta)
    root = tf.sqrt(base)
    return root * tf.sqrt(root)


def max_pool(layer: MaxPool, x: Tensor) -> Tensor:
    """Maximum over windows; padding is minus infinity."""
    return tf.nn.max_pool2d(_padded(x, layer.padding, -float("inf")), layer.size, layer.stride, "VALID")


def _padded(x: Tensor, padding: Padding, fill: float = 0.0) -> Tensor:
    """x [N, H, W, C] with `fill` on its four sides."""
    if not any(padding):
        return x
    sides = [[0, 0], [padding.top, padding.bottom], [padding.left, padding.right], [0, 0]]
    return tf.pad(x, sides, constant_values=fill)


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
    """Mean over the batch, in float32. logits [N, classes], labels [N] int64."""
    each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))
    return tf.reduce_mean(each)


@dataclass(frozen=True, slots=True)
class OperatorTable:
    """The operators on which the tunings differ."""

    conv: Callable[[Conv, Tensor, Tensor, Tensor], Tensor]
    lrn: Callable[[LRN, Tensor], Tensor]
    power: Callable[[Tensor, float], Tensor]


TABLES: dict[Tuning, OperatorTable] = {
    "stock": OperatorTable(conv=conv, lrn=lrn, power=tf.pow),
    # TensorFlow's own LRN is the fastest known here
    "tuned": OperatorTable(conv=conv_per_group, lrn=lrn, power=root_power),
}


def table_of(tuning: Tuning, numerics: Numerics) -> OperatorTable:
    """The tuning's operators, with one convolution per group where this device cannot differentiate a grouped one."""
    table = TABLES[tuning]
    if table.conv is conv and not _has_grouped_gradient(numerics):
        return replace(table, conv=conv_per_group)
    return table


def _has_grouped_gradient(numerics: Numerics) -> bool:
    """Tried, since no flag tells: on the CPU it takes oneDNN, and there float32 or bfloat16."""
    with tf.device(numerics.device), tf.GradientTape() as tape:
        x, weight = tf.ones((1, 2, 2, 2), numerics.dtype), tf.ones((1, 1, 1, 2), numerics.dtype)
        tape.watch((x, weight))
        y = tf.nn.conv2d(x, weight, 1, "VALID")
    try:
        tape.gradient(y, (x, weight))
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
        return False
    return True


def apply_layer(
    layer: Layer, x: Tensor, parameters: Mapping[str, Tensor], mask: Tensor | None, table: OperatorTable
) -> Tensor:
    """One layer's output in the type of x. `parameters` has "weight" and "bias" for Conv and Dense."""
    cast = {name: tf.cast(tensor, x.dtype) for name, tensor in parameters.items()}
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
            return table.lrn(layer, x)
        case SpatialNorm():
            return spatial_norm(layer, x, table.power)
        case MaxPool():
            return max_pool(layer, x)
        case Dropout():
            return dropout(layer, x, mask)
