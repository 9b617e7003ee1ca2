"""Safetensors files of float32 arrays: streamed out tensor by tensor, memory-mapped in, hostile files refused.

The format: eight bytes with the header's length, a JSON header naming each tensor's dtype, shape and byte range, and
the tensors' little-endian bytes without holes between them. It is read here and not by the `safetensors` library
because that copies every array, and its messages do not name the tensor at fault; that library reads what is written.

Reference: github.com/huggingface/safetensors, README, section "Format".
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import reprlib
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LENGTH_BYTES = 8
HEADER_LIMIT = 100_000_000  # bytes; the safetensors library's own limit
HEADER_PARTS = 1_000_000  # values in a header: each takes many times its characters once it is parsed
FLOAT32_BYTES = 4
ONLY_FLOAT32 = {"F32": FLOAT32_BYTES}
MOST_SIDES = 32
MOST_NUMBER = 1 << 128  # a side or an offset: larger ones are not shown, nor multiplied

MOST_ADDRESSED = 1 << 63  # bytes, as NumPy counts them

Shape = tuple[int, ...]


class WeightsError(ValueError):
    """A weights file or a set of arrays that cannot be used; the message is one line for the user."""

    exit_code = 2


class TensorFile(NamedTuple):
    """What a file holds: arrays mapped from the disk, read-only, and its string metadata."""

    arrays: dict[str, NDArray[np.float32]]
    metadata: dict[str, str]


def write(
    path: str | Path,
    shapes: Mapping[str, Shape],
    chunks: Iterable[NDArray[np.float32]],
    metadata: Mapping[str, str],
) -> None:
    """Write a file whose tensors' values arrive as flat chunks, in the order of `shapes`.

    The file appears under its name only when it is whole. Raises WeightsError where it cannot be written.
    """
    path = Path(path)
    header = _header(shapes, metadata)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(header)
            for chunk in chunks:
                file.write(np.ascontiguousarray(chunk, dtype="<f4").data)
        temporary.replace(path)
    except OSError as error:
        raise WeightsError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _header(shapes: Mapping[str, Shape], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for name, shape in shapes.items():
        end = offset + FLOAT32_BYTES * int(np.prod(shape, dtype=np.int64))
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)  # so that the tensors start on an eight-byte boundary
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would be waited for


def read(path: str | Path) -> TensorFile:
    """Map a file's tensors. Raises WeightsError for anything but a whole safetensors file of float32 tensors."""
    path = Path(path)
    places, metadata = layout(path, ONLY_FLOAT32)
    start, end = (min(p.begin for p in places.values()), max(p.end for p in places.values())) if places else (0, 0)
    try:
        data = np.memmap(path, np.uint8, "r", start, (end - start,)) if end > start else np.empty(0, np.uint8)
    except OSError as error:
        raise WeightsError(f"cannot read weights file {str(path)!r}: {error.strerror or error}") from error
    arrays = {
        name: data[place.begin - start : place.end - start].view("<f4").reshape(place.shape)
        for name, place in places.items()
    }
    return TensorFile(arrays, metadata)


class Place(NamedTuple):
    """One tensor: its dtype by the format's name, its shape, and where in the file its bytes are."""

    dtype: str
    shape: Shape
    begin: int
    end: int


