"""Every layer as TensorFlow functions, and the choice of them for each tuning.

Activations are [N, H, W, C] or [N, features]. Weights arrive in float32 and are cast to the activations' type here, so
that their gradients come back in float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import tensorflow as tf

from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, Padding, ReLU, SpatialNorm, Tanh
from impls.with_tensorflow.arrays import Numerics
from impls.with_tensorflow.tuning import Tuning, UpdateForm

Tensor: TypeAlias = tf.Tensor
Product: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def conv(layer: Conv, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Cross-correlation: [N, H, W, C] with [size, size, C / groups, kernels].

    TensorFlow hands convolutions to oneDNN only without explicit padding, and on the CPU nothing but oneDNN has the
    gradient of a grouped convolution.
    """
    x, padding = _ready(layer, x)
    return tf.nn.bias_add(tf.nn.conv2d(x, weight, layer.stride, padding), bias)


def conv_per_group(layer: Conv, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One convolution for each group's slice of channels and kernels."""
    x, padding = _ready(layer, x)
    slices = zip(tf.split(x, layer.groups, axis=3), tf.split(weight, layer.groups, axis=3), strict=True)
    maps = [tf.nn.conv2d(channels, kernels, layer.stride, padding) for channels, kernels in slices]
    return tf.nn.bias_add(tf.concat(maps, axis=3) if len(maps) > 1 else maps[0], bias)


def _ready(layer: Conv, x: Tensor) -> tuple[Tensor, str]:
    """x and TensorFlow's name of the padding: SAME where that means the layer's, else VALID on x padded beforehand."""
    if layer.stride == 1 and layer.size % 2 == 1 and layer.padding == Padding.same(layer.size // 2):
        return x, "SAME"
    return _padded(x, layer.padding), "VALID"


def dense(x: Tensor, weight: Tensor, bias: Tensor, product: Product = tf.linalg.matmul) -> Tensor:
    """[N, in] or [N, H, W, C] times [in, units]; a map is flattened in the order H, W, C."""
    return tf.nn.bias_add(product(tf.reshape(x, (tf.shape(x)[0], weight.shape[0])), weight), bias)


@tf.custom_gradient
def batched_gradient_product(x: Tensor, weight: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """[N, in] times [in, units], whose gradient for x is a batched product: a batch of one.

    A plain one hands oneDNN a transposed weight, which it rearranges in memory first; the batched operator does not.
    """

    def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
        dx = tf.linalg.matmul(dy[tf.newaxis], weight[tf.newaxis], transpose_b=True)[0]
        return dx, tf.linalg.matmul(x, dy, transpose_a=True)

    return tf.linalg.matmul(x, weight), gradient


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


def lrn_compiled(layer: LRN, x: Tensor) -> Tensor:
    """Shifted slices and a gradient by hand, each pass over memory one loop that XLA compiles.

    With d = k + alpha sum(x^2): y = x d^-beta and dx = dy d^-beta - 2 alpha beta x sum(dy x d^-(beta + 1)), both sums
    over the window. d is computed anew where it is wanted: keeping it costs more than its five loads.
    """
    forward, cotangents, backward = _lrn_loops(layer.size, layer.alpha, layer.beta, layer.k, layer.groups)

    @tf.custom_gradient
    def normalised(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        return forward(x), lambda dy: backward(dy, x, cotangents(dy, x))

    return normalised(x)


@functools.cache
def _lrn_loops(size: int, alpha: float, beta: float, k: float, groups: int) -> tuple[Callable[..., Tensor], ...]:
    """y of x; dy x d^-(beta + 1) of dy and x, in float32; dx of dy, x and that. x is [N, H, W, C] of any type."""

    def windows(values: Tensor) -> Tensor:
        _, height, width, channels = values.shape
        tower = channels // groups
        towers = tf.reshape(values, (-1, height, width, groups, tower))
        padded = tf.pad(towers, [[0, 0]] * 4 + [[size // 2, size // 2]])
        total = tf.add_n([padded[..., shift : shift + tower] for shift in range(size)])
        return tf.reshape(total, (-1, height, width, channels))

    def base_and_power(x: Tensor) -> tuple[Tensor, Tensor]:
        """d and d^-beta."""
        base = k + alpha * windows(x * x)
        if beta != 0.75:
            return base, tf.pow(base, -beta)
        root = tf.math.rsqrt(base)
        return base, root * tf.sqrt(root)

    def forward(x: Tensor) -> Tensor:
        wide = tf.cast(x, tf.float32)
        return tf.cast(wide * base_and_power(wide)[1], x.dtype)

    def cotangents(dy: Tensor, x: Tensor) -> Tensor:
        wide = tf.cast(x, tf.float32)
        base, power = base_and_power(wide)
        return tf.cast(dy, tf.float32) * wide * power / base

    def backward(dy: Tensor, x: Tensor, through: Tensor) -> Tensor:
        wide = tf.cast(x, tf.float32)
        direct = tf.cast(dy, tf.float32) * base_and_power(wide)[1]
        return tf.cast(direct - 2 * alpha * beta * wide * windows(through), x.dtype)

    return tuple(tf.function(loop, jit_compile=True, autograph=False) for loop in (forward, cotangents, backward))


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
    product: Product
    update: UpdateForm  # of the weights: `impls.with_tensorflow.sgd`
    xla: bool  # whole graphs are compiled


LRNS: dict[str, Callable[[LRN, Tensor], Tensor]] = {"native": lrn, "compiled": lrn_compiled}
POWERS: dict[str, Callable[[Tensor, float], Tensor]] = {"pow": tf.pow, "roots": root_power}
PRODUCTS: dict[str, Product] = {"matmul": tf.linalg.matmul, "batched-gradient": batched_gradient_product}


def table_of(tuning: Tuning, numerics: Numerics) -> OperatorTable:
    """The tuning's operators, or what comes nearest where this device or this TensorFlow lacks something."""
    xla = has_xla(numerics.device)
    return OperatorTable(
        conv if _has_grouped_gradient(numerics) else conv_per_group,
        LRNS[tuning.lrn if xla else "native"],
        POWERS[tuning.power],
        PRODUCTS[tuning.product],
        tuning.update if xla else "operator",
        tuning.xla and xla,
    )


@functools.cache
def has_xla(device: str) -> bool:
    """Whether XLA compiles for this device. Tried, since no flag tells; a power needs its libraries there."""
    try:
        with tf.device(device):
            tf.function(tf.pow, jit_compile=True, autograph=False)(tf.ones(()), tf.ones(()))
    except tf.errors.OpError:
        return False
    return True


@functools.cache
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
            return dense(x, cast["weight"], cast["bias"], table.product)
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
