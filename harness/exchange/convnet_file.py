"""Checkpoints of cuda-convnet and cuda-convnet2; two towers become the grouped layers of one network.

Layers at one depth are one layer here: outputs of the first, then of the next, as the configuration has them. Where
each sees a part of the layer before, they are its groups; where each sees all of it, the rows of their matrices are
put in the order of that layer's outputs, whatever the order of their inputs. A dense layer's rows then are in the order
channel, y, x over all channels, as they would be in one tower.

Reference: github.com/computerhistory/AlexNet-Source-Code, layers/layers-145.cfg (conv3a, fc2048bb), util.py's pickle of
github.com/dnouri/cuda-convnet (--zip-save: a zip archive with the member "data").
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.exchange.convnet_layers import ConvnetLayer, learned_layers
from harness.exchange.file_bytes import file_size, map_bytes
from harness.exchange.foreign import ForeignTensor, ForeignWeights, FormatError, Learned
from harness.exchange.pairing import check_sizes
from harness.exchange.pickles import BadPickle, Name, PickledArray, load
from harness.exchange.zip_members import Archive

ZIP = b"PK\x03\x04"
ZIPPED = "data"
MOST_UNPACKED = 16  # times the size of a zipped checkpoint: half of it may be zeros, and weights hardly shrink
OPTIONS = frozenset({"options", "python_util.options"})  # modules whose objects are in the entry "op"
FLOATS = frozenset({"float16", "float32", "float64"})


class _Part(NamedTuple):
    """Channels of one input of a layer that are channels of the layer before, from `offset` on."""

    offset: int
    channels: int
    place: int  # of the input
    start: int  # channel of the input


class _Stage(NamedTuple):
    """Layers of one depth, and where each one's outputs begin among all of theirs."""

    layers: tuple[ConvnetLayer, ...]
    offsets: dict[str, int]
    outputs: int


def read(path: Path) -> ForeignWeights:
    """The learned layers of a checkpoint. Raises FormatError."""
    try:
        found, _ = load(_data(path), "checkpoint", inert=_is_option)
        stages = _stages(path, learned_layers(path, found))
        layers = tuple(
            _merged(path, stage, stages[index - 1] if index else None) for index, stage in enumerate(stages)
        )  # fmt: skip
    except BadPickle as error:
        raise FormatError(f"{str(path)!r}: {error}") from None
    check_sizes(path, [tensor for layer in layers for tensor in (layer.weight, layer.bias) if tensor is not None])
    return ForeignWeights(
        path=path,
        format="cuda-convnet",
        layers=layers,
        flatten="chw",
        inputs="convnet",
        hint="it is a checkpoint of cuda-convnet, as those of original-2012 are",
        notes=_notes(stages),
    )


def _data(path: Path) -> memoryview:
    size = file_size(path)
    data = map_bytes(path, 0, size)
    if bytes(data[:4]) != ZIP:
        return data.data
    with Archive(path) as archive:
        return memoryview(archive.read(ZIPPED, MOST_UNPACKED * size))


def _is_option(name: Name) -> bool:
    return name.module in OPTIONS


def _stages(path: Path, layers: Sequence[ConvnetLayer]) -> list[_Stage]:
    stages = []
    for depth in range(1, max(layer.depth for layer in layers) + 1):
        found = tuple(layer for layer in layers if layer.depth == depth)
        if len({(layer.is_conv, layer.sizes[:1], layer.groups) for layer in found}) != 1:
            names = ", ".join(layer.name[:40] for layer in found)[:400]
            raise FormatError(f"{str(path)!r}: {names} are side by side and not alike: no network here has such layers")
        offsets, total = {}, 0
        for layer in found:
            offsets[layer.name] = total
            total += layer.outputs
        stages.append(_Stage(found, offsets, total))
    return stages


def _merged(path: Path, stage: _Stage, before: _Stage | None) -> Learned:
    """One layer of all of a stage's."""
    name = "+".join(layer.name for layer in stage.layers)[:200]
    kinds = {array.dtype.name for layer in stage.layers for array in (*layer.weights, layer.bias)}
    if len(kinds) != 1 or not kinds <= FLOATS:
        raise FormatError(f"{str(path)!r}: {name} has weights of kinds {', '.join(sorted(kinds))}, expected one float")
    kind = kinds.pop()
    parts = [_parts(path, layer, before) for layer in stage.layers]
    _check_views(path, name, stage, parts, before)
    make = _kernels if stage.layers[0].is_conv else _matrix
    shape = _shape(path, stage.layers[0], parts[0], stage.outputs)
    for layer, own in zip(stage.layers, parts, strict=True):
        if _shape(path, layer, own, stage.outputs) != shape:
            raise FormatError(f"{str(path)!r}: layers {name} are side by side and of different shapes")
    weight = ForeignTensor(f"{name}.weights", shape, kind, functools.partial(_joined, make, stage.layers, parts))
    bias = ForeignTensor(f"{name}.biases", (stage.outputs,), kind, functools.partial(_biases, _flat(path, stage)))
    return Learned(name, weight, bias, "ihwo" if stage.layers[0].is_conv else "io")