def layout(path: Path, itemsizes: Mapping[str, int]) -> tuple[dict[str, Place], dict[str, str]]:
    """A file's tensors by name, in the header's order, and its metadata; no value is read.

    `itemsizes` are the dtypes that may be there, by the format's names, and their bytes. Raises WeightsError.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise WeightsError(f"{str(path)!r} is not a file of weights: it is no regular file")
            header, start = _read_header(path, file, status.st_size)
    except OSError as error:
        raise WeightsError(f"cannot read weights file {str(path)!r}: {error.strerror or error}") from error
    metadata = _metadata(path, header.pop("__metadata__", {}))
    places = {name: _place(path, name, entry, itemsizes) for name, entry in header.items()}
    _check_layout(path, places, status.st_size - start)
    moved = {name: place._replace(begin=start + place.begin, end=start + place.end) for name, place in places.items()}
    return moved, metadata


def _read_header(path: Path, file: IO[bytes], size: int) -> tuple[dict[str, Any], int]:
    """The parsed header, and the offset at which the tensors start."""
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    start = LENGTH_BYTES + length
    if size <= LENGTH_BYTES or length < 2:
        raise WeightsError(f"{str(path)!r} is not a safetensors file: it has {size} bytes and no header")
    if length > HEADER_LIMIT:
        raise WeightsError(
            f"{str(path)!r} is not a safetensors file: its header would have {length} bytes, over {HEADER_LIMIT}"
        )
    if start > size:
        raise WeightsError(
            f"{str(path)!r} is truncated or not a safetensors file: its header wants {start} bytes, it has {size}"
        )
    text = file.read(length)
    if sum(text.count(mark) for mark in b",[{") > HEADER_PARTS:
        raise WeightsError(f"{str(path)!r}: its header has over {HEADER_PARTS:,} parts")
    try:
        header = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        raise WeightsError(
            f"{str(path)!r} is not a safetensors file: its header is not JSON, or repeats a name"
        ) from None
    if not isinstance(header, dict):
        raise WeightsError(f"{str(path)!r} is not a safetensors file: its header is not a JSON object")
    return header, start


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _metadata(path: Path, found: Any) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise WeightsError(f"{str(path)!r} is not a safetensors file: its __metadata__ is not a map of strings")
    return found


def _place(path: Path, name: str, entry: Any, itemsizes: Mapping[str, int]) -> Place:
    """One tensor's shape and byte range in the data, checked against each other."""
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = [*shape, begin, end]
    except (TypeError, KeyError, ValueError):
        raise WeightsError(f"{str(path)!r}: tensor {name!r} lacks a dtype, a shape or two data_offsets") from None
    if not isinstance(dtype, str) or dtype not in itemsizes:
        wanted = "'F32' (float32)" if itemsizes == ONLY_FLOAT32 else " or ".join(itemsizes)
        raise WeightsError(f"{str(path)!r}: tensor {name!r} has dtype {reprlib.repr(dtype)}, expected {wanted}")
    if len(shape) > MOST_SIDES:
        raise WeightsError(f"{str(path)!r}: tensor {name!r} has {len(shape):,} sides, expected at most {MOST_SIDES}")
    if not all(type(number) is int and 0 <= number < MOST_NUMBER for number in whole):
        raise WeightsError(
            f"{str(path)!r}: tensor {name!r} has shape {reprlib.repr(shape)} and offsets {reprlib.repr([begin, end])}"
        )
    needed = itemsizes[dtype]
    for side in shape:
        needed *= side
    if end - begin != needed:
        raise WeightsError(
            f"{str(path)!r}: tensor {name!r} of shape {shape} needs {needed} bytes, it has {end - begin}"
        )
    if itemsizes[dtype] * math.prod(filter(None, shape)) >= MOST_ADDRESSED:  # which a side of 0 hides from the bytes
        raise WeightsError(f"{str(path)!r}: tensor {name!r} has shape {shape}, which no array can have")
    return Place(dtype, tuple(shape), begin, end)


def _check_layout(path: Path, places: Mapping[str, Place], available: int) -> None:
    """Byte ranges follow each other from 0 to the file's end, as the format demands."""
    expected = 0
    for name, place in sorted(places.items(), key=lambda item: (item[1].begin, item[1].end)):
        if place.begin != expected:
            raise WeightsError(f"{str(path)!r}: tensor {name!r} starts at byte {place.begin}, expected {expected}")
        expected = place.end
    if expected > available:
        raise WeightsError(f"{str(path)!r} is truncated: its tensors need {expected} bytes, it has {available}")
    if expected < available:
        raise WeightsError(f"{str(path)!r} has {available - expected} bytes after its last tensor")


def chunks_of(array: NDArray[np.float32], count: int = 1 << 20) -> Iterator[NDArray[np.float32]]:
    """An array's values in C order, at most `count` at a time; a contiguous array is not copied."""
    flat = np.ascontiguousarray(array).reshape(-1)
    for start in range(0, flat.size, count):
        yield flat[start : start + count]
