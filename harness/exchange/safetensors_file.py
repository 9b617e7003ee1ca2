"""Safetensors files of others: PyTorch's names and layouts, in any float dtype.

Our own weights files are safetensors too. They need no import: one that names its network is told from the rest.

Reference: github.com/huggingface/safetensors, README, section "Format"; `impls.tensor_file` checks the header.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.exchange.carried import KEY, carried
from harness.exchange.file_bytes import map_bytes
from harness.exchange.foreign import ForeignTensor, ForeignWeights, FormatError
from harness.exchange.torch_file import of_state_dict, widened, without_prefix
from impls import tensor_file

MOST_MESSAGE = 500  # characters: a name in a damaged header may be of any length

FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
OTHERS = {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}
ITEMSIZES = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, **OTHERS}


def read(path: Path) -> ForeignWeights:
    """The learned layers of a file with PyTorch's names. Raises FormatError."""
    try:
        places, metadata = tensor_file.layout(path, ITEMSIZES)
    except tensor_file.WeightsError as error:
        raise FormatError(str(error)[:MOST_MESSAGE]) from None
    if "network" in metadata:
        name = metadata["network"][:80]
        raise FormatError(f"{str(path)!r} holds canonical weights of {name!r} already: use it as it is, by --weights")
    said = carried(path, metadata.get(KEY))
    floats = {name: place for name, place in places.items() if place.dtype in FLOATS}
    notes = []
    if skipped := [name for name in places if name not in floats]:
        notes.append(f"left out, since they are no weights: {', '.join(map(repr, skipped))[:400]}")
    named, prefix = without_prefix(floats)
    if prefix:
        notes.append(f'every name begins with "{prefix}", which is left out')
    tensors = [_foreign(path, name, place) for name, place in named.items()]
    # The library orders tensors by dtype and by name, so the file's order says nothing.
    return of_state_dict(path, "safetensors", tensors, said, notes, ordered=False)


def _foreign(path: Path, name: str, place: tensor_file.Place) -> ForeignTensor:
    return ForeignTensor(name, place.shape, FLOATS[place.dtype], functools.partial(_values, path, place))


def _values(path: Path, place: tensor_file.Place) -> NDArray[np.generic]:
    """A view of the file; bfloat16 becomes float32, which holds it exactly."""
    raw = map_bytes(path, place.begin, place.end - place.begin)
    kind = FLOATS[place.dtype]
    if kind == "bfloat16":
        return widened(raw.view("<u2").reshape(place.shape))
    return raw.view("<" + np.dtype(kind).str[1:]).reshape(place.shape)
