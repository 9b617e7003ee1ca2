"""A network as a Keras model of built-in layers and `keras.ops`, and its weights in a file that Keras loads by itself.

The model ends with the logits. Its layers are named as the network's; what Keras has no layer for (response
normalisation) is composed of operations that a saved model keeps, so that no code of ours is needed to load it.

References:
    keras.io/api/models/model_saving_apis; keras.io/api/ops
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from keras import initializers, layers, ops
from numpy.typing import NDArray

from impls import derive
from impls.protocol import Unsupported
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Init, Layer, MaxPool, Network, ReLU, SpatialNorm, Tanh

MEMBER = "alexbench.json"  # beside Keras' own members of a .keras file
WEIGHTS_ONLY = ".weights.h5"


def write(network: Network, weights: Mapping[str, NDArray[np.float32]], path: str, metadata: Mapping[str, str]) -> None:
    """A `.keras` file, or by its suffix a `.weights.h5`, which appears under its name only when it is whole.

    Raises Unsupported where Keras cannot hold the network.
    """
    made = model(network)
    for layer in network.layers:
        if isinstance(layer, Conv | Dense):
            made.get_layer(layer.name).set_weights([weights[f"{layer.name}/weight"], weights[f"{layer.name}/bias"]])
    target = Path(path)
    suffix = WEIGHTS_ONLY if target.name.endswith(WEIGHTS_ONLY) else ".keras"
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial{suffix}")
    try:
        if suffix == WEIGHTS_ONLY:
            made.save_weights(temporary)
        else:
            made.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(MEMBER, metadata.get("alexbench", json.dumps({"network": network.name})))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def model(network: Network) -> keras.Model:
    """The network as an untrained functional model: [N, H, W, C] float32 -> logits [N, classes]."""
    images = keras.Input((network.height, network.width, network.channels), name="images")
    x = images
    for row in derive.facts(network):
        x = _applied(row.layer, x, row)
    return keras.Model(images, x, name="".join(c if c.isalnum() else "_" for c in network.name))


def _applied(layer: Layer, x: keras.KerasTensor, row: derive.LayerFacts) -> keras.KerasTensor:
    match layer:
        case Conv():
            return _conv(layer, x, row)
        case Dense():
            x = layers.Flatten(name=f"{layer.name}_inputs")(x) if len(x.shape) == 4 else x
            return layers.Dense(layer.units, **_start(layer, row), name=layer.name)(x)
        case ReLU():
            return layers.ReLU(name=layer.name)(x)
        case Tanh():
            return layers.Activation("tanh", name=layer.name)(x)
        case LRN():
            return layers.Identity(name=layer.name)(_lrn(layer, x))
        case SpatialNorm():
            return layers.Identity(name=layer.name)(_spatial_norm(layer, x))
        case MaxPool():
            return _max_pool(layer, x)
        case Dropout():
            return _dropout(layer, x)
    raise Unsupported(f"Keras export has no form of {type(layer).__name__}")


def _conv(layer: Conv, x: keras.KerasTensor, row: derive.LayerFacts) -> keras.KerasTensor:
    pad = layer.padding
    if any(pad):
        x = layers.ZeroPadding2D(((pad.top, pad.bottom), (pad.left, pad.right)), name=f"{layer.name}_padding")(x)
    made = layers.Conv2D(
        layer.kernels, layer.size, layer.stride, "valid", groups=layer.groups, **_start(layer, row), name=layer.name
    )
    return made(x)


def _start(layer: Conv | Dense, row: derive.LayerFacts) -> dict[str, object]:
    """Initial weights and biases, which a training that starts anew draws from."""
    if layer.init is Init.GLOROT:
        return {"kernel_initializer": "glorot_uniform", "bias_initializer": "zeros"}
    if layer.init is Init.TORCH:
        bound = 1 / math.sqrt(derive.volume(row.parameters[f"{layer.name}/weight"][:-1]))
        # U(-b, b) with b = 1 / sqrt(fan_in): a variance of 1 / (3 fan_in)
        kernel = initializers.VarianceScaling(scale=1 / 3, mode="fan_in", distribution="uniform")
        return {"kernel_initializer": kernel, "bias_initializer": initializers.RandomUniform(-bound, bound)}
    return {
        "kernel_initializer": initializers.RandomNormal(0.0, float(layer.init)),
        "bias_initializer": initializers.Constant(layer.init_bias),
    }


def _max_pool(layer: MaxPool, x: keras.KerasTensor) -> keras.KerasTensor:
    pad = layer.padding
    if any(pad):
        x = ops.pad(x, ((0, 0), (pad.top, pad.bottom), (pad.left, pad.right), (0, 0)), constant_values=-math.inf)
    return layers.MaxPooling2D(layer.size, layer.stride, "valid", name=layer.name)(x)


def _dropout(layer: Dropout, x: keras.KerasTensor) -> keras.KerasTensor:
    """Keras scales in training; times (1 - rate) always gives plain masks there and the paper's factor at test time."""
    if layer.scaling is DropoutScaling.IN_TRAINING:
        return layers.Dropout(layer.rate, name=layer.name)(x)
    return layers.Rescaling(1 - layer.rate, name=layer.name)(layers.Dropout(layer.rate, name=f"{layer.name}_masks")(x))


def _lrn(layer: LRN, x: keras.KerasTensor) -> keras.KerasTensor:
    """Squares of one group's channels in a row, and their sums over windows as averages times the window."""
    _, height, width, channels = x.shape
    half, rows = layer.size // 2, height * width * layer.groups
    squares = ops.reshape(ops.square(x), (-1, rows, channels // layer.groups, 1))
    padded = ops.pad(squares, ((0, 0), (0, 0), (half, half), (0, 0)))
    total = ops.average_pool(padded, (1, layer.size), strides=1, padding="valid", data_format="channels_last")
    scaled = ops.multiply(ops.multiply(total, float(layer.size)), layer.alpha)
    return _divided(x, ops.reshape(scaled, (-1, height, width, channels)), layer)


def _spatial_norm(layer: SpatialNorm, x: keras.KerasTensor) -> keras.KerasTensor:
    half = layer.size // 2
    padded = ops.pad(ops.square(x), ((0, 0), (half, half), (half, half), (0, 0)))
    window = (layer.size, layer.size)
    total = ops.average_pool(padded, window, strides=1, padding="valid", data_format="channels_last")
    return _divided(x, ops.multiply(ops.multiply(total, float(layer.size**2)), layer.alpha), layer)


def _divided(x: keras.KerasTensor, scaled: keras.KerasTensor, layer: LRN | SpatialNorm) -> keras.KerasTensor:
    return ops.divide(x, ops.power(ops.add(scaled, layer.k), layer.beta))
