"""What single Keras layers say in their configurations. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from impls.keras_model.graph import NotAModel, text
from impls.spec import Conv, Init, MaxPool, Padding

Config = Mapping[str, Any]
Shape = tuple[int, ...]

LARGEST = 1 << 24  # of a side, a width, a number of units
# mean and standard deviation by channel: torchvision.transforms, "ImageNet"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Start(NamedTuple):
    """Initial weights; None where the description here has no word for them."""

    init: float | Init | None
    bias: float


def whole(config: Config, key: str, default: int | None = None, least: int = 1) -> int:
    """A whole number of the configuration. Raises NotAModel."""
    value = config.get(key, default)
    if type(value) is not int or not least <= value <= LARGEST:
        raise NotAModel(f"layer {text(config.get('name'))!r}: {key} is {brief(value)}, expected a whole number")
    return value


def pair(config: Config, key: str, default: Any = None) -> tuple[int, int]:
    """Two whole numbers of the configuration, or one that stands for both. Raises NotAModel."""
    value = config.get(key)
    value = default if value is None else value
    sides = [value, value] if type(value) is int else value
    if not isinstance(sides, list | tuple) or len(sides) != 2:
        raise NotAModel(f"layer {text(config.get('name'))!r}: {key} is {brief(value)}, expected two whole numbers")
    if not all(type(side) is int and 1 <= side <= LARGEST for side in sides):
        raise NotAModel(f"layer {text(config.get('name'))!r}: {key} is {brief(value)}, expected whole numbers from 1")
    return sides[0], sides[1]


def number(config: Config, key: str, default: float | None = None) -> float | None:
    """A finite number of the configuration, or None."""
    return finite(config.get(key, default))


def finite(value: object) -> float | None:
    """A value of JSON as a finite number; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e30 < value < 1e30:
        return None
    return float(value)


def brief(value: object) -> str:
    """A value in a few words, for a message or a table."""
    if isinstance(value, float | int | None):
        return f"{value}" if not isinstance(value, int) or abs(value) < 10**18 else "a very large number"
    if isinstance(value, str):
        return repr(text(value)[:60])
    if isinstance(value, list) and len(value) <= 4 and all(isinstance(inner, int | float) for inner in value):
        return "[" + ", ".join(map(brief, value)) + "]"
    return f"a {type(value).__name__}"


def activation(config: Config) -> str:
    """Name of the activation inside a layer; "linear" for none."""
    value = config.get("activation")
    if isinstance(value, dict):  # {"class_name": "function", "config": "relu"}, or an object with its own settings
        inner = value.get("config")
        # A layer as an activation has settings, which may make a ReLU another function.
        named = f"{text(value.get('class_name'))} layer" if isinstance(inner, dict) else inner
        value = value.get("registered_name") or (named if isinstance(named, str) else value.get("class_name"))
    if value is None:
        return "linear" if config.get("activation") is None else "function"  # code without a name, such as a lambda
    return text(value).lower() if isinstance(value, str) else "function"


def four_sided(config: Config) -> Padding:
    """ZeroPadding2D's padding: one number, two symmetric ones or two pairs. Raises NotAModel."""
    value = config.get("padding")
    if type(value) is int:
        value = [value, value]
    if isinstance(value, list | tuple) and len(value) == 2:
        rows, columns = ([side, side] if type(side) is int else side for side in value)
        return sided(rows, columns, text(config.get("name")))
    raise NotAModel(f"layer {text(config.get('name'))!r}: padding is {brief(value)}, expected pairs of whole numbers")


def sided(rows: object, columns: object, name: str) -> Padding:
    """Padding of two pairs from JSON. Raises NotAModel."""
    found = [*rows, *columns] if isinstance(rows, list | tuple) and isinstance(columns, list | tuple) else []
    if len(found) != 4 or not all(type(side) is int and 0 <= side <= LARGEST for side in found):
        raise NotAModel(f"layer {name!r}: padding is {brief(rows)}, {brief(columns)}, expected pairs of whole numbers")
    return Padding(*found)


def same(shape: Shape, size: int, stride: int) -> Padding:
    """What "same" adds for this input: an output of ceil(input / stride), the odd pixel at the bottom and right.

    References:
        tensorflow.org/api_docs/python/tf/nn, "Notes on padding"
    """
    sides = []
    for length in shape[:2]:
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        sides.append((total // 2, total - total // 2))
    return Padding(*sides[0], *sides[1])


def start(config: Config, fan_in: int) -> Start:
    """Initial weights and biases of a learned layer."""
    kind, own = _initializer(config.get("kernel_initializer"))
    bias = _bias(config)
    match kind:
        case "GlorotUniform" | "glorot_uniform" | "Xavier" if bias == 0:
            return Start(Init.GLOROT, 0.0)
        case "VarianceScaling" if _is_torch(own) and _is_torch_bias(config, fan_in):
            return Start(Init.TORCH, 0.0)
        case "RandomNormal" | "random_normal" if number(own, "mean", 0.0) == 0:
            deviation = number(own, "stddev", 0.05)
            return Start(deviation if bias is not None else None, bias or 0.0)
    return Start(None, 0.0)


def _initializer(value: object) -> tuple[str, Config]:
    if isinstance(value, dict):
        config = value.get("config")
        return text(value.get("class_name")), config if isinstance(config, dict) else {}
    return text(value) or "GlorotUniform", {}  # Keras' default


def _bias(config: Config) -> float | None:
    kind, own = _initializer(config.get("bias_initializer", "Zeros"))
    known = {"Zeros": 0.0, "zeros": 0.0, "Ones": 1.0, "ones": 1.0}
    return number(own, "value", 0.0) if kind in ("Constant", "constant") else known.get(kind)


def _is_torch(own: Config) -> bool:
    """U(-b, b) with b = 1 / sqrt(fan_in) has the variance 1 / (3 fan_in)."""
    scale = number(own, "scale")
    asked = (own.get("mode"), own.get("distribution"))
    return asked == ("fan_in", "uniform") and scale is not None and math.isclose(scale, 1 / 3, rel_tol=1e-6)


def _is_torch_bias(config: Config, fan_in: int) -> bool:
    kind, own = _initializer(config.get("bias_initializer"))
    low, high = number(own, "minval"), number(own, "maxval")
    if kind != "RandomUniform" or low is None or high is None:
        return False
    return math.isclose(high, fan_in**-0.5, rel_tol=1e-6) and math.isclose(low, -high, rel_tol=1e-6)


def padded(shape: Shape, padding: Padding) -> Shape:
    """A map's shape with its padding."""
    if len(shape) != 3:
        return shape
    return (shape[0] + padding.top + padding.bottom, shape[1] + padding.left + padding.right, shape[2])


def total(a: Padding, b: Padding) -> Padding:
    """One padding after the other."""
    return Padding(*(x + y for x, y in zip(a, b, strict=True)))


def slid(shape: Shape, layer: Conv | MaxPool, label: str) -> Shape:
    """Height and width after a window has passed. Raises NotAModel where it does not fit."""
    height, width, _ = padded(shape, layer.padding)
    if min(height, width) < layer.size:
        raise NotAModel(f"layer {label!r}: a window of {layer.size} does not fit a map of {height} x {width}")
    return (height - layer.size) // layer.stride + 1, (width - layer.size) // layer.stride + 1


def volume(shape: Shape) -> int:
    """Product of a shape's sides."""
    product = 1
    for side in shape:
        product *= side
    return product
