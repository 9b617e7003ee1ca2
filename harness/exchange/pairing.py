"""Names with shapes -> learned layers in order: which weight goes with which bias, and what goes with nothing.

Every tensor must be a layer's weight or bias. One that is neither, such as a batch normalisation's running mean, is an
error that names it: leaving it out would leave out a part of the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.exchange.foreign import MOST_ELEMENTS, MOST_LAYERS, MOST_SIDES, ForeignTensor, FormatError, Learned

MOST_NAME = 500  # characters
Suffixes = Sequence[tuple[str, str]]

# A weight's name and its bias's end so: PyTorch's, Flax' and Keras', the converters'.
TORCH: Suffixes = ((".weight", ".bias"),)
COMMON: Suffixes = tuple(
    (separator + weight, separator + bias)
    for separator in ("/", ".", "_")
    for weight, bias in (
        ("weight", "bias"), ("weights", "biases"), ("kernel", "bias"), ("W", "b"), ("w", "b"),
    )
)  # fmt: skip
TORCHVISION = tuple(f"features.{n}" for n in (0, 3, 6, 8, 10)) + tuple(f"classifier.{n}" for n in (1, 4, 6))


class _Layer(NamedTuple):
    stem: str
    weight: ForeignTensor
    bias: ForeignTensor | None


def pair(
    path: Path,
    tensors: Iterable[ForeignTensor],
    *,
    suffixes: Suffixes,
    conv_axes: str,
    dense_axes: str,
    ordered: bool,
) -> tuple[Learned, ...]:
    """The layers that these tensors are.

    `ordered` says that the tensors come in the network's order. Else convolutions go before dense layers, and among
    each kind the numbers in the names decide. Raises FormatError, which names the tensors at fault.
    """
    found = list(tensors)
    check_sizes(path, found)
    layers = _layers(path, found, suffixes)
    if not layers:
        names = ", ".join(repr(tensor.name[:80]) for tensor in found[:5]) or "nothing"
        raise FormatError(f"{str(path)!r} has no weights of convolutions or dense layers: it has {names}")
    if not ordered:
        layers.sort(key=lambda layer: (len(layer.weight.shape) != 4, natural(layer.stem)))
    return tuple(_learned(path, layer, conv_axes, dense_axes) for layer in layers)


def is_torchvision(layers: Sequence[Learned]) -> bool:
    """Whether the layers are named as torchvision's AlexNet names its own (torchvision/models/alexnet.py)."""
    return tuple(layer.name for layer in layers) == TORCHVISION


def check_sizes(path: Path, tensors: Sequence[ForeignTensor]) -> None:
    """Raises FormatError for more tensors, sides or numbers than any network here has, and for two of one name."""
    if len(tensors) > 2 * MOST_LAYERS:
        raise FormatError(f"{str(path)!r} has {len(tensors):,} tensors, at most {2 * MOST_LAYERS:,} are expected")
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise FormatError(f"{str(path)!r} has two tensors called {tensor.name[:80]!r}")
        seen.add(tensor.name)
        if len(tensor.name) > MOST_NAME or not tensor.name.isprintable():
            raise FormatError(f"{str(path)!r} has a tensor called {tensor.name[:80]!r}, which is no name of a tensor")
        if len(tensor.shape) > MOST_SIDES or any(side < 1 for side in tensor.shape):
            raise FormatError(f"{str(path)!r}: tensor {tensor.name[:80]!r} has shape {tensor.shape[:MOST_SIDES]}")
    if (count := sum(tensor.elements for tensor in tensors)) > MOST_ELEMENTS:
        raise FormatError(f"{str(path)!r} has {count:,} numbers, at most {MOST_ELEMENTS:,} are expected")


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts conv2 before conv10."""
    parts = re.findall(r"([0-9]{1,18})|([^0-9]+)", name)
    return tuple((0, int(number), "") if number else (1, 0, text) for number, text in parts)


def _layers(path: Path, tensors: Sequence[ForeignTensor], suffixes: Suffixes) -> list[_Layer]:
    by_name = {tensor.name: tensor for tensor in tensors}
    used: set[str] = set()
    layers: dict[str, _Layer] = {}
    for tensor in tensors:
        for weight_ends, bias_ends in suffixes:
            stem = tensor.name.removesuffix(weight_ends)
            if stem == tensor.name or len(tensor.shape) not in (2, 4):
                continue
            if stem in layers:
                other = layers[stem].weight.name
                raise FormatError(f"{str(path)!r} has two weights of layer {stem[:80]!r}: {other!r}, {tensor.name!r}")
            bias = by_name.get(stem + bias_ends)
            if bias is not None and len(bias.shape) != 1:
                raise FormatError(f"{str(path)!r}: bias {bias.name!r} has shape {bias.shape}, expected one side")
            layers[stem] = _Layer(stem, tensor, bias)
            used |= {tensor.name} | ({bias.name} if bias is not None else set())
            break
    if left := [tensor for tensor in tensors if tensor.name not in used]:
        shown = ", ".join(f"{tensor.name[:80]!r} {tensor.shape}" for tensor in left[:4])
        more = f" and {len(left) - 4:,} more" if len(left) > 4 else ""
        raise FormatError(
            f"{str(path)!r} has tensors that are no convolution's and no dense layer's weight or bias: {shown}{more};"
            " no network here has such layers"
        )
    return list(layers.values())


def _learned(path: Path, layer: _Layer, conv_axes: str, dense_axes: str) -> Learned:
    axes = conv_axes if len(layer.weight.shape) == 4 else dense_axes
    outputs = layer.weight.shape[axes.index("o")]
    if layer.bias is not None and layer.bias.shape != (outputs,):
        raise FormatError(
            f"{str(path)!r}: bias {layer.bias.name!r} has shape {layer.bias.shape},"
            f" weight {layer.weight.name!r} of shape {layer.weight.shape} wants ({outputs},)"
        )
    return Learned(layer.stem, layer.weight, layer.bias, axes)
