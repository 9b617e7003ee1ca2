"""The layers of a Keras model one after the other, each put into this project's words. Standard library only.

What Keras does in several layers may be one here: zeros before a convolution are its padding, a factor behind a dropout
is how that scales.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from impls.keras_model import layers as said
from impls.keras_model import norms as keras_norms
from impls.keras_model.foreign import foreign
from impls.keras_model.graph import Node, NotAModel, Segment
from impls.reading import Facet, Foreign, ReadLayer
from impls.spec import (
    LRN,
    Conv,
    Dense,
    Dropout,
    DropoutScaling,
    Layer,
    MaxPool,
    Padding,
    Preprocessing,
    ReLU,
    SpatialNorm,
    Tanh,
)

Shape = tuple[int, ...]

CONVOLUTIONS = frozenset({"Conv2D", "Convolution2D"})
NOISE = frozenset({"GaussianNoise", "GaussianDropout"})
IDENTITIES = NOISE | {"Identity", "ActivityRegularization", "InputLayer", "ConvertToTensor", "Cast"}
NO_PADDING = Padding()
MOST_CHARACTERS = 300


def is_channels_first(node: Node) -> bool:
    """Whether a layer takes [N, C, H, W]."""
    return bool(node.config.get("data_format") == "channels_first")


class Chain:
    """Follows the layers: the shape so far, and what stands before the next layer can be said."""

    def __init__(self, found: list[Segment], side: int | None, known: Mapping[str, Layer]) -> None:
        nodes = [node for segment in found for node in segment]
        self._channels_first = any(is_channels_first(node) for node in nodes if node.kind in CONVOLUTIONS)
        self.shape: Shape = self._input(nodes[0], side)
        self.layers: list[ReadLayer] = []
        self.remarks: list[str] = []
        self.biasless: list[str] = []
        self.preprocessing: Preprocessing | None = None
        self.init_is_said = True
        self._known = known
        self._flat = False
        self._unsure = False  # the shape after a foreign layer is a guess
        self._positive = False  # nothing below zero: a pool may then be padded with zeros
        self._zeros = self._infinities = NO_PADDING  # before the next layer
        self._previous = ""

    def _input(self, node: Node, side: int | None) -> Shape:
        values = [node.config.get(key) for key in ("batch_shape", "batch_input_shape")]
        value = next((value for value in values if isinstance(value, list)), None) or [None, *node.built]
        if len(value) != 4:
            raise NotAModel("the model does not say the size of its input, or that is not one of images [N, H, W, C]")
        height, width, channels = (value[2], value[3], value[1]) if self._channels_first else value[1:]
        sides = [side if length is None else length for length in (height, width)]
        if not all(type(length) is int and 0 < length <= said.LARGEST for length in (*sides, channels)):
            raise NotAModel(f"the model's input is {said.brief(value)}, expected sizes of images [N, H, W, C]")
        return (*sides, channels)

    def silent(self) -> frozenset[Facet]:
        """What the configuration does not say."""
        facets: dict[Facet, bool] = {"preprocessing": self.preprocessing is None, "init": not self.init_is_said}
        return frozenset(facet for facet, is_silent in facets.items() if is_silent)

    def take(self, segment: Segment) -> None:
        """The next layer, or a piece with branches."""
        node = segment[-1]
        self._believe(segment[0])
        if len(segment) > 1:
            norm = keras_norms.of_segment(segment, self._previous, self.shape)
            if norm is not None and not self._flat:
                self._add(replace(norm, name=node.label))
            else:
                self._branch(segment)
        elif node.repeated and (node.kind in CONVOLUTIONS or node.kind == "Dense"):
            self._foreign(node, "shares the weights of an earlier call")
        else:
            self._single(node)
        self._previous = node.name

    def _believe(self, node: Node) -> None:
        """The shape that the file gives, where the one so far is a guess."""
        given = next((ref.shape for ref in node.inputs() if ref.shape), ()) or node.built
        if not self._unsure or not given:
            return
        self.shape = (*given[1:], given[0]) if self._channels_first and len(given) == 3 else given
        self._flat = len(given) == 1
        self._unsure = False
        if self.layers and isinstance(last := self.layers[-1], Foreign) and not last.output_shape:
            self.layers[-1] = replace(last, output_shape=self.shape)

    def _branch(self, segment: Segment) -> None:
        kinds = ", ".join(dict.fromkeys(node.kind for node in segment))[:MOST_CHARACTERS]
        self._flush()
        self.layers.append(Foreign(name=segment[-1].label, kind="Branches", detail=f"{len(segment)} layers: {kinds}"))
        self._unsure, self._positive = True, False

    def _single(self, node: Node) -> None:
        handlers: dict[str, Callable[[Node], None]] = {
            "Dense": self._dense,
            "MaxPooling2D": self._pool,
            "MaxPool2D": self._pool,
            "ZeroPadding2D": self._zero_padding,
            "Pad": self._pad,
            "Flatten": self._flatten,
            "Reshape": self._reshape,
            "Dropout": self._dropout,
            "Rescaling": self._rescaling,
            "Normalization": self._normalization,
            "ReLU": self._relu,
            "Relu": self._relu,
            "Activation": lambda node: self._activation(node, said.activation(node.config)),
            "Tanh": lambda node: self._activation(node, "tanh"),
            "Softmax": lambda node: self._activation(node, "softmax"),
            "LogSoftmax": lambda node: self._activation(node, "log_softmax"),
            **dict.fromkeys(CONVOLUTIONS, self._conv),
        }
        if node.label in self._known:
            self._add(replace(self._known[node.label], name=node.label))
        elif node.kind in handlers:
            handlers[node.kind](node)
        elif node.kind in IDENTITIES:
            if self.layers and isinstance(last := self.layers[-1], LRN | SpatialNorm):
                self.layers[-1] = replace(last, name=node.label)  # what our own exports call a composed one
            if node.kind in NOISE:
                self.remarks.append(f"{node.label}: {node.kind} acts in training only and is left out")
        else:
            self._foreign(node)

    def _add(self, layer: Layer) -> None:
        self._flush()
        self.layers.append(layer)
        self._positive = isinstance(layer, ReLU) or (self._positive and not isinstance(layer, Tanh | Conv | Dense))

    def _flush(self) -> None:
        """Padding that no layer has taken over stands for itself."""
        for padding, value in ((self._zeros, "0"), (self._infinities, "minus infinity")):
            if any(padding):
                self.shape = said.padded(self.shape, padding)
                sides = ", ".join(f"{side} {length}" for side, length in padding._asdict().items())
                self.layers.append(
                    Foreign(name="padding", kind="ZeroPadding2D", detail=f"{value}: {sides}", output_shape=self.shape)
                )
        self._zeros = self._infinities = NO_PADDING

    def end(self) -> None:
        """Nothing follows."""
        self._flush()

    def _foreign(self, node: Node, detail: str = "") -> None:
        self._flush()
        found = foreign(node, self.shape, detail)
        self.layers.append(found)
        self.shape, self._unsure = found.output_shape or self.shape, not found.output_shape
        self._flat = len(self.shape) == 1
        self._positive = False
        inner = said.activation(node.config)
        if node.kind != "Activation" and inner != "linear":
            self._activation(node, inner)

    def _conv(self, node: Node) -> None:
        config = node.config
        size, stride = said.pair(config, "kernel_size"), said.pair(config, "strides", 1)
        how, groups = config.get("padding", "valid"), said.whole(config, "groups", 1)
        plain = said.pair(config, "dilation_rate", 1) == (1, 1) and size[0] == size[1] and stride[0] == stride[1]
        kernels, channels = said.whole(config, "filters"), self.shape[-1]
        if not plain or self._flat or len(self.shape) != 3 or how not in ("valid", "same") or channels % groups:
            return self._foreign(node)
        padding = self._zeros
        shape = said.padded(self.shape, padding)
        if how == "same":
            padding = said.total(padding, said.same(shape, size[0], stride[0]))
        self._zeros = NO_PADDING
        start = self._start(node, size[0] * size[0] * channels // groups)
        layer = Conv(
            name=node.label, kernels=kernels, size=size[0], stride=stride[0], padding=padding, groups=groups,
            init=start.init or 0.0, init_bias=start.bias,
        )  # fmt: skip
        self._add(layer)
        self.shape = (*said.slid(self.shape, layer, node.label), kernels)
        self._activation(node, said.activation(config))
        return None

    def _start(self, node: Node, fan_in: int) -> said.Start:
        if node.config.get("use_bias") is False:
            self.biasless.append(node.label)
        found = said.start(node.config, fan_in)
        if found.init is None:
            self.init_is_said = False
            self.remarks.append(f"{node.label}: its initial weights or biases have no name here")
        return found

    def _dense(self, node: Node) -> None:
        units = said.whole(node.config, "units")
        if len(self.shape) == 3 and not self._flat:
            return self._foreign(node, "on every pixel by itself: no Flatten before it")
        start = self._start(node, said.volume(self.shape))
        self._add(Dense(name=node.label, units=units, init=start.init or 0.0, init_bias=start.bias))
        self.shape, self._flat = (units,), True
        self._activation(node, said.activation(node.config))
        return None

    def _pool(self, node: Node) -> None:
        size = said.pair(node.config, "pool_size", 2)
        stride = said.pair(node.config, "strides", size)
        how = node.config.get("padding", "valid")
        plain = size[0] == size[1] and stride[0] == stride[1] and how in ("valid", "same")
        if not plain or self._flat or len(self.shape) != 3:
            return self._foreign(node)
        padding, self._infinities = self._infinities, NO_PADDING
        if any(self._zeros) and self._positive and max(self._zeros) < size[0]:
            padding, self._zeros = said.total(padding, self._zeros), NO_PADDING
            self.remarks.append(f"{node.label} is padded with zeros, which are no larger than anything before it")
        if how == "same":
            padding = said.total(padding, said.same(said.padded(self.shape, padding), size[0], stride[0]))
        layer = MaxPool(name=node.label, size=size[0], stride=stride[0], padding=padding)
        self._add(layer)
        self.shape = (*said.slid(self.shape, layer, node.label), self.shape[2])
        return None

    def _zero_padding(self, node: Node) -> None:
        if len(self.shape) != 3 or self._flat:
            return self._foreign(node)
        if any(self._infinities):
            self._flush()
        self._zeros = said.total(self._zeros, said.four_sided(node.config))
        return None

    def _pad(self, node: Node) -> None:
        """`keras.ops.pad` of a map, with zeros or with minus infinity."""
        pads, value = node.config.get("pad_width"), node.named.get("constant_values")
        wanted = [[0, 0], None, None, [0, 0]]
        constant = node.config.get("mode", "constant") == "constant" and not self._channels_first
        if not constant or not isinstance(pads, list) or len(pads) != 4 or [pads[0], pads[3]] != wanted[::3]:
            return self._foreign(node)
        padding = said.sided(pads[1], pads[2], node.label)
        if len(self.shape) != 3 or self._flat or value not in (None, 0, float("-inf")):
            return self._foreign(node)
        if value == float("-inf"):
            if any(self._zeros):
                self._flush()
            self._infinities = said.total(self._infinities, padding)
        else:
            self._zeros = said.total(self._zeros, padding)
        return None

    def _flatten(self, node: Node) -> None:
        self._flush()
        self._flat = True

    def _reshape(self, node: Node) -> None:
        """Layer and operation: to a row of features it is a Flatten."""
        layer, operation = node.config.get("target_shape"), node.config.get("newshape")
        row = layer if isinstance(layer, list) else operation[1:] if isinstance(operation, list) else None
        if row in ([-1], [said.volume(self.shape)]):
            self._flatten(node)
        elif row != list(self.shape) or self._flat:
            self._foreign(node)

    def _dropout(self, node: Node) -> None:
        rate = said.number(node.config, "rate")
        if rate is None or not 0 <= rate < 1 or node.config.get("noise_shape") is not None:
            return self._foreign(node)
        if rate == 0:
            self.remarks.append(f"{node.label} drops nothing: its rate is 0")
        else:
            self._add(Dropout(name=node.label, rate=rate, scaling=DropoutScaling.IN_TRAINING))
        return None

    def _rescaling(self, node: Node) -> None:
        scale, offset = said.number(node.config, "scale"), said.number(node.config, "offset", 0.0)
        last = self.layers[-1] if self.layers else None
        if scale is not None and offset == 0:
            if not self.layers and self.preprocessing is None and abs(scale * 255 - 1) < 1e-6:
                self.preprocessing = "unit-scale"
                return None
            if isinstance(last, Dropout) and last.scaling is DropoutScaling.IN_TRAINING and _is_rest(scale, last.rate):
                self.layers[-1] = replace(last, name=node.label, scaling=DropoutScaling.AT_TEST)
                return None
        return self._foreign(node)

    def _normalization(self, node: Node) -> None:
        """ImageNet's mean and deviation after a division by 255 are torchvision's way with pixels."""
        found = [_numbers(node.config.get(key)) for key in ("mean", "variance")]
        wanted = [said.IMAGENET[0], tuple(value**2 for value in said.IMAGENET[1])]
        close = [
            len(a) == 3 and all(abs(x - y) < 1e-3 * y for x, y in zip(a, b, strict=True))
            for a, b in zip(found, wanted, strict=True)
        ]
        if not self.layers and self.preprocessing == "unit-scale" and all(close):
            self.preprocessing = "mean-and-std"
        else:
            self._foreign(node)

    def _relu(self, node: Node) -> None:
        config = node.config
        plain = all(config.get(key) in (None, 0) for key in ("max_value", "negative_slope", "threshold"))
        if plain:
            self._add(ReLU(name=node.label))
        else:
            self._foreign(node)

    def _activation(self, node: Node, kind: str) -> None:
        match kind:
            case "linear":
                pass
            case "relu":
                self._add(ReLU(name=node.label))
            case "tanh":
                self._add(Tanh(name=node.label))
            case _:
                self._flush()
                names = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}
                found = Foreign(name=node.label, kind=names.get(kind, kind or "activation"), output_shape=self.shape)
                self.layers.append(found)
                self._positive = False


def _is_rest(scale: float, rate: float) -> bool:
    return abs(scale - (1 - rate)) < 1e-6


def _numbers(value: Any) -> tuple[float, ...]:
    """Numbers out of nested lists of one entry, as Normalization writes its mean."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    found = [said.finite(inner) for inner in value] if isinstance(value, list) and len(value) == 3 else []
    return tuple(number for number in found if number is not None)
