"""A Keras model's configuration read into this project's vocabulary, without Keras. Standard library only.

Sequential and functional models as Keras 2 and 3 write them. A Lambda's code is in the configuration; it is not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from impls.keras_model.chain import CONVOLUTIONS, Chain, is_channels_first
from impls.keras_model.graph import Node, segments
from impls.reading import Foreign, Reading, numbered
from impls.spec import Layer

Flatten = Literal["chw", "hwc"]
MOVING = frozenset({"Permute", "Transpose", "Swapaxes", "Moveaxis", "Einsum"})  # layers that turn a map's axes
FINAL = frozenset({"Softmax", "LogSoftmax"})  # `Network` ends before it


def of_config(
    config: object, name: str, source: str, side: int | None = None, known: Mapping[str, Layer] | None = None
) -> Reading:
    """A model's `to_json()` as a reading.

    `side` is the input's where the model does not fix it; `known` has layers, by their names over there, that the
    configuration alone does not explain. Raises NotAModel.
    """
    found = segments(config)
    chain = Chain(found, side, known or {})
    height, width, channels = chain.shape
    for segment in found:
        chain.take(segment)
    chain.end()
    layers = chain.layers
    while layers and isinstance(layers[-1], Foreign) and layers[-1].kind in FINAL:
        layers.pop()
    return Reading(
        name=name,
        source=source,
        height=height,
        width=width,
        channels=channels,
        layers=numbered(layers),
        preprocessing=chain.preprocessing,
        silent=chain.silent(),
        biasless=tuple(chain.biasless),
        remarks=tuple(dict.fromkeys(chain.remarks)),
    )


def learned(config: object) -> tuple[tuple[Node, ...], Flatten | None]:
    """Convolutions and dense layers in order, and the order in which the first dense layer meets a map.

    None where the map's axes were turned on the way from the first convolution.

    Keras' Flatten of a channels-first map puts the channels last by itself when it is told of them, and a Reshape does
    not. Raises NotAModel.
    """
    nodes = [node for segment in segments(config) for node in segment]
    maps = [node for node in nodes if node.kind in CONVOLUTIONS]
    flat = next((node for node in nodes if node.kind in ("Flatten", "Reshape")), None)
    turned = flat is not None and flat.kind == "Flatten" and flat.config.get("data_format") == "channels_first"
    order: Flatten | None = "chw" if any(is_channels_first(node) for node in maps) and not turned else "hwc"
    kinds = [node.kind for node in nodes]
    first = next((place for place, kind in enumerate(kinds) if kind in CONVOLUTIONS), len(kinds))
    dense = kinds.index("Dense") if "Dense" in kinds else len(kinds)
    if any(kind in MOVING for kind in kinds[first:dense]):
        order = None
    return tuple(node for node in nodes if node.kind in CONVOLUTIONS or node.kind == "Dense"), order
