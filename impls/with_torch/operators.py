"""Every layer as PyTorch functions, and the choice of them by a `Tuning`.

Activations are [N, C, H, W] or [N, features]. Weights arrive in float32 and are cast to the activations' type here, so
that their gradients come back in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F

from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, Padding, ReLU, SpatialNorm, Tanh
from impls.with_torch.tuning import Tuning

Tensor: TypeAlias = torch.Tensor


def conv(layer: Conv, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Cross-correlation: [N, C, H, W] with [kernels, C / groups, size, size]."""
    x, padding = _symmetric(x, layer.padding, fill=0.0)
    return F.conv2d(x, weight, bias, stride=layer.stride, padding=padding, groups=layer.groups)


def dense(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """[N, in] or [N, C, H, W] times [units, in]; a map is flattened in the order H, W, C of the canonical weight."""
    if x.ndim == 4:
        x = x.permute(0, 2, 3, 1)
    return F.linear(x.flatten(1), weight, bias)


def dense_onednn(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same by oneDNN's matrix product, which PyTorch keeps for bfloat16 and compiled inference."""
    if x.dtype != torch.float32:
        return dense(x, weight, bias)
    if x.ndim == 4:
        x = x.permute(0, 2, 3, 1)
    return _OneDnnDense.apply(x.flatten(1), weight, bias)


class _OneDnnDense(torch.autograd.Function):
    """x [N, in], weight [units, in], bias [units]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return onednn_product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dy = dy.contiguous()
        dx = onednn_product(dy, weight.t(), None) if ctx.needs_input_grad[0] else None
        return dx, onednn_product(dy.t(), x.t(), None), dy.sum(0)


@torch.library.custom_op("alexbench::product", mutates_args=(), schema="(Tensor a, Tensor b, Tensor? bias) -> Tensor")
def onednn_product(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    """[m, k] times the transpose of [n, k]. An operator of our own: the compiler takes oneDNN's for inference only."""
    return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")


@onednn_product.register_fake
def _product_shape(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[0])


def has_onednn_product() -> bool:
    """Whether this build of PyTorch has the operator; it is not part of the documented interface."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def relu(x: Tensor) -> Tensor:
    """max(0, x), derivative 0 at 0."""
    return F.relu(x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return torch.tanh(x)


def lrn(layer: LRN, x: Tensor) -> Tensor:
    """PyTorch's own. It multiplies the mean of `size` squares by its alpha, the paper the sum.

    In float32 whatever the type: its pooling has no half types on the CPU, and squares of float16 overflow from 256 on.

    References:
        paper, section 3.3; torch.nn.LocalResponseNorm
    """
    batch, channels, height, width = x.shape
    towers = x.float().reshape(batch * layer.groups, channels // layer.groups, height, width)
    y = F.local_response_norm(towers, layer.size, alpha=layer.alpha * layer.size, beta=layer.beta, k=layer.k)
    return y.reshape(x.shape).to(x.dtype)


def lrn_by_hand(layer: LRN, x: Tensor) -> Tensor:
    """The window's sum as shifted slices of the squares, and a gradient written out that keeps the sum alone."""
    y = _ByHand.apply(x.float(), layer.size, layer.alpha, layer.beta, layer.k, layer.groups)
    return y.to(x.dtype)


class _ByHand(torch.autograd.Function):
    """y = x d ** -beta with d = k + alpha * window(x ** 2); x [N, C, H, W] float32.

    dx = dy d ** -beta - 2 alpha beta x window'(dy x d ** (-beta - 1)), where window' looks the other way.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, alpha: float, beta: float, k: float, groups: int) -> Tensor:
        before, after = size // 2, (size - 1) // 2
        base = k + alpha * _window_sum(x * x, before, after, groups)
        ctx.save_for_backward(x, base)
        ctx.constants = (after, before, alpha, beta, groups)
        return x * _inverse_power(base, beta)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, base = ctx.saved_tensors
        before, after, alpha, beta, groups = ctx.constants
        scaled = dy * _inverse_power(base, beta)
        around = _window_sum(scaled * x / base, before, after, groups)
        return scaled - (2 * alpha * beta) * x * around, None, None, None, None, None


def _window_sum(values: Tensor, before: int, after: int, groups: int) -> Tensor:
    """For every channel the sum over so many before it, itself, and so many after it, within its group."""
    totals = []
    for tower in values.chunk(groups, dim=1):
        channels = tower.shape[1]
        padded = F.pad(tower, (0, 0, 0, 0, before, after))
        total = padded[:, :channels]
        for shift in range(1, before + after + 1):
            total = total + padded[:, shift : shift + channels]
        totals.append(total)
    return torch.cat(totals, dim=1) if groups > 1 else totals[0]


def _inverse_power(base: Tensor, beta: float) -> Tensor:
    """base ** -beta; for the paper's 0.75 by two square roots, which are cheaper than a power."""
    if beta != 0.75:
        return base.pow(-beta)
    root = base.rsqrt()
    return root * root.sqrt()


def spatial_norm(layer: SpatialNorm, x: Tensor) -> Tensor:
    """Response normalisation within each map; an average pool that divides by 1 gives the window's sum."""
    values = x.float()
    total = F.avg_pool2d(values * values, layer.size, stride=1, padding=layer.size // 2, divisor_override=1)
    return (values * (layer.k + layer.alpha * total).pow(-layer.beta)).to(x.dtype)


def max_pool(layer: MaxPool, x: Tensor) -> Tensor:
    """Maximum over windows; padding is minus infinity."""
    x, padding = _symmetric(x, layer.padding, fill=-torch.inf, limit=layer.size // 2)
    return F.max_pool2d(x, layer.size, layer.stride, padding=padding)


def max_pool_whole(layer: MaxPool, x: Tensor) -> Tensor:
    """The same, kept from the compiler: it would scatter the gradient into maps that are not channels-last."""
    x, padding = _symmetric(x, layer.padding, fill=-torch.inf, limit=layer.size // 2)
    return _WholeMaxPool.apply(x, layer.size, layer.stride, padding)


class _WholeMaxPool(torch.autograd.Function):
    """x [N, C, H, W]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, stride: int, padding: int) -> Tensor:
        y, indices = _pool(x, size, stride, padding)
        ctx.save_for_backward(x, indices)
        ctx.window = (size, stride, padding)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, indices = ctx.saved_tensors
        return _pool_backward(dy, x, indices, *ctx.window), None, None, None


@torch.library.custom_op(
    "alexbench::pool", mutates_args=(), schema="(Tensor x, int size, int stride, int padding) -> (Tensor, Tensor)"
)
def _pool(x: Tensor, size: int, stride: int, padding: int) -> tuple[Tensor, Tensor]:
    return torch.ops.aten.max_pool2d_with_indices(x, [size, size], [stride, stride], [padding, padding])


@_pool.register_fake
def _pool_shape(x: Tensor, size: int, stride: int, padding: int) -> tuple[Tensor, Tensor]:
    return torch.ops.aten.max_pool2d_with_indices(x, [size, size], [stride, stride], [padding, padding])


@torch.library.custom_op(
    "alexbench::pool_backward",
    mutates_args=(),
    schema="(Tensor dy, Tensor x, Tensor indices, int size, int stride, int padding) -> Tensor",
)
def _pool_backward(dy: Tensor, x: Tensor, indices: Tensor, size: int, stride: int, padding: int) -> Tensor:
    dy = dy.contiguous(memory_format=torch.channels_last)
    return torch.ops.aten.max_pool2d_with_indices_backward(
        dy, x, [size, size], [stride, stride], [padding, padding], [1, 1], False, indices
    )


@_pool_backward.register_fake
def _pool_backward_shape(dy: Tensor, x: Tensor, indices: Tensor, size: int, stride: int, padding: int) -> Tensor:
    return torch.ops.aten.max_pool2d_with_indices_backward(
        dy, x, [size, size], [stride, stride], [padding, padding], [1, 1], False, indices
    )


def _symmetric(x: Tensor, padding: Padding, fill: float, limit: int | None = None) -> tuple[Tensor, int]:
    """PyTorch's operators pad all sides alike (and max-pools by half a window at most); the rest is padded here."""
    if len(set(padding)) == 1 and (limit is None or padding.top <= limit):
        return x, padding.top
    return F.pad(x, (padding.left, padding.right, padding.top, padding.bottom), value=fill), 0


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
    return F.cross_entropy(logits.float(), labels)


@dataclass(frozen=True, slots=True)
class OperatorTable:
    """The operators on which the tunings differ."""

    memory_format: torch.memory_format
    dense: Callable[[Tensor, Tensor, Tensor], Tensor]
    lrn: Callable[[LRN, Tensor], Tensor]
    max_pool: Callable[[MaxPool, Tensor], Tensor]


MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
DENSES = {"framework": dense, "onednn": dense_onednn}
LRNS = {"framework": lrn, "by-hand": lrn_by_hand}
MAX_POOLS = {"framework": max_pool, "whole": max_pool_whole}


def table_of(tuning: Tuning) -> OperatorTable:
    """The operators a tuning names, the documented ones where this build of PyTorch lacks the others."""
    by_name = "framework" if tuning.dense == "onednn" and not has_onednn_product() else tuning.dense
    return OperatorTable(MEMORY_FORMATS[tuning.layout], DENSES[by_name], LRNS[tuning.lrn], MAX_POOLS[tuning.max_pool])


def apply_layer(
    layer: Layer, x: Tensor, parameters: Mapping[str, Tensor], mask: Tensor | None, table: OperatorTable
) -> Tensor:
    """One layer's output in the type of x. `parameters` has "weight" and "bias" for Conv and Dense."""
    cast = {name: tensor.to(x.dtype) for name, tensor in parameters.items()}
    match layer:
        case Conv():
            return conv(layer, x, cast["weight"], cast["bias"])
        case Dense():
            return table.dense(x, cast["weight"], cast["bias"])
        case ReLU():
            return relu(x)
        case Tanh():
            return tanh(x)
        case LRN():
            return table.lrn(layer, x)
        case SpatialNorm():
            return spatial_norm(layer, x)
        case MaxPool():
            return table.max_pool(layer, x)
        case Dropout():
            return dropout(layer, x, mask)
