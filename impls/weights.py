"""Canonical weights: recipes, seeds, files, and the hash that names a set of weights.

Weights are float32 in the layouts of `impls.spec`, keyed by canonical names such as `conv1/weight`. Recipes:
    paper          N(0, 0.01^2); biases 1 in conv2, conv4, conv5 and the hidden dense layers, else 0 (paper, section 5)
    original-2012  the same with 0.03 in conv3, conv4 and conv5 (the 2012 source, layers-145.cfg)
    scaled         variance-preserving, so that errors show at every depth: see `_scaled`
    own            what the network's own layers say (`init`, `init_bias`)
Every tensor has a random stream of its own, named by the seed and the tensor: recipes differ in scale, not in noise.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls import derive, random_stream, tensor_file
from impls.spec import Conv, Dense, Init, Network
from impls.tensor_file import WeightsError

__all__ = ["RECIPES", "RecipeName", "Weights", "WeightsError", "content_hash", "generate", "load", "save", "write"]

Array = NDArray[np.float32]
Arrays = dict[str, Array]
RecipeName = Literal["paper", "original-2012", "scaled", "own"]
RECIPES: tuple[RecipeName, ...] = ("paper", "original-2012", "scaled", "own")

PIXEL_SCALE = 64.0  # root mean square of an image in 0..255 after its mean is subtracted, rounded to a power of two


@dataclass(frozen=True)
class Weights:
    """One network's weights and the hash that names them. Arrays from a file are mapped from it, read-only."""

    network: str
    arrays: Arrays
    metadata: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def content_hash(self) -> str:
        """`content_hash` of the arrays, computed when first asked for."""
        return content_hash(self.arrays)


class _Draw(NamedTuple):
    """One tensor's distribution: offset + scale * N(0, 1), or offset + scale * U[-1, 1)."""

    scale: float
    offset: float = 0.0
    kind: random_stream.Kind = "normal"


class _Fans(NamedTuple):
    """A learned layer with what its distribution may depend on."""

    layer: Conv | Dense
    fan_in: int
    fan_out: int
    is_classifier: bool
    has_paper_bias: bool  # conv2, conv4, conv5 and every dense layer but the last: bias 1 in the paper


def _paper(fans: _Fans) -> tuple[_Draw, _Draw]:
    return _Draw(0.01), _Draw(0.0, 1.0 if fans.has_paper_bias else 0.0)


def _original_2012(fans: _Fans) -> tuple[_Draw, _Draw]:
    wide = fans.layer.name in ("conv3", "conv4", "conv5")
    return _Draw(0.03 if wide else 0.01), _paper(fans)[1]


def _scaled(fans: _Fans) -> tuple[_Draw, _Draw]:
    """Standard deviation sqrt(2 / fan_in) keeps the mean square of activations through a ReLU (He et al. 2015).

    Images in units of 0..255 then give activations of the order of 64 and biases of a tenth of that, so that a bias
    that is lost or added twice shows. The classifier is smaller by 64, so that logits are of order 1 and the softmax,
    hence every gradient, is not saturated.
    """
    if fans.is_classifier:
        return _Draw(math.sqrt(1.0 / fans.fan_in) / PIXEL_SCALE), _Draw(0.1)
    return _Draw(math.sqrt(2.0 / fans.fan_in)), _Draw(0.1 * PIXEL_SCALE)


def _own(fans: _Fans) -> tuple[_Draw, _Draw]:
    init = fans.layer.init
    if init is Init.TORCH:
        draw = _Draw(1.0 / math.sqrt(fans.fan_in), kind="uniform")
        return draw, draw
    if init is Init.GLOROT:
        return _Draw(math.sqrt(6.0 / (fans.fan_in + fans.fan_out)), kind="uniform"), _Draw(0.0)
    return _Draw(float(init)), _Draw(0.0, fans.layer.init_bias)


_RECIPES: dict[str, Callable[[_Fans], tuple[_Draw, _Draw]]] = {
    "paper": _paper,
    "original-2012": _original_2012,
    "scaled": _scaled,
    "own": _own,
}


def _draws(network: Network, recipe: str) -> dict[str, _Draw]:
    """Every tensor's distribution, in the order of the layers."""
    if recipe not in _RECIPES:
        raise WeightsError(f"unknown weight recipe {recipe!r}: choose one of {', '.join(RECIPES)}")
    draws: dict[str, _Draw] = {}
    for row in derive.facts(network):
        layer = row.layer
        if not isinstance(layer, Conv | Dense):
            continue
        weight_shape = row.parameters[f"{layer.name}/weight"]
        fan_in = derive.volume(weight_shape[:-1])
        is_dense, is_last = isinstance(layer, Dense), layer.name == network.logits
        fans = _Fans(
            layer,
            fan_in,
            derive.volume(weight_shape[:-2]) * weight_shape[-1],
            is_classifier=is_dense and is_last,
            has_paper_bias=layer.name in ("conv2", "conv4", "conv5") or (is_dense and not is_last),
        )
        draws[f"{layer.name}/weight"], draws[f"{layer.name}/bias"] = _RECIPES[recipe](fans)
    return draws


