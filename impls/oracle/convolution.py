"""Grouped 2-D cross-correlation, forward and backward, as matrix products over patches (im2col).

Shapes: x [N, H, W, C], weight [h, w, C / groups, kernels], y [N, H', W', kernels]. Computed in x's dtype.
References: paper, section 3.2 (groups) and 3.5; Chellapilla, Puri, Simard, "High Performance Convolutional Neural
Networks for Document Processing", 2006 (patches as rows of a matrix).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls.derive import layer_facts
from impls.spec import Conv, MaxPool, Padding

Array = NDArray[Any]
OnWeight = Callable[[Array], Array]

_PATCH_BYTES = 96 * 2**20  # of one chunk's patch matrix; the backward pass holds two


class Gradients(NamedTuple):
    """dx [N, H, W, C] (size 0 where it was not asked for), weight and bias as the layer's own."""

    dx: Array
    weight: Array
    bias: Array


def pad(x: Array, padding: Padding, value: float) -> Array:
    """x [N, H, W, C] with `value` around each map."""
    count, height, width, channels = x.shape
    if not any(padding):
        return x
    shape = (count, height + padding.top + padding.bottom, width + padding.left + padding.right, channels)
    padded = np.full(shape, value, x.dtype)
    interior(padded, padding)[...] = x
    return padded


def interior(padded: Array, padding: Padding) -> Array:
    """The view of a padded map that `pad` filled with its input."""
    height, width = padded.shape[1:3]
    return padded[:, padding.top : height - padding.bottom, padding.left : width - padding.right]


def taps(layer: Conv | MaxPool, out: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """For each place of the window in row-major order: the rows and columns of the padded input it touches."""
    height, width = layer.stride * (out[0] - 1) + 1, layer.stride * (out[1] - 1) + 1
    for i in range(layer.size):
        for j in range(layer.size):
            yield slice(i, i + height, layer.stride), slice(j, j + width, layer.stride)


def _patches(padded: Array, layer: Conv, out: tuple[int, ...], channels: slice) -> Array:
    """[N * H' * W', size * size * C / groups]: a copy, one row per output pixel."""
    n, h, w, c = padded.strides
    part = padded[..., channels]
    shape = (len(part), out[0], out[1], layer.size, layer.size, part.shape[3])
    strides = (n, h * layer.stride, w * layer.stride, h, w, c)
    windows = np.lib.stride_tricks.as_strided(part, shape, strides, writeable=False)
    return windows.reshape(-1, layer.size**2 * part.shape[3])


def _chunks(x: Array, layer: Conv, out: tuple[int, ...]) -> Iterator[slice]:
    per_image = out[0] * out[1] * layer.size**2 * (x.shape[3] // layer.groups) * x.itemsize
    step = max(1, _PATCH_BYTES // max(1, per_image))
    for start in range(0, len(x), step):
        yield slice(start, start + step)


def _groups(layer: Conv, channels: int) -> list[tuple[slice, slice]]:
    """Input channels and kernels of each group."""
    c, k = channels // layer.groups, layer.kernels // layer.groups
    return [(slice(g * c, (g + 1) * c), slice(g * k, (g + 1) * k)) for g in range(layer.groups)]


def _matrices(layer: Conv, channels: int, weight: Array, dtype: Any, on_weight: OnWeight | None) -> list[Array]:
    """Each group's weight as [size * size * C / groups, kernels / groups], in `dtype`."""
    cast = weight.astype(dtype, copy=False)
    if on_weight is not None:
        cast = on_weight(cast)
    flat = cast.reshape(-1, layer.kernels)
    return [np.ascontiguousarray(flat[:, kernels]) for _, kernels in _groups(layer, channels)]


def forward(layer: Conv, x: Array, weight: Array, bias: Array, on_weight: OnWeight | None = None) -> Array:
    """y [N, H', W', kernels]; `on_weight` is applied to the weight after its cast to x's dtype."""
    out = layer_facts(layer, x.shape[1:]).output_shape
    matrices = _matrices(layer, x.shape[3], weight, x.dtype, on_weight)
    y = np.empty((len(x), *out), x.dtype)
    for chunk in _chunks(x, layer, out):
        padded = pad(x[chunk], layer.padding, 0.0)
        for (channels, kernels), matrix in zip(_groups(layer, x.shape[3]), matrices, strict=True):
            found = _patches(padded, layer, out, channels) @ matrix
            y[chunk, :, :, kernels] = found.reshape(len(padded), out[0], out[1], -1)
    y += bias.astype(x.dtype, copy=False)
    return y


def vjp(
    layer: Conv, x: Array, weight: Array, dy: Array, on_weight: OnWeight | None = None, need_dx: bool = True
) -> Gradients:
    """Gradients of <dy, y>, dy [N, H', W', kernels]."""
    out = dy.shape[1:]
    matrices = _matrices(layer, x.shape[3], weight, x.dtype, on_weight)
    dmatrices = [np.zeros_like(matrix) for matrix in matrices]
    dx = np.empty(x.shape if need_dx else 0, x.dtype)
    for chunk in _chunks(x, layer, out):
        padded = pad(x[chunk], layer.padding, 0.0)
        dpadded = np.zeros_like(padded) if need_dx else padded
        for g, (channels, kernels) in enumerate(_groups(layer, x.shape[3])):
            dout = dy[chunk, :, :, kernels].reshape(-1, matrices[g].shape[1])
            dmatrices[g] += _patches(padded, layer, out, channels).T @ dout
            if need_dx:
                _scatter(layer, out, dout @ matrices[g].T, dpadded[..., channels])
        if need_dx:
            dx[chunk] = interior(dpadded, layer.padding)
    dweight = np.concatenate(dmatrices, axis=1).reshape(weight.shape)
    return Gradients(dx, dweight, dy.sum(axis=(0, 1, 2)))


def _scatter(layer: Conv, out: tuple[int, ...], dpatches: Array, dpadded: Array) -> None:
    """Add every patch's gradient to the pixels it was read from."""
    windows = dpatches.reshape(len(dpadded), out[0], out[1], layer.size**2, -1)
    for tap, (rows, columns) in enumerate(taps(layer, out)):
        dpadded[:, rows, columns] += windows[:, :, :, tap]
