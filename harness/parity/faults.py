"""The planted faults: the mistakes of real ports, each with the layer of the miniature network it is planted in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.parity.fault import (
    Distorted,
    Fault,
    Parameters,
    Rearranged,
    Removed,
    Respecified,
    Swapped,
    WrongLoss,
    WrongUpdate,
)
from impls.oracle.convolution import interior, pad
from impls.oracle.rounding import PRECISIONS
from impls.protocol import Array, Arrays, Operators, UpdateRule, Vjp
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, Padding, ReLU, SpatialNorm, Tanh

Shape = tuple[int, ...]


def _grouped(layer: Conv) -> bool:
    return layer.groups > 1


def _padded(layer: Conv | MaxPool) -> bool:
    return any(layer.padding)


# --- convolution ------------------------------------------------------------------------------------------------------


def _same(layer: Conv, shape: Shape) -> Conv:
    """TensorFlow's SAME: ceil(input / stride) outputs, the odd pixel on the right and bottom."""

    def split(length: int) -> tuple[int, int]:
        total = max((-(-length // layer.stride) - 1) * layer.stride + layer.size - length, 0)
        return total // 2, total - total // 2

    return replace(layer, padding=Padding(*split(shape[1]), *split(shape[2])))


def _one_sided(layer: Conv | MaxPool) -> bool:
    return layer.padding.top != layer.padding.bottom


def _both_sides(layer: Any, shape: Shape) -> Any:
    return replace(layer, padding=Padding.same((layer.padding.bottom + layer.padding.top + 1) // 2))


def _other_side(layer: Any, shape: Shape) -> Any:
    pad = layer.padding
    return replace(layer, padding=Padding(pad.bottom, pad.top, pad.right, pad.left))


def _weight_only(change: Any) -> Any:
    def move(layer: Any, shape: Shape, parameters: Parameters) -> Arrays:
        return {**parameters, "weight": np.ascontiguousarray(change(layer, shape, parameters["weight"]))}

    return move


def _swap_groups(layer: Conv, shape: Shape, weight: Array) -> Array:
    return np.concatenate(np.split(weight, layer.groups, axis=3)[::-1], axis=3)


def _interleave(layer: Conv, shape: Shape, weight: Array) -> Array:
    order = np.arange(layer.kernels).reshape(layer.groups, -1).T.ravel()
    return weight[..., order]


def _deinterleave(layer: Conv, shape: Shape, weight: Array) -> Array:
    order = np.arange(layer.kernels).reshape(layer.groups, -1).T.ravel()
    return weight[..., np.argsort(order)]


def _no_bias(layer: Any, shape: Shape, parameters: Parameters) -> Arrays:
    return {**parameters, "bias": np.zeros_like(parameters["bias"])}


_FLIP = _weight_only(lambda layer, shape, weight: weight[::-1, ::-1])
_TRANSPOSE = _weight_only(lambda layer, shape, weight: weight.transpose(1, 0, 2, 3))
_BGR = _weight_only(lambda layer, shape, weight: weight[:, :, ::-1])

CONVOLUTION: tuple[Fault, ...] = (
    Respecified("same-padding", "SAME padding", "conv1", Conv, _padded, change=_same),
    Respecified("both-sides", "padding split over both sides", "conv1", Conv, _padded, change=_both_sides),
    Respecified("other-side", "padding on the top and left", "conv1", Conv, _padded, change=_other_side),
    Rearranged("flipped-kernel", "kernels flipped (a true convolution)", "conv2", Conv, move=_FLIP, back=_FLIP),
    Rearranged(
        "transposed-kernel", "kernels with height and width swapped", "conv3", Conv, move=_TRANSPOSE, back=_TRANSPOSE
    ),
    Rearranged(
        "swapped-groups",
        "the groups of kernels in the wrong order",
        "conv2",
        Conv,
        _grouped,
        move=_weight_only(_swap_groups),
        back=_weight_only(_swap_groups),
    ),
    Rearranged(
        "interleaved-groups",
        "kernels dealt to the groups in turn",
        "conv2",
        Conv,
        _grouped,
        move=_weight_only(_interleave),
        back=_weight_only(_deinterleave),
    ),
    Rearranged("conv-no-bias", "a missing bias", "conv3", Conv, move=_no_bias, back=_no_bias),
    Rearranged("bgr", "input channels in reverse order (BGR)", "conv1", Conv, move=_BGR, back=_BGR),
)

# --- local response normalisation -------------------------------------------------------------------------------------


def _lrn(**factors: Any) -> Any:
    return lambda layer, shape: replace(layer, **{name: f(layer, shape) for name, f in factors.items()})


NORMALISATION: tuple[Fault, ...] = (
    Respecified(
        "alpha-over-n",
        "the reference's α divided by n",
        "norm1",
        LRN,
        figure=lambda x: x.size,
        change=_lrn(alpha=lambda x, _: x.alpha / x.size),
    ),
    Respecified(
        "alpha-times-n",
        "the reference's α multiplied by n",
        "norm1",
        LRN,
        figure=lambda x: x.size,
        change=_lrn(alpha=lambda x, _: x.alpha * x.size),
    ),
    Respecified("k-is-1", "k = 1", "norm1", LRN, lambda x: x.k != 1, change=_lrn(k=lambda x, _: 1.0)),
    Respecified(
        "radius-for-size", "the size taken for a radius", "norm1", LRN, change=_lrn(size=lambda x, _: 2 * x.size + 1)
    ),
    Respecified(
        "window-short",
        "a window two channels short",
        "norm1",
        LRN,
        lambda x: x.size > 1,
        change=_lrn(size=lambda x, _: x.size - 2),
    ),
    Respecified("beta-half", "β = 0.5", "norm1", LRN, lambda x: x.beta != 0.5, change=_lrn(beta=lambda x, _: 0.5)),
    Respecified(
        "across-towers",
        "windows that cross the towers",
        "norm2",
        LRN,
        lambda x: x.groups > 1,
        change=_lrn(groups=lambda x, _: 1),
    ),
    Respecified(
        "per-tower",
        "windows clipped at the edge between two towers",
        "norm1",
        LRN,
        lambda x: x.groups == 1,
        change=_lrn(groups=lambda x, shape: 2 if shape[-1] % 2 == 0 else 1),
    ),
    Removed("no-lrn", "a missing layer", "norm1", LRN),
    Respecified(
        "spatial-mean",
        "the reference's α divided by the window's area",
        "cnorm2",
        SpatialNorm,
        figure=lambda x: x.size**2,
        change=_lrn(alpha=lambda x, _: x.alpha / x.size**2),
    ),
    Respecified(
        "spatial-sum",
        "the reference's α multiplied by the window's area",
        "cnorm2",
        SpatialNorm,
        figure=lambda x: x.size**2,
        change=_lrn(alpha=lambda x, _: x.alpha * x.size**2),
    ),
    Removed("no-spatial-norm", "a missing layer", "cnorm2", SpatialNorm),
    Respecified(
        "spatial-window",
        "a window two pixels short",
        "cnorm2",
        SpatialNorm,
        lambda x: x.size > 1,
        change=_lrn(size=lambda x, _: x.size - 2),
    ),
)

# --- pooling ----------------------------------------------------------------------------------------------------------


def _ceil(layer: MaxPool, shape: Shape) -> MaxPool:
    pad = layer.padding

    def extra(length: int) -> int:
        return -(length - layer.size) % layer.stride

    bottom = pad.bottom + extra(shape[1] + pad.top + pad.bottom)
    right = pad.right + extra(shape[2] + pad.left + pad.right)
    return replace(layer, padding=Padding(pad.top, bottom, pad.left, right))


@dataclass(frozen=True)
class ZeroPadded(Fault):
    """Windows that reach over the edge compete with zeros."""

    def forward(
        self, operators: Operators, layer: Layer, x: Array, parameters: Parameters, mask: Array | None
    ) -> Array:
        assert isinstance(layer, MaxPool)
        return operators.forward(replace(layer, padding=Padding()), pad(x, layer.padding, 0.0), parameters, mask)

    def vjp(
        self, operators: Operators, layer: Layer, x: Array, parameters: Parameters, dy: Array, mask: Array | None
    ) -> Vjp:
        assert isinstance(layer, MaxPool)
        plain = replace(layer, padding=Padding())
        around = operators.vjp(plain, pad(x, layer.padding, 0.0), parameters, dy, mask)
        return Vjp(np.ascontiguousarray(interior(around.dx, layer.padding)), {})


POOLING: tuple[Fault, ...] = (
    Respecified("ceil-pooling", "an output side rounded up (ceil mode)", "pool2", MaxPool, change=_ceil),
    Respecified(
        "plain-pooling",
        "windows that do not overlap",
        "pool1",
        MaxPool,
        lambda x: x.size > x.stride,
        change=lambda x, _: replace(x, size=x.stride),
    ),
    ZeroPadded("zero-padded-pool", "padding with zeros in place of minus infinity", "pool3", MaxPool, _padded),
    Removed("no-pool", "a missing layer", "pool1", MaxPool),
    Respecified("pool-both-sides", "padding split over both sides", "pool1", MaxPool, _one_sided, change=_both_sides),
    Respecified("pool-other-side", "padding on the other side", "pool1", MaxPool, _one_sided, change=_other_side),
    Swapped("pool-before-norm", "this layer and the next in the wrong order", "norm1"),
)

# --- activations, dense, dropout --------------------------------------------------------------------------------------


def _half_at_zero(x: Array, dy: Array, dx: Array) -> Array:
    passed: Array = dx + 0.5 * dy * (x == 0)
    return passed.astype(dx.dtype)


def _leaky(x: Array, y: Array, mask: Array | None) -> Array:
    return np.where(x < 0, np.asarray(0.01, x.dtype) * x, y).astype(y.dtype)


def _leaky_back(x: Array, dy: Array, dx: Array) -> Array:
    return np.where(x < 0, np.asarray(0.01, dx.dtype) * dy, dx).astype(dx.dtype)


def _nan_to_zero(x: Array, y: Array, mask: Array | None) -> Array:
    return np.nan_to_num(y, nan=0.0)


def _rough_tanh(x: Array, y: Array, mask: Array | None) -> Array:
    """Padé [3/2] approximation, clipped: what an over-eager optimiser substitutes."""
    rough: Array = np.clip(x * (15 + x * x) / (15 + 6 * x * x), -1, 1)
    return rough.astype(y.dtype)


def _rough_tanh_back(x: Array, dy: Array, dx: Array) -> Array:
    square = x * x
    below = 15 + 6 * square
    slope = ((15 + 3 * square) * below - 12 * square * (15 + square)) / (below * below)
    return np.where(np.abs(x * (15 + square)) < below, dy * slope, 0).astype(dx.dtype)


def _channels_first(layer: Dense, shape: Shape, parameters: Parameters) -> Arrays:
    """fc weights written for C, H, W read as H, W, C."""
    if len(shape) != 4:
        return dict(parameters)
    _, height, width, channels = shape
    order = np.arange(height * width * channels).reshape(channels, height, width).transpose(1, 2, 0).ravel()
    return {**parameters, "weight": parameters["weight"][order]}


def _channels_first_back(layer: Dense, shape: Shape, parameters: Parameters) -> Arrays:
    if len(shape) != 4:
        return dict(parameters)
    _, height, width, channels = shape
    order = np.arange(height * width * channels).reshape(channels, height, width).transpose(1, 2, 0).ravel()
    return {**parameters, "weight": parameters["weight"][np.argsort(order)]}


def _untest_scaled(layer: Dropout, shape: Shape) -> Dropout:
    return replace(layer, scaling=DropoutScaling.IN_TRAINING)


def _scaled_at_test(layer: Dropout, shape: Shape) -> Dropout:
    return replace(layer, scaling=DropoutScaling.AT_TEST)


def _at_test(layer: Dropout) -> bool:
    return layer.scaling is DropoutScaling.AT_TEST


def _in_training(layer: Dropout) -> bool:
    return layer.scaling is DropoutScaling.IN_TRAINING


UNITS: tuple[Fault, ...] = (
    Removed("no-relu", "a missing ReLU", "relu2", ReLU),
    Distorted("leaky-relu", "a leaky ReLU (slope 0.01)", "relu2", ReLU, on_y=_leaky, on_dx=_leaky_back),
    Distorted("relu-half-at-0", "a derivative of 1/2 at 0", "relu1", ReLU, on_dx=_half_at_zero),
    Distorted("nan-swallowed", "NaN replaced by zero", "relu1", ReLU, on_y=_nan_to_zero),
    Distorted(
        "rough-tanh", "a rational approximation of tanh", "tanh4", Tanh, on_y=_rough_tanh, on_dx=_rough_tanh_back
    ),
    Rearranged(
        "nchw-flatten",
        "inputs flattened channels first",
        "fc4",
        Dense,
        move=_channels_first,
        back=_channels_first_back,
    ),
    Rearranged("dense-no-bias", "a missing bias", "fc6", Dense, move=_no_bias, back=_no_bias),
    Respecified("unscaled-dropout", "outputs not scaled at test", "drop6", Dropout, _at_test, change=_untest_scaled),
    Respecified(
        "dropout-scaled-late",
        "outputs scaled at test, not in training",
        "drop7",
        Dropout,
        _in_training,
        change=_scaled_at_test,
    ),
    Distorted("mask-inverted", "an inverted mask", "drop7", Dropout, on_mask=lambda mask: 1 - mask),
)

# --- precision leaks --------------------------------------------------------------------------------------------------


def _leak(precision: str) -> dict[str, Any]:
    rounding = PRECISIONS[precision].operand
    return {"on_x": rounding, "on_parameter": rounding}


LEAKS: tuple[Fault, ...] = (
    Distorted("tf32-conv", "operands rounded to TF32", "conv2", Conv, **_leak("tf32")),
    Distorted("bf16-conv", "operands rounded to bfloat16", "conv3", Conv, **_leak("bfloat16")),
    Distorted("tf32-dense", "operands rounded to TF32", "fc6", Dense, **_leak("tf32")),
    Distorted("fp16-dense", "operands rounded to float16", "fc7", Dense, **_leak("float16")),
    Distorted("bf16-lrn", "operands rounded to bfloat16", "norm1", LRN, on_x=PRECISIONS["bfloat16"].operand),
)

# --- loss and update --------------------------------------------------------------------------------------------------


def _rate_outside(weight: Array, velocity: Array, gradient: Array, rule: UpdateRule, decay: float) -> None:
    """PyTorch's and Optax's form: the learning rate multiplies the whole velocity, old gradients included."""
    velocity *= rule.momentum
    velocity += gradient + decay * weight
    weight -= rule.learning_rate * velocity


def _decoupled_decay(weight: Array, velocity: Array, gradient: Array, rule: UpdateRule, decay: float) -> None:
    velocity *= rule.momentum
    velocity -= rule.learning_rate * gradient
    weight += velocity - decay * rule.learning_rate * weight


def _no_decay(weight: Array, velocity: Array, gradient: Array, rule: UpdateRule, decay: float) -> None:
    velocity *= rule.momentum
    velocity -= rule.learning_rate * gradient
    weight += velocity


def _decay_without_rate(weight: Array, velocity: Array, gradient: Array, rule: UpdateRule, decay: float) -> None:
    velocity *= rule.momentum
    velocity -= decay * weight + rule.learning_rate * gradient
    weight += velocity


def _dampened(weight: Array, velocity: Array, gradient: Array, rule: UpdateRule, decay: float) -> None:
    velocity *= rule.momentum
    velocity -= (1 - rule.momentum) * rule.learning_rate * (gradient + decay * weight)
    weight += velocity


def _nesterov(weight: Array, velocity: Array, gradient: Array, rule: UpdateRule, decay: float) -> None:
    step = rule.learning_rate * (gradient + decay * weight)
    velocity *= rule.momentum
    velocity -= step
    weight += rule.momentum * velocity - step


TRAINING: tuple[Fault, ...] = (
    WrongLoss("summed-loss", "a loss summed over the batch instead of averaged", "loss", factor=float),
    WrongLoss("loss-per-class", "a loss averaged over the classes too", "loss", factor=lambda batch: 1 / 11),
    WrongUpdate("rate-outside", "the learning rate outside the velocity", "sgd", rule=_rate_outside),
    WrongUpdate("decay-decoupled", "weight decay outside the velocity", "sgd", rule=_decoupled_decay),
    WrongUpdate("no-decay", "no weight decay", "sgd", rule=_no_decay),
    WrongUpdate(
        "decay-without-rate", "weight decay not multiplied by the learning rate", "sgd", rule=_decay_without_rate
    ),
    WrongUpdate("dampened", "gradients dampened by 1 - momentum", "sgd", rule=_dampened),
    WrongUpdate("nesterov", "Nesterov's momentum", "sgd", rule=_nesterov),
)

FAULTS: dict[str, Fault] = {
    fault.name: fault for fault in (*CONVOLUTION, *NORMALISATION, *POOLING, *UNITS, *LEAKS, *TRAINING)
}