def _values(draw: _Draw, seed: int, name: str, count: int, chunk: int) -> Iterator[Array]:
    """One tensor's values as flat chunks."""
    scale, offset = np.float32(draw.scale), np.float32(draw.offset)
    for values in random_stream.stream(draw.kind, seed, name, count, chunk):
        yield values * scale + offset


def generate(network: Network, recipe: str = "scaled", seed: int = 0, *, chunk: int = random_stream.CHUNK) -> Arrays:
    """Weights by canonical name, the same on every machine. Raises WeightsError for an unknown recipe."""
    arrays: Arrays = {}
    shapes = derive.parameter_shapes(network)
    for name, draw in _draws(network, recipe).items():
        flat = np.empty(derive.volume(shapes[name]), dtype=np.float32)
        start = 0
        for values in _values(draw, seed, name, flat.size, chunk):
            flat[start : start + values.size] = values
            start += values.size
        arrays[name] = flat.reshape(shapes[name])
    return arrays


def write(network: Network, recipe: str, seed: int, path: str | Path) -> None:
    """Generate weights straight into a file, in constant memory. Raises WeightsError."""
    shapes = derive.parameter_shapes(network)
    draws = _draws(network, recipe)
    chunks = (
        values
        for name, shape in shapes.items()
        for values in _values(draws[name], seed, name, derive.volume(shape), random_stream.CHUNK)
    )
    metadata = {"network": network.name, "recipe": recipe, "seed": str(seed)}
    tensor_file.write(path, shapes, chunks, metadata)


def save(path: str | Path, network_name: str, arrays: Mapping[str, Array], **metadata: str) -> None:
    """Write arrays as a weights file of the network called `network_name`. Raises WeightsError."""
    for name, array in arrays.items():
        if array.dtype != np.float32:
            raise WeightsError(f"tensor {name!r} has dtype {array.dtype}, expected float32")
    shapes = {name: array.shape for name, array in arrays.items()}
    chunks = (chunk for array in arrays.values() for chunk in tensor_file.chunks_of(array))
    tensor_file.write(path, shapes, chunks, {**metadata, "network": network_name})


def load(path: str | Path, network: Network, *, verify: bool = True) -> Weights:
    """Read a weights file of `network` and check names, shapes, dtype and that values are finite. Raises WeightsError.

    `verify=False` leaves the values unread, for a file that was verified already.
    """
    found = tensor_file.read(path)
    named = found.metadata.get("network")
    if named != network.name:
        says = f"is of network {named!r}" if named else "names no network in its metadata"
        raise WeightsError(f"{str(path)!r} {says}, expected {network.name!r}: pass --network or another --weights")
    shapes = derive.parameter_shapes(network)
    _check_tensors(path, found.arrays, shapes)
    arrays = {name: found.arrays[name] for name in shapes}
    if verify:
        _check_values(path, arrays)
    return Weights(network.name, arrays, found.metadata)


def _check_tensors(path: str | Path, arrays: Arrays, shapes: Mapping[str, derive.Shape]) -> None:
    if missing := [name for name in shapes if name not in arrays]:
        raise WeightsError(f"{str(path)!r} lacks tensor {', '.join(map(repr, missing))}")
    if unknown := [name for name in arrays if name not in shapes]:
        raise WeightsError(f"{str(path)!r} has tensors that the network does not: {', '.join(map(repr, unknown))}")
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise WeightsError(f"{str(path)!r}: tensor {name!r} has shape {arrays[name].shape}, expected {shape}")


def _check_values(path: str | Path, arrays: Arrays) -> None:
    for name, array in arrays.items():
        if (index := first_not_finite(array)) is not None:
            raise WeightsError(f"{str(path)!r}: tensor {name!r} is {array[index]} at index {index}, expected numbers")


def first_not_finite(array: Array) -> tuple[int, ...] | None:
    """Index of the first NaN or infinity in C order, or None."""
    start = 0
    for chunk in tensor_file.chunks_of(array):
        finite = np.isfinite(chunk)
        if not finite.all():
            place = np.unravel_index(start + int(np.argmin(finite)), array.shape)
            return tuple(int(i) for i in place)
        start += chunk.size
    return None


def content_hash(arrays: Mapping[str, Array]) -> str:
    """SHA-256 over every tensor's name, dtype, shape and little-endian bytes, in name order, in hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}\n{array.dtype.name}\n{','.join(map(str, array.shape))}\n".encode())
        for chunk in tensor_file.chunks_of(array):
            digest.update(np.ascontiguousarray(chunk, dtype=array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()
