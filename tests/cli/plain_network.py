"""A network somebody wrote for `--impl`: plain NumPy from the layers' own settings, nothing of ours but these.

The tests add a line or two at the end to make it wrong: `WRONG` replaces the step of one layer, `KEEP` leaves out what
is not named. Written apart from `impls.oracle`, so that the two agreeing says something.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

WRONG = {}  # layer name -> function (layer, x, weights) -> y
KEEP = None  # names of the layers to return; None for all


def padded(x, layer, fill):
    top, bottom, left, right = layer.padding
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)


def windows(x, size, stride):
    """[N, H, W, C] -> [N, h, w, C, size, size]."""
    return sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]


def conv(layer, x, weights):
    kernels, bias = weights[f"{layer.name}/weight"], weights[f"{layer.name}/bias"]
    parts = []
    for inputs, kernel in zip(
        np.split(padded(x, layer, 0), layer.groups, axis=3), np.split(kernels, layer.groups, axis=3), strict=True
    ):
        columns = windows(inputs, layer.size, layer.stride)
        rows = np.ascontiguousarray(columns.transpose(0, 1, 2, 4, 5, 3)).reshape(*columns.shape[:3], -1)
        parts.append(rows @ kernel.reshape(-1, kernel.shape[3]))
    return np.concatenate(parts, axis=3) + bias


def dense(layer, x, weights):
    return x.reshape(len(x), -1) @ weights[f"{layer.name}/weight"] + weights[f"{layer.name}/bias"]


def relu(layer, x, weights):
    return np.maximum(x, 0)


def max_pool(layer, x, weights):
    return windows(padded(x, layer, -np.inf), layer.size, layer.stride).max(axis=(4, 5))


def lrn(layer, x, weights, alpha_over=1):
    total = np.zeros_like(x)
    reach = layer.size // 2
    for part, squares in zip(np.split(total, layer.groups, axis=3), np.split(x * x, layer.groups, axis=3), strict=True):
        channels = part.shape[3]
        for channel in range(channels):
            part[..., channel] = squares[..., max(0, channel - reach) : channel + reach + 1].sum(axis=3)
    return x * (np.float32(layer.k) + np.float32(layer.alpha / alpha_over) * total) ** np.float32(-layer.beta)


def spatial_norm(layer, x, weights, alpha_over=1):
    reach = layer.size // 2
    squares = np.pad(x * x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    total = windows(squares, layer.size, 1).sum(axis=(4, 5))
    return x * (np.float32(layer.k) + np.float32(layer.alpha / alpha_over) * total) ** np.float32(-layer.beta)


def dropout(layer, x, weights):
    return x * np.float32(1 - layer.rate) if layer.scaling == "at-test" else x


STEPS = {
    "Conv": conv,
    "Dense": dense,
    "ReLU": relu,
    "Tanh": lambda layer, x, weights: np.tanh(x),
    "MaxPool": max_pool,
    "LRN": lrn,
    "SpatialNorm": spatial_norm,
    "Dropout": dropout,
}


def build(network, weights):
    def activations(images):  # noqa: ANN202  as its author would write it
        x, found = images.astype(np.float32), {}
        for layer in network.layers:
            step = WRONG.get(layer.name) or STEPS[type(layer).__name__]
            found[layer.name] = x = step(layer, x, weights)
        return {name: value for name, value in found.items() if KEEP is None or name in KEEP}

    return activations
