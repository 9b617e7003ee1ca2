"""Weights in a folder that Orbax has written: a checkpoint, or a manager's folder of steps, the last of which is taken.

What arrays there are, the folder's _METADATA says in JSON; the arrays themselves are TensorStore's to read, in a
confined child. Nothing in the folder may point out of it.

Reference: orbax/checkpoint/_src/metadata/tree.py; orbax.readthedocs.io, "Checkpoint format"
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness.exchange import confined, pairing
from harness.exchange.file_bytes import read_whole
from harness.exchange.flax_file import BY_NAME, SUFFIXES, layer_path
from harness.exchange.foreign import MOST_LAYERS, ForeignTensor, ForeignWeights, FormatError
from harness.exchange.keras_contents import parsed
from harness.exchange.orbax_arrays import FLOATS
from harness.exchange.shelf import Shelf

METADATA = "_METADATA"
ITEMS = ("default", "params", "state", "model", "train_state")  # what a step's parts are called
MOST_METADATA = 8 << 20
MOST_FILES = 50_000
MOST_ARRAYS = 10 * MOST_LAYERS
LISTING, DUMP = "harness.exchange.orbax_arrays:listing", "harness.exchange.orbax_arrays:dump"
MEMORY = 4 << 30  # bytes of address space: TensorStore's threads reserve much and use little
LIMITS = confined.Limits(memory=MEMORY, seconds=120.0)


class Tree(NamedTuple):
    """What _METADATA says: layers' names with the arrays' names, and how those are stored."""

    arrays: dict[str, str]
    ocdbt: bool
    zarr3: bool
    whole: bool


def read(path: Path) -> ForeignWeights:
    """The learned layers of a checkpoint. Raises FormatError, CannotMeasure."""
    _check_files(path)
    folder = _checkpoint(path)
    tree = tree_of(folder)
    how: dict[str, Any] = {"ocdbt": tree.ocdbt, "zarr3": tree.zarr3, "whole": tree.whole}
    names = list(tree.arrays.values())
    place = folder.resolve()  # TensorStore takes no path with ".." in it
    found = confined.run(LISTING, place, LIMITS, shown=folder, names=names, **how)
    if not isinstance(found, list) or len(found) != len(names):
        raise FormatError(f"{str(path)!r} cannot be read: {len(names)} arrays were asked for")
    shelf = Shelf(place, DUMP, shown=folder, memory=MEMORY, **how)
    tensors: list[ForeignTensor] = []
    for (layer, name), (shape, dtype) in zip(tree.arrays.items(), found, strict=True):
        if dtype in FLOATS:
            tensors.append(shelf.tensor(name, shape, dtype, shown=layer))
    layers = pairing.pair(path, tensors, suffixes=SUFFIXES, conv_axes="hwio", dense_axes="io", ordered=False)
    steps = () if folder == path else (f"taken from {str(folder.relative_to(path))!r}",)
    return ForeignWeights(path=path, format="Orbax", layers=layers, flatten="hwc", notes=(*steps, BY_NAME))


def _check_files(path: Path) -> None:
    """Folders and regular files alone: a link could point anywhere, a pipe would be waited for."""
    waiting, count = [path], 0
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > MOST_FILES:
                        raise FormatError(f"{str(path)!r} has over {MOST_FILES:,} files: it is no checkpoint")
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif not entry.is_file(follow_symlinks=False):
                        raise FormatError(f"{entry.path!r} is a link or no regular file: it is not followed")
        except OSError as error:
            raise FormatError(f"cannot read {str(path)!r}: {error.strerror or error}") from None


def _checkpoint(path: Path) -> Path:
    """The folder with the arrays: this one, a part of it, or the last of its steps."""
    for folder in _candidates(path):
        if (folder / METADATA).is_file():
            return folder
    raise FormatError(f"{str(path)!r} is no Orbax checkpoint: neither it nor its steps have a file {METADATA!r}")


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    yield from (path / item for item in ITEMS)
    steps = [entry for entry in path.iterdir() if entry.is_dir() and re.fullmatch(r"([a-z]+_)?[0-9]{1,18}", entry.name)]
    for step in sorted(steps, key=lambda entry: int(entry.name.rpartition("_")[2]), reverse=True):
        yield step
        yield from (step / item for item in ITEMS)


def tree_of(folder: Path) -> Tree:
    """What the folder's _METADATA says. Raises FormatError."""
    value = parsed(folder / METADATA, read_whole(folder / METADATA, MOST_METADATA))
    entries = value.get("tree_metadata")
    if not isinstance(entries, dict) or len(entries) > MOST_ARRAYS:
        raise FormatError(f"{str(folder / METADATA)!r} has no tree of arrays, or one of over {MOST_ARRAYS:,}")
    arrays: dict[str, str] = {}
    for entry in entries.values():
        keys = _keys(entry)
        if keys is None:
            raise FormatError(f"{str(folder / METADATA)!r} names an array in an unknown way: expected keys of text")
        layer, name = layer_path(keys), ".".join(keys)
        if layer is None or not _is_array(entry):
            continue
        if not name.isprintable() or set(name) & set("/\\") or not name.strip("."):
            raise FormatError(f"{str(folder / METADATA)!r}: the array's name {name[:120]!r} is a path")
        if layer in arrays:
            raise FormatError(f"{str(folder / METADATA)!r} has two arrays called {layer[:120]!r}")
        arrays[layer] = name
    flags = [value.get(key) is True for key in ("use_ocdbt", "use_zarr3", "store_array_data_equal_to_fill_value")]
    return Tree(arrays, *flags)


def _keys(entry: Any) -> list[str] | None:
    parts = entry.get("key_metadata") if isinstance(entry, dict) else None
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return None
    found = [part.get("key") for part in parts]
    keys = [str(key) for key in found if isinstance(key, str | int)]
    return keys if 0 < len(keys) == len(found) and sum(map(len, keys)) < 1_000 else None


def _is_array(entry: dict[str, Any]) -> bool:
    value = entry.get("value_metadata")
    return isinstance(value, dict) and value.get("value_type") in ("jax.Array", "np.ndarray", "numpy.ndarray")
