"""From a file's layout to the canonical one: axes, the order of the first dense layer's inputs, colours, float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.exchange.foreign import Array, Colours, Flatten, ForeignTensor, ForeignWeights, FormatError, Learned
from impls import derive
from impls.spec import Conv, Dense, Network
from impls.weights import first_not_finite

CANONICAL = {4: "hwio", 2: "io"}


class Layout(NamedTuple):
    """What the file's values must be turned by, beside the axes that each layer names."""

    flatten: Flatten
    colours: Colours


def tensors(found: ForeignWeights, network: Network, layout: Layout) -> Iterator[tuple[str, Array]]:
    """Canonical tensors in the order of the network's layers, each read when it is its turn.

    `found` must have been recognised as this network. Raises FormatError for a missing bias and for values that are not
    finite.
    """
    rows = [row for row in derive.facts(network) if isinstance(row.layer, Conv | Dense)]
    for index, (row, layer) in enumerate(zip(rows, found.layers, strict=True)):
        weight = _weight(found, layer)
        if isinstance(row.layer, Dense) and len(row.input_shape) == 3 and layout.flatten == "chw":
            height, width, channels = row.input_shape
            weight = weight.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(weight.shape)
        if index == 0 and layout.colours == "bgr" and isinstance(row.layer, Conv) and weight.shape[2] == 3:
            weight = weight[:, :, ::-1, :]
        yield f"{row.layer.name}/weight", np.ascontiguousarray(weight)
        yield f"{row.layer.name}/bias", _bias(found, layer, row.layer.name)


def _weight(found: ForeignWeights, layer: Learned) -> Array:
    wanted = CANONICAL[len(layer.axes)]
    return _values(found, layer.weight).transpose([layer.axes.index(axis) for axis in wanted])


def _bias(found: ForeignWeights, layer: Learned, name: str) -> Array:
    units = layer.canonical_shape[-1]
    if layer.bias is None:
        raise FormatError(f"{str(found.path)!r} has no bias for {layer.name!r}, which {name} needs: {units} numbers")
    if layer.bias.elements != units:
        raise FormatError(
            f"{str(found.path)!r}: {layer.bias.name!r} has shape {layer.bias.shape}, {name} needs {units} numbers"
        )
    return _values(found, layer.bias).reshape(units)


def _values(found: ForeignWeights, tensor: ForeignTensor) -> Array:
    values: NDArray[np.generic] = tensor.read()
    if values.shape != tensor.shape:
        raise FormatError(f"{str(found.path)!r}: {tensor.name!r} has shape {values.shape}, it said {tensor.shape}")
    with np.errstate(over="ignore"):  # beyond float32 it becomes an infinity, which is refused
        made = values.astype(np.float32, copy=False)
    if (index := first_not_finite(made)) is not None:
        raise FormatError(f"{str(found.path)!r}: {tensor.name!r} is {made[index]} at index {index}, expected numbers")
    return made


def rounded(found: ForeignWeights) -> tuple[str, ...]:
    """Names of tensors that float32 cannot hold as they are."""
    everything = [tensor for layer in found.layers for tensor in (layer.weight, layer.bias) if tensor is not None]
    return tuple(tensor.name for tensor in everything if tensor.dtype == "float64")
