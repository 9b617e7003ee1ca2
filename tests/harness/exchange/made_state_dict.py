"""State dicts as torch.save writes them, made without PyTorch, so that each figure in them can be made a wrong one.

Reference: torch/serialization.py, _save and _legacy_save.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
PROTOCOL = b"\x80\x02M\xe9\x03."
SYSTEM = b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s."


@dataclass(frozen=True)
class Entry:
    """One tensor: a view of a storage, as `_rebuild_tensor_v2` is told."""

    key: str
    count: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    kind: str = "FloatStorage"


def of_array(key: str, array: np.ndarray[Any, Any]) -> Entry:
    """A tensor that is all of its storage."""
    return Entry(key, array.size, array.shape, tuple(stride // array.itemsize for stride in array.strides))


def pickled(entries: Mapping[str, Entry], *, legacy: bool = False, extra: bytes = b"") -> bytes:
    """The pickle of an OrderedDict of tensors; `extra` are opcodes of further keys and values."""
    body = b"".join(_text(name) + _tensor(entry, legacy=legacy) for name, entry in entries.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + body + extra + b"u."


def _tensor(entry: Entry, *, legacy: bool) -> bytes:
    place = b"(" + _text("storage") + f"ctorch\n{entry.kind}\n".encode() + _text(entry.key) + _text("cpu")
    place += _whole(entry.count) + (b"N" if legacy else b"") + b"tQ"
    sizes = _whole(entry.offset) + _tuple(entry.shape) + _tuple(entry.strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + place + sizes + b"\x89ccollections\nOrderedDict\n)RtR"


def _text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def _whole(value: int) -> bytes:
    raw = value.to_bytes(16, "little", signed=True)
    return b"\x8a\x10" + raw


def _tuple(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_whole, values)) + b"t"


def zipped(data: bytes, storages: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    """The archive that torch.save has written since 1.6."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/byteorder", "little")
        for key, raw in storages.items():
            archive.writestr(f"archive/data/{key}", raw)
        archive.writestr("archive/version", "3\n")
    return made.getvalue()


def stream(data: bytes, storages: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """The file that it wrote before."""
    keys = b"\x80\x02](" + b"".join(map(_text, storages)) + b"e."
    values = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages.values())
    return MAGIC + PROTOCOL + SYSTEM + data + keys + values


def write(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Path:
    """A state dict of whole float32 arrays."""
    entries = {name: of_array(str(place), array) for place, (name, array) in enumerate(arrays.items())}
    storages = {str(place): array.tobytes() for place, array in enumerate(arrays.values())}
    path.write_bytes(zipped(pickled(entries), storages))
    return path
