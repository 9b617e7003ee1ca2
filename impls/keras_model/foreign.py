"""Keras layers that `impls.spec` has no class for: their settings in a few words, their parameters, their outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from impls.keras_model import layers as said
from impls.keras_model.graph import Node, NotAModel
from impls.reading import Foreign

Shape = tuple[int, ...]

# What is worth telling of a layer, where it has it.
SETTINGS = (
    "filters", "units", "kernel_size", "pool_size", "strides", "padding", "dilation_rate", "groups",
    "depth_multiplier", "rate", "axis", "epsilon", "momentum", "alpha", "negative_slope", "max_value", "threshold",
    "scale", "offset", "target_shape", "newshape",
)  # fmt: skip
SAME_SHAPE = frozenset({
    "BatchNormalization", "LayerNormalization", "GroupNormalization", "UnitNormalization", "RMSNormalization",
    "LeakyReLU", "PReLU", "ELU", "ReLU", "Relu", "Relu6", "Gelu", "Silu", "Sigmoid", "Activation", "SpatialDropout2D",
    "AlphaDropout", "Rescaling", "Normalization", "Dropout",
})  # fmt: skip
WINDOWED = frozenset(
    {"Conv2D", "Convolution2D", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D", "AveragePooling2D"}
)
GLOBAL = frozenset({"GlobalAveragePooling2D", "GlobalMaxPooling2D"})


def foreign(node: Node, shape: Shape, detail: str = "") -> Foreign:
    """The layer on an input of `shape`, (H, W, C) or (features,). Its output is empty where it cannot be told."""
    told = [f"{key} {said.brief(node.config[key])}" for key in SETTINGS if node.config.get(key) not in (None, "linear")]
    if node.kind == "Lambda":
        told = ["a function inside the file, which is not run"]
    return Foreign(
        name=node.label,
        kind=node.kind,
        detail="; ".join([*([detail] if detail else []), *told]),
        parameters=_parameters(node, shape),
        output_shape=_output(node, shape),
    )


def _output(node: Node, shape: Shape) -> Shape:
    if node.kind in SAME_SHAPE:
        return shape
    if node.kind == "Dense":
        return (*shape[:-1], said.whole(node.config, "units"))
    if len(shape) != 3:
        return ()
    if node.kind in GLOBAL:
        return shape[2:] if not node.config.get("keepdims") else (1, 1, shape[2])
    if node.kind in WINDOWED:
        return _windowed(node.config, node.kind, shape)
    return ()


def _windowed(config: Mapping[str, Any], kind: str, shape: Shape) -> Shape:
    pools = "Pooling" in kind
    size = said.pair(config, "pool_size", 2) if pools else said.pair(config, "kernel_size")
    stride = said.pair(config, "strides", size if pools else 1)
    dilation = said.pair(config, "dilation_rate", 1)
    sides = []
    for length, window, step, apart in zip(shape[:2], size, stride, dilation, strict=True):
        reach = (window - 1) * apart + 1
        valid = config.get("padding", "valid") == "valid"
        if valid and length < reach:
            raise NotAModel(f"layer {said.brief(config.get('name'))}: a window of {reach} does not fit {length}")
        sides.append((length - reach) // step + 1 if valid else -(-length // step))
    channels = shape[2]
    if kind == "DepthwiseConv2D":
        channels *= said.whole(config, "depth_multiplier", 1)
    elif not pools:
        channels = said.whole(config, "filters")
    return (*sides, channels)


def _parameters(node: Node, shape: Shape) -> int:
    """Weights and biases that training changes."""
    config, channels = node.config, shape[-1]
    biased = 0 if config.get("use_bias") is False else 1
    match node.kind:
        case "Conv2D" | "Convolution2D":
            height, width = said.pair(config, "kernel_size")
            per_kernel = height * width * channels // said.whole(config, "groups", 1)
            return said.whole(config, "filters") * (per_kernel + biased)
        case "DepthwiseConv2D":
            height, width = said.pair(config, "kernel_size")
            return channels * said.whole(config, "depth_multiplier", 1) * (height * width + biased)
        case "SeparableConv2D":
            height, width = said.pair(config, "kernel_size")
            deep = channels * said.whole(config, "depth_multiplier", 1)
            return deep * height * width + said.whole(config, "filters") * (deep + biased)
        case "Dense":
            return said.whole(config, "units") * (channels + biased)
        case "BatchNormalization" | "LayerNormalization" | "GroupNormalization":
            return channels * sum(config.get(key) is not False for key in ("center", "scale"))
        case "PReLU":
            product = 1
            shared = config.get("shared_axes")
            axes = shared if isinstance(shared, list) else []
            for axis, side in enumerate(shape, start=1):
                product *= 1 if axis in axes else side
            return product
    return 0