def _parts(path: Path, layer: ConvnetLayer, before: _Stage | None) -> list[_Part]:
    """What the layer sees, in the order of the outputs of the stage before."""
    found = []
    for place, sources in enumerate(layer.sources):
        if before is None:
            rows = layer.weights[place].shape[0]
            channels = rows * layer.groups // layer.sizes[place] ** 2 if layer.is_conv else rows
            found.append(_Part(0, channels, place, 0))
            continue
        start = 0
        for source in sources:
            if source not in before.offsets:
                raise FormatError(f"{str(path)!r}: layer {layer.name[:80]!r} skips layers: no network here does")
            channels = next(one.outputs for one in before.layers if one.name == source)
            found.append(_Part(before.offsets[source], channels, place, start))
            start += channels
    return sorted(found)


def _check_views(path: Path, name: str, stage: _Stage, parts: Sequence[Sequence[_Part]], before: _Stage | None) -> None:
    """Each layer must see all of the stage before, or each its own part in turn."""
    views = []
    for layer, own in zip(stage.layers, parts, strict=True):
        seen = own[0].offset
        for part in own:
            if part.offset != seen:
                raise FormatError(f"{str(path)!r}: layer {layer.name[:80]!r} sees a part of its inputs twice or not")
            seen += part.channels
        views.append((own[0].offset, seen))
    width = before.outputs if before is not None else views[0][1]
    everything = all(view == (0, width) for view in views)
    if everything and (len(views) == 1 or stage.layers[0].groups == 1):
        return
    each = width // len(views)
    in_turn = views == [(place * each, (place + 1) * each) for place in range(len(views))] and width % len(views) == 0
    alike = len({layer.outputs for layer in stage.layers}) == 1
    if not (stage.layers[0].is_conv and in_turn and alike):
        raise FormatError(f"{str(path)!r}: layers {name} see the layers before in a way that no network here does")


def _shape(path: Path, layer: ConvnetLayer, parts: Sequence[_Part], outputs: int) -> tuple[int, ...]:
    """Of the merged weight, [i, h, w, o] or [i, o]."""
    channels = sum(part.channels for part in parts)
    rows = sum(matrix.shape[0] for matrix in layer.weights)
    if not layer.is_conv:
        for place, matrix in enumerate(layer.weights):
            own = sum(part.channels for part in parts if part.place == place)
            if own < 1 or matrix.shape[0] * channels != rows * own or rows % channels:
                raise FormatError(f"{str(path)!r}: layer {layer.name[:80]!r} has weights that its inputs do not fit")
        return rows, outputs
    size = layer.sizes[0]
    for place, matrix in enumerate(layer.weights):
        own = sum(part.channels for part in parts if part.place == place)
        if layer.sizes[place] != size or own % layer.groups or matrix.shape[0] != own // layer.groups * size**2:
            raise FormatError(f"{str(path)!r}: layer {layer.name[:80]!r} has weights that its inputs do not fit")
    return channels // layer.groups, size, size, outputs


def _flat(path: Path, stage: _Stage) -> list[PickledArray]:
    """The layers' biases, one number for each output."""
    for layer in stage.layers:
        if sorted(layer.bias.shape) != sorted((1, layer.outputs)):
            raise FormatError(
                f"{str(path)!r}: layer {layer.name[:80]!r} has biases {layer.bias.shape}, expected one for each of its"
                f" {layer.outputs:,} outputs: no network here has a bias for each place"
            )
        layer.bias.values()  # a damaged one is found now
        for matrix in layer.weights:
            matrix.values()
    return [layer.bias for layer in stage.layers]


def _biases(biases: Sequence[PickledArray]) -> NDArray[np.generic]:
    return np.concatenate([bias.values().reshape(-1) for bias in biases])


def _joined(
    make: Callable[[ConvnetLayer, Sequence[_Part]], NDArray[np.generic]],
    layers: Sequence[ConvnetLayer],
    parts: Sequence[Sequence[_Part]],
) -> NDArray[np.generic]:
    return np.concatenate([make(layer, own) for layer, own in zip(layers, parts, strict=True)], axis=-1)


def _kernels(layer: ConvnetLayer, parts: Sequence[_Part]) -> NDArray[np.generic]:
    """[i, h, w, o]: a convolution's matrices, their channels in the order of the layer before."""
    size = layer.sizes[0]
    stacks = [matrix.values().reshape(-1, size, size, layer.outputs) for matrix in layer.weights]
    if layer.groups > 1:  # one input, whose channels are the same places of each group
        return stacks[0]
    return np.concatenate([stacks[part.place][part.start : part.start + part.channels] for part in parts])


def _matrix(layer: ConvnetLayer, parts: Sequence[_Part]) -> NDArray[np.generic]:
    """[i, o]: a dense layer's matrices, their rows in the order channel, y, x of the layer before."""
    pixels = sum(matrix.shape[0] for matrix in layer.weights) // sum(part.channels for part in parts)
    blocks = []
    for part in parts:
        rows = layer.weights[part.place].values()
        blocks.append(rows[part.start * pixels : (part.start + part.channels) * pixels])
    return np.concatenate(blocks)


def _notes(stages: Sequence[_Stage]) -> tuple[str, ...]:
    towers = [stage for stage in stages if len(stage.layers) > 1]
    if not towers:
        return ()
    names = ", ".join("+".join(layer.name for layer in stage.layers) for stage in towers)
    return (f"layers side by side are one here, outputs of the first before those of the next: {names[:600]}",)
