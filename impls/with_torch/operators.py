"""Every layer as PyTorch functions, and the choice of them for each tuning.

Activations are [N, C, H, W] or [N, features]. Weights arrive in float32 and are cast to the activations' type here, so
that their gradients come back in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F

from impls.protocol import Tuning
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, Padding, ReLU, SpatialNorm, Tanh

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


def lrn_shifted(layer: LRN, x: Tensor) -> Tensor:
    """The window's sum as `size` shifted slices of the squares: no pooling over a fifth axis."""
    towers = [_shifted_tower(layer, tower) for tower in x.float().chunk(layer.groups, dim=1)]
    return (torch.cat(towers, dim=1) if len(towers) > 1 else towers[0]).to(x.dtype)


def _shifted_tower(layer: LRN, x: Tensor) -> Tensor:
    channels, reach = x.shape[1], layer.size // 2
    squares = F.pad(x * x, (0, 0, 0, 0, reach, reach))
    total = squares[:, :channels]
    for shift in range(1, layer.size):
        total = total + squares[:, shift : shift + channels]
    return x * _inverse_power(layer.k + layer.alpha * total, layer.beta)


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
    lrn: Callable[[LRN, Tensor], Tensor]
    spatial_norm: Callable[[SpatialNorm, Tensor], Tensor]


TABLES: dict[Tuning, OperatorTable] = {
    "stock": OperatorTable(memory_format=torch.contiguous_format, lrn=lrn, spatial_norm=spatial_norm),
    "tuned": OperatorTable(memory_format=torch.channels_last, lrn=lrn_shifted, spatial_norm=spatial_norm),
}


def apply_layer(
    layer: Layer, x: Tensor, parameters: Mapping[str, Tensor], mask: Tensor | None, table: OperatorTable
) -> Tensor:
    """One layer's output in the type of x. `parameters` has "weight" and "bias" for Conv and Dense."""
    cast = {name: tensor.to(x.dtype) for name, tensor in parameters.items()}
    match layer:
        case Conv():
            return conv(layer, x, cast["weight"], cast["bias"])
        case Dense():
            return dense(x, cast["weight"], cast["bias"])
        case ReLU():
            return relu(x)
        case Tanh():
            return tanh(x)
        case LRN():
            return table.lrn(layer, x)
        case SpatialNorm():
            return table.spatial_norm(layer, x)
        case MaxPool():
            return max_pool(layer, x)
        case Dropout():
            return dropout(layer, x, mask)
