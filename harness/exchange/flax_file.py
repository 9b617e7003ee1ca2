"""Weights that Flax has serialised: a msgpack file of nested dictionaries with arrays at their ends.

An array is an extension of type 1, itself msgpack: shape, dtype, bytes in C order. One of over a gigabyte comes as a
dictionary of chunks. Linen's trees are params/Conv_0/kernel, NNX' end in /value; kernels are HWIO and [in, out].

Reference: flax/serialization.py
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.exchange import pairing
from harness.exchange.carried import KEY, carried
from harness.exchange.foreign import MOST_SIDES, ForeignTensor, ForeignWeights, FormatError
from harness.exchange.msgpack_tree import Bytes, Extension, Msgpack, Tree

ARRAY = 1  # the extension's code
CHUNKED = "__msgpack_chunked_array__"
ITEM_TYPES = {"float16": "<f2", "float32": "<f4", "float64": "<f8", "bfloat16": "<u2"}
SUFFIXES: pairing.Suffixes = (("/kernel", "/bias"),)
# State of a training that is no part of the network, by the first part of its path.
ASIDE = ("opt_state", "step", "rngs", "rng", "tx", "dropout_rng", "key")
BY_NAME = "convolutions and dense layers are ordered by the numbers in their names"


def read(path: Path) -> ForeignWeights:
    """The learned layers of a file that Flax wrote. Raises FormatError."""
    file = Msgpack(path)
    tree = file.tree()
    if not isinstance(tree, dict):
        raise FormatError(f"{str(path)!r} holds a {type(tree).__name__}, expected a dictionary of Flax parameters")
    said = carried(path, tree.pop(KEY, None))
    tensors = [tensor for name, leaf in _leaves(tree) if (tensor := _tensor(path, file, name, leaf)) is not None]
    layers = pairing.pair(path, tensors, suffixes=SUFFIXES, conv_axes="hwio", dense_axes="io", ordered=False)
    return ForeignWeights(
        path=path,
        format="Flax",
        layers=layers,
        flatten="hwc",
        network=said.network,
        preprocessing=said.preprocessing,
        notes=() if said.network else (BY_NAME,),
    )


def layer_path(parts: list[str]) -> str | None:
    """What a leaf is called without what only holds it; None where it is no part of the network."""
    if not parts or parts[0] in ASIDE:
        return None
    while len(parts) > 1 and parts[0] == "params":
        parts = parts[1:]
    if len(parts) > 1 and parts[-1] in ("value", "raw_value"):
        parts = parts[:-1]
    return "/".join(parts)


def _leaves(tree: Tree) -> Iterator[tuple[str, Tree]]:
    """Every leaf with its path; dictionaries of chunks are leaves."""
    waiting: list[tuple[list[str], Tree]] = [([], tree)]
    while waiting:
        parts, value = waiting.pop()
        if isinstance(value, list):
            value = {str(index): inner for index, inner in enumerate(value)}
        if isinstance(value, dict) and CHUNKED not in value:
            waiting += [([*parts, key], inner) for key, inner in reversed(value.items())]
        elif (name := layer_path(parts)) is not None:
            yield name, value


def _tensor(path: Path, file: Msgpack, name: str, leaf: Tree) -> ForeignTensor | None:
    """An array of floating-point numbers; None for anything else."""
    pieces = list(_pieces(path, file, name, leaf))
    if not pieces:
        return None
    dtypes = {dtype for _, dtype, _ in pieces}
    dtype = pieces[0][1]
    if dtype not in ITEM_TYPES:
        return None  # such as a counter, or the key of a random stream
    shape = _shape(
        path,
        name,
        [leaf["shape"][str(i)] for i in range(len(leaf["shape"]))] if isinstance(leaf, dict) else pieces[0][0],
    )
    size = np.dtype(ITEM_TYPES[dtype]).itemsize
    total = sum(place.length for _, _, place in pieces)
    if len(dtypes) > 1 or total != size * math.prod(shape):
        raise FormatError(f"{str(path)!r}: {name[:120]!r} of shape {shape} and dtype {dtype} has {total:,} bytes")
    return ForeignTensor(name, shape, dtype, _reader(file, [place for _, _, place in pieces], dtype, shape))


def _pieces(path: Path, file: Msgpack, name: str, leaf: Tree) -> Iterator[tuple[Any, str, Bytes]]:
    """Shape, dtype and place of an array, or of each of its chunks."""
    if isinstance(leaf, dict):
        shape, chunks = leaf.get("shape"), leaf.get("chunks")
        if not isinstance(chunks, dict) or not isinstance(shape, dict):
            raise _wrong(path, name)
        wanted = [{str(i) for i in range(len(part))} for part in (shape, chunks)]
        if wanted != [set(shape), set(chunks)] or not chunks:
            raise _wrong(path, name)
        leaves = [chunks[str(i)] for i in range(len(chunks))]
    else:
        leaves = [leaf]
    for part in leaves:
        if isinstance(part, Extension) and part.code == ARRAY:
            value = file.inside(part)
            if not isinstance(value, list) or len(value) != 3:
                raise _wrong(path, name)
            shape, dtype, place = value
            if not isinstance(dtype, str) or not isinstance(place, Bytes):
                raise _wrong(path, name)
            yield shape, dtype, place
        elif isinstance(leaf, dict):
            raise _wrong(path, name)


def _wrong(path: Path, name: str) -> FormatError:
    return FormatError(f"{str(path)!r}: {name[:120]!r} is no array as Flax writes them: shape, dtype and bytes")


def _shape(path: Path, name: str, value: object) -> tuple[int, ...]:
    sides = value if isinstance(value, list) else [None]
    if len(sides) > MOST_SIDES or not all(type(side) is int and 0 <= side < 2**40 for side in sides):
        raise _wrong(path, name)
    return tuple(sides)


def _reader(
    file: Msgpack, places: list[Bytes], dtype: str, shape: tuple[int, ...]
) -> Callable[[], NDArray[np.generic]]:
    def values() -> NDArray[np.generic]:
        found = [file.bytes_at(place) for place in places]
        flat = found[0] if len(found) == 1 else np.concatenate(found)
        return widened(flat.view(ITEM_TYPES[dtype]), dtype).reshape(shape)

    return values


def widened(numbers: NDArray[np.generic], dtype: str) -> NDArray[np.generic]:
    """bfloat16, which NumPy does not have, as the float32 whose upper half it is."""
    return (numbers.astype("<u4") << np.uint32(16)).view("<f4") if dtype == "bfloat16" else numbers
