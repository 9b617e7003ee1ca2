"""Which network of the catalog a file's weights are of: told by their shapes, or not told at all.

Several networks have the same tensors (paper, original-2012, caffe and caffenet) and compute otherwise, so a fit alone
decides only where it is the only one. What the file says of its structure or of its own origin may decide; else the
user must.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from harness.exchange.foreign import ForeignWeights, FormatError, Learned, Shape
from impls import catalog, derive
from impls.reading import Foreign, Reading, ReadLayer
from impls.spec import Conv, Dense, Dropout, Network

# What a layer is called and how it began is no part of what it computes.
NOT_COMPARED = frozenset({"name", "source", "init", "init_bias"})


def network_for(found: ForeignWeights, asked: str | None = None) -> tuple[Network, tuple[str, ...]]:
    """The network, and notes for the user. Raises FormatError where none fits or several do, UnknownNetwork."""
    shapes = tuple(layer.canonical_shape for layer in found.layers)
    name = asked if asked is not None else found.network
    if name is not None:
        return _named(found, catalog.get(name), shapes)
    fitting = [network for network in catalog.NETWORKS.values() if weight_shapes(network) == shapes]
    if not fitting:
        raise FormatError(_no_fit(found, shapes))
    same = [network for network in fitting if found.reading is not None and is_same(found.reading, network)]
    if len(same) == 1:
        return same[0], ()
    if len(fitting) > 1:
        raise FormatError(_ambiguous(found, same or fitting))
    return fitting[0], _otherwise(found, fitting[0])


def _named(found: ForeignWeights, network: Network, shapes: tuple[Shape, ...]) -> tuple[Network, tuple[str, ...]]:
    if weight_shapes(network) != shapes:
        raise FormatError(f"{str(found.path)!r} is not of network {network.name!r}: {_difference(found, network)}")
    return network, _otherwise(found, network)


def _otherwise(found: ForeignWeights, network: Network) -> tuple[str, ...]:
    """A note where the file's layers are known and are not the network's."""
    if found.reading is None or is_same(found.reading, network):
        return ()
    return (f"only the shapes are those of {network.name}: alexbench audit tells what else differs",)


def weight_shapes(network: Network) -> tuple[Shape, ...]:
    """Shapes of the weights, canonical, in the order of the layers; biases follow from them."""
    return tuple(shape for name, shape in derive.parameter_shapes(network).items() if name.endswith("/weight"))


def is_same(reading: Reading, network: Network) -> bool:
    """Whether the file's layers are the network's, as far as the file says."""
    if (reading.height, reading.width, reading.channels) != (network.height, network.width, network.channels):
        return False
    without_dropout = "dropout" in reading.silent
    theirs, ours = (_compared(layers, without_dropout, reading) for layers in (reading.layers, network.layers))
    return theirs == ours


def _compared(layers: Sequence[ReadLayer], without_dropout: bool, reading: Reading) -> list[tuple[Any, ...]]:
    dropped = NOT_COMPARED | ({"scaling"} if "dropout-scaling" in reading.silent else set())
    found = []
    for layer in layers:
        if isinstance(layer, Foreign) or (isinstance(layer, Dropout) and not without_dropout):
            found.append((type(layer), *_values(layer, dropped)))
        elif not isinstance(layer, Dropout):
            found.append((type(layer), *_values(layer, NOT_COMPARED)))
    return found


def _values(layer: ReadLayer, dropped: frozenset[str] | set[str]) -> list[Any]:
    values = [getattr(layer, item.name) for item in fields(layer) if item.name not in dropped]
    # An alpha that was divided by n and multiplied again is not the same to the last bit.
    return [float(f"{value:.6g}") if isinstance(value, float) else value for value in values]


def _ambiguous(found: ForeignWeights, fitting: Sequence[Network]) -> str:
    names = ", ".join(network.name for network in fitting)
    hint = f"; {found.hint}" if found.hint else ""
    return f"{str(found.path)!r} fits {names}, whose tensors have the same shapes{hint}: say which with --network"


def _no_fit(found: ForeignWeights, shapes: tuple[Shape, ...]) -> str:
    if not found.layers:
        return f"{str(found.path)!r} holds no convolution and no dense layer"

    def alike(network: Network) -> int:
        wanted = weight_shapes(network)
        return sum(one == other for one, other in zip(wanted, shapes, strict=False)) - abs(len(wanted) - len(shapes))

    nearest = max(catalog.NETWORKS.values(), key=alike)
    return (
        f"{str(found.path)!r} fits no network of the catalog; the nearest is {nearest.name}, but"
        f" {_difference(found, nearest)}"
    )


def _difference(found: ForeignWeights, network: Network) -> str:
    """The first layer that differs, in words."""
    learned = [row for row in derive.facts(network) if isinstance(row.layer, Conv | Dense)]
    for row, layer in zip(learned, found.layers, strict=False):
        wanted = row.parameters[f"{row.layer.name}/weight"]
        if layer.canonical_shape != wanted:
            return f"its {_called(layer)} is {by(layer.canonical_shape)}, {row.layer.name} there {by(wanted)}"
    return f"it has {len(found.layers)} learned layers, that network {len(learned)}"


def _called(layer: Learned) -> str:
    return repr(layer.weight.name[:80])


def by(shape: Shape) -> str:
    """A shape in words: 11x11x3x96."""
    return "x".join(map(str, shape))
