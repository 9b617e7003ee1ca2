"""Every layer's definition once more, in float64 loops taken from its formula: slow, and independent of the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, ReLU, SpatialNorm, Tanh

Array = NDArray[Any]


def _windows(x: Array, size: int, stride: int, padding: tuple[int, int, int, int], fill: float) -> Array:
    """[N, H', W', size, size, C] of x [N, H, W, C]."""
    top, bottom, left, right = padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    rows = range(0, padded.shape[1] - size + 1, stride)
    columns = range(0, padded.shape[2] - size + 1, stride)
    return np.stack([np.stack([padded[:, i : i + size, j : j + size] for j in columns], axis=1) for i in rows], axis=1)


def conv(layer: Conv, x: Array, weight: Array, bias: Array) -> Array:
    """Group by group: each sees its own slice of channels and fills its own slice of kernels."""
    windows = _windows(x, layer.size, layer.stride, layer.padding, 0.0)
    channels, kernels = x.shape[3] // layer.groups, layer.kernels // layer.groups
    parts = []
    for group in range(layer.groups):
        own = windows[..., group * channels : (group + 1) * channels]
        parts.append(np.einsum("nyxhwc,hwck->nyxk", own, weight[..., group * kernels : (group + 1) * kernels]))
    return np.concatenate(parts, axis=-1) + bias


def max_pool(layer: MaxPool, x: Array) -> Array:
    """Padding never wins."""
    maxima: Array = _windows(x, layer.size, layer.stride, layer.padding, -np.inf).max(axis=(3, 4))
    return maxima


def lrn(layer: LRN, x: Array) -> Array:
    """y_i = x_i / (k + alpha * sum of squares over the window inside i's tower) ** beta."""
    y = np.empty_like(x)
    tower = x.shape[3] // layer.groups
    for i in range(x.shape[3]):
        first = max(i - layer.size // 2, i // tower * tower)
        last = min(i + layer.size // 2, i // tower * tower + tower - 1)
        total = (x[..., first : last + 1] ** 2).sum(axis=-1)
        y[..., i] = x[..., i] / (layer.k + layer.alpha * total) ** layer.beta
    return y


def spatial_norm(layer: SpatialNorm, x: Array) -> Array:
    """As LRN, over a window of pixels within one map."""
    y, reach = np.empty_like(x), layer.size // 2
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            window = x[:, max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1]
            y[:, i, j] = x[:, i, j] / (layer.k + layer.alpha * (window**2).sum(axis=(1, 2))) ** layer.beta
    return y


def dropout(layer: Dropout, x: Array, mask: Array | None) -> Array:
    """Scaled in training or at test time, as the layer says."""
    at_test = layer.scaling is DropoutScaling.AT_TEST
    if mask is None:
        return x * (1 - layer.rate) if at_test else x
    return x * mask if at_test else x * mask / (1 - layer.rate)


def forward(layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None = None) -> Array:
    """One layer's output in float64."""
    match layer:
        case Conv():
            return conv(layer, x, parameters["weight"], parameters["bias"])
        case Dense():
            return x.reshape(len(x), -1) @ parameters["weight"] + parameters["bias"]
        case ReLU():
            return np.where(x > 0, x, 0.0)
        case Tanh():
            return np.tanh(x)
        case LRN():
            return lrn(layer, x)
        case SpatialNorm():
            return spatial_norm(layer, x)
        case MaxPool():
            return max_pool(layer, x)
        case Dropout():
            return dropout(layer, x, mask)


def cross_entropy(logits: Array, labels: Array) -> float:
    """Mean over the batch of the negative log-softmax at the label."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -float(log_softmax[np.arange(len(labels)), labels].mean())
