"""Somebody's Keras model, given as Python, read into this project's vocabulary.

The model's own `to_json` says nearly everything (`impls.keras_model.config`). What it holds as code, a Lambda or a
layer of somebody's own, is traced into a TensorFlow graph; where that graph is one LRN operation and nothing else, its
attributes are the layer.

References:
    keras.io/api/models; tensorflow.org/api_docs/python/tf/raw_ops/LRN
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from impls import registry
from impls.keras_model import config as keras_config
from impls.keras_model.graph import NotAModel
from impls.reading import Reading
from impls.spec import LRN

SIDE = 224  # of the images, where a model takes any
KNOWN_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "linear": lambda x: x,
}
PASSING_ON = frozenset({"Identity", "NoOp", "Placeholder", "Const"})


def read(target: str, side: int | None = None) -> Reading:
    """The model behind "./file.py:name": a model, a class of models, or a function that returns one.

    `side` is the input's where the model does not fix it. Raises NotLoadable; what the file itself raises passes on.
    """
    file, _, name = target.rpartition(":")
    model = _fixed(_model(registry.load(target), target), side or SIDE, target)
    try:
        return keras_config.of_config(
            _named(json.loads(model.to_json()), model),
            name,
            f"{name} of {Path(file).name}",
            side or SIDE,
            dict(_traced(model)),
        )
    except NotAModel as error:
        raise registry.NotLoadable(f"{target}: {error}") from None


def _model(found: Any, target: str) -> keras.Model:
    if not isinstance(found, keras.Model) and callable(found):
        try:
            found = found()
        except TypeError as error:
            raise registry.NotLoadable(
                f"{target} cannot be called without arguments ({error}): name a function that needs none"
            ) from error
    if not isinstance(found, keras.Model):
        raise registry.NotLoadable(
            f"{target} gives the type {type(found).__name__}, expected a Keras model or what returns one"
        )
    return found


def _fixed(model: keras.Model, side: int, target: str) -> keras.Model:
    """A Sequential with an input, or a model whose layers are connected by a `call` as a functional one."""
    if isinstance(model, keras.Sequential):
        if not model.built:
            model.build((None, *_image(side)))
        return model
    if any(base.__name__ == "Functional" and base.__module__.startswith("keras.") for base in type(model).__mro__):
        return model  # Keras 3 has no public name for that class
    images = keras.Input(_image(side), name="images")
    try:
        logits = model.call(images)
        return keras.Model(images, logits, name=model.name)
    except Exception as error:
        said = str(error).strip().splitlines()[:1]
        raise registry.NotLoadable(
            f"{target}: its call cannot be followed with symbolic images ({' '.join(said)[:200]}): give a Sequential or"
            " functional model, TensorFlow's own operations inside Lambda layers"
        ) from error


def _image(side: int) -> tuple[int, int, int]:
    first = keras.config.image_data_format() == "channels_first"
    return (3, side, side) if first else (side, side, 3)


def _traced(model: keras.Model) -> Iterator[tuple[str, LRN]]:
    """Layers that hold code and turn out to be a local response normalisation, by name."""
    for layer in _layers(model):
        own = not type(layer).__module__.startswith(("keras.", "tensorflow."))
        if (own or isinstance(layer, keras.layers.Lambda)) and (found := _lrn(layer)) is not None:
            yield layer.name, found


def _named(config: dict[str, Any], model: keras.Model) -> dict[str, Any]:
    """A model's JSON, each layer of a Sequential with its name, and every activation as what it computes.

    A layer class without a `get_config` of its own, given no name, has none in there; a Sequential adds none.
    """
    entries = [each for each in config["config"].get("layers", ()) if each["class_name"] != "InputLayer"]
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    by_name = {layer.name: layer for layer in layers}
    in_order = layers if isinstance(model, keras.Sequential) and len(layers) == len(entries) else [None] * len(entries)
    for entry, here in zip(entries, in_order, strict=True):
        layer = here or by_name.get(entry.get("name"))
        if layer is None or not isinstance(entry["config"], dict):
            continue
        entry["config"].setdefault("name", layer.name)
        _say_activation(entry["config"], getattr(layer, "activation", None))
        if isinstance(layer, keras.Model):
            _named(entry, layer)
    return config


def _say_activation(config: dict[str, Any], function: Any) -> None:
    """A layer's activation by what it computes: the JSON has a function's name, and nothing of a lambda."""
    if not callable(function) or "activation" not in config:
        return
    x = np.linspace(-9, 9, 37, dtype=np.float32)[None]
    try:
        y = np.asarray(function(tf.constant(x)))
    except Exception:
        return  # somebody's code: whatever it raises, it stays what it is called
    said = next((name for name, wanted in KNOWN_ACTIVATIONS.items() if np.allclose(y, wanted(x), 1e-5, 1e-6)), None)
    if said is not None:
        config["activation"] = said
    elif isinstance(config["activation"], str) and config["activation"] in KNOWN_ACTIVATIONS:
        config["activation"] = f"{config['activation']} of the file"  # of that name, and another function


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _lrn(layer: keras.layers.Layer) -> LRN | None:
    """The layer as an LRN, by tracing it alone; None where it is anything else, or cannot be traced."""
    try:
        shape = (1, *layer.input.shape[1:])
        graph = tf.function(lambda x: layer(x, training=False) if _takes_training(layer) else layer(x))
        traced = graph.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    except Exception:
        return None  # its code is somebody's: whatever it raises, the layer stays what it is called
    output = traced.outputs[0] if len(traced.outputs) == 1 else None
    while output is not None and output.op.type == "Identity":
        output = output.op.inputs[0]
    work = [operation for operation in traced.graph.get_operations() if operation.type not in PASSING_ON]
    if output is None or len(work) != 1 or output.op is not work[0] or work[0].type != "LRN":
        return None
    operation = work[0]
    return LRN(
        name=layer.name,
        size=2 * operation.get_attr("depth_radius") + 1,
        alpha=_decimal(operation.get_attr("alpha")),
        beta=_decimal(operation.get_attr("beta")),
        k=_decimal(operation.get_attr("bias")),
    )


def _takes_training(layer: keras.layers.Layer) -> bool:
    return bool(getattr(layer, "_call_has_training_arg", False))


def _decimal(value: float) -> float:
    """The graph keeps float32; 1e-4 was meant where that is the shortest number that rounds to it."""
    return float(str(np.float32(value)))
