"""Caffe's trained weights, .caffemodel, in both of its layer formats.

Convolutions are [out, in / groups, h, w] and dense layers [out, in], whose inputs were a map in the order C, H, W. The
images are BGR, 0..255, less their mean. Older files give every blob four sides: a dense layer is (1, 1, out, in).

Reference: BVLC/caffe, src/caffe/blob.cpp (FromProto), src/caffe/layers/{base_conv,inner_product}_layer.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.exchange.caffe_wire import Values, net_in
from harness.exchange.foreign import (
    MOST_ELEMENTS,
    MOST_LAYERS,
    MOST_SIDES,
    ForeignTensor,
    ForeignWeights,
    FormatError,
    Learned,
    Shape,
)
from harness.reading import caffe_network
from harness.reading.caffe_graph import kind_of, layer_messages, printable, shared_names
from harness.reading.caffe_schema import Message, blob_shape, parsed
from impls.reading import Reading

CONV, DENSE = "Convolution", "InnerProduct"


def read(path: Path) -> ForeignWeights:
    """The learned layers of a .caffemodel: sizes checked, values not yet read. Raises FormatError, CannotMeasure."""
    scan = net_in(path)
    net = parsed("NetParameter", scan.structure, repr(str(path)))
    try:
        learned = _learned(layer_messages(net), scan.layers)
    except FormatError as error:
        raise FormatError(f"{str(path)!r}: {error}") from None
    name = printable(net.name)
    reading, notes = _structure(net, name or path.stem, path)
    missing = [layer.name for layer in learned if layer.bias is None]
    if missing:
        notes = (*notes, f"without biases: {', '.join(missing[:5])}")
    return ForeignWeights(
        path=path, format="Caffe", layers=learned, flatten="chw", colours="bgr", inputs="caffe", reading=reading,
        hint=f'its net is called "{name}"' if name else "", notes=notes,
    )  # fmt: skip


def _structure(net: Message, name: str, path: Path) -> tuple[Reading | None, tuple[str, ...]]:
    """The network, where the file describes it: a file of blobs alone is of use too."""
    try:
        return caffe_network.of_message(net, name, path.name), ()
    except FormatError as error:
        return None, (f"what the file says of its network's structure is left out: {error}",)


def _learned(layers: Sequence[Message], values: Sequence[Sequence[Values]]) -> tuple[Learned, ...]:
    found: list[Learned] = []
    owners: dict[str, str] = {}  # parameters' names, by which layers share them
    names: set[str] = set()
    for layer, blobs in zip(layers, values, strict=True):
        name, kind = printable(layer.name), kind_of(layer)
        if kind not in (CONV, DENSE):
            if blobs:
                raise FormatError(
                    f"layer {name!r} of type {kind!r} has weights, which only convolutions and dense layers may"
                )
            continue
        if name in names:
            raise FormatError(f"it has two learned layers called {name!r}")
        names.add(name)
        _check_sharing(layer, name, owners)
        found.append(_layer(layer, name, kind, blobs))
        if len(found) > MOST_LAYERS:
            raise FormatError(f"it has over {MOST_LAYERS:,} learned layers")
    if not found:
        raise FormatError("it has no convolutions and no dense layers")
    total = sum(layer.weight.elements + (layer.bias.elements if layer.bias else 0) for layer in found)
    if total > MOST_ELEMENTS:
        raise FormatError(f"its tensors hold {total:,} numbers, at most {MOST_ELEMENTS:,} are read")
    return tuple(found)


def _check_sharing(layer: Message, name: str, owners: dict[str, str]) -> None:
    """Raises FormatError for a layer whose parameters are another's too."""
    for shared in shared_names(layer):
        if owners.setdefault(shared, name) != name:
            raise FormatError(f"layers {owners[shared]!r} and {name!r} share {shared!r}, which is not read")


def _layer(layer: Message, name: str, kind: str, values: Sequence[Values]) -> Learned:
    if not 1 <= len(values) <= 2:
        raise FormatError(f"layer {name!r} has {len(values)} blobs, expected its weights and biases")
    shapes = [blob_shape(blob) for blob in layer.blobs]
    weight = _weight_shape(name, kind, shapes[0])
    is_transposed = kind == DENSE and layer.inner_product_param.transpose
    axes = "oihw" if kind == CONV else "io" if is_transposed else "oi"
    outputs = weight[axes.index("o")]
    bias = None
    if len(values) == 2:
        sides = shapes[1][:MOST_SIDES]
        if not sides or min(sides) < 1 or max(sides) != outputs or math.prod(sides) != outputs:
            raise FormatError(f"layer {name!r} has {outputs} outputs and biases of shape {sides}")
        bias = _tensor(f"{name} blob 1", (outputs,), values[1])
    return Learned(name, _tensor(f"{name} blob 0", weight, values[0]), bias, axes)


def _weight_shape(name: str, kind: str, shape: Shape) -> Shape:
    """The sides that count: the older form of a dense layer's weights is (1, 1, out, in)."""
    wanted = 4 if kind == CONV else 2
    found = shape[2:] if kind == DENSE and len(shape) == 4 and shape[:2] == (1, 1) else shape
    if len(found) != wanted or min(found) < 1:
        expected = "[out, in / groups, h, w]" if kind == CONV else "[out, in]"
        raise FormatError(f"layer {name!r} has weights of shape {shape[:MOST_SIDES]}, expected {expected}")
    return found


def _tensor(name: str, shape: Shape, values: Values) -> ForeignTensor:
    """Raises FormatError where the shape is not that of the numbers in the file."""
    if math.prod(shape) != values.count:
        raise FormatError(f"{name!r} has shape {shape}, {math.prod(shape):,} numbers; the file holds {values.count:,}")

    def read_values() -> NDArray[np.generic]:
        return values.read().reshape(shape)

    return ForeignTensor(name, shape, np.dtype(values.dtype).name, read_values)
