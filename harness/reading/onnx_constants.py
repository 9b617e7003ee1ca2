"""What an ONNX graph holds fixed: initializers and constants as tensors whose values are read when asked for.

Sizes are checked against the bytes that are there before an array is made. Data outside the file are taken from the
model's own folder and from nowhere else.

References:
    github.com/onnx/onnx, onnx/onnx.proto3 (TensorProto), docs/ExternalData.md
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.exchange.file_bytes import file_size, map_bytes
from harness.exchange.foreign import MOST_ELEMENTS, MOST_SIDES, ForeignTensor, FormatError

SMALL = 256  # elements of what is computed with: shapes, axes, scalars
EXTERNAL = 1  # TensorProto.DataLocation
LONGEST_NAME = 80  # of a name in a message


class _Type(NamedTuple):
    name: str  # as ForeignTensor has it
    stored: str  # NumPy's, little-endian, of raw data
    field: str  # where values are that are not raw
    kept: str  # NumPy's, of that field's numbers


# TensorProto.DataType; the 16-bit floats stand in int32_data by their bits.
TYPES: dict[int, _Type] = {
    1: _Type("float32", "<f4", "float_data", "<f4"),
    6: _Type("int32", "<i4", "int32_data", "<i4"),
    7: _Type("int64", "<i8", "int64_data", "<i8"),
    9: _Type("bool", "|b1", "int32_data", "|b1"),
    10: _Type("float16", "<f2", "int32_data", "<u2"),
    11: _Type("float64", "<f8", "double_data", "<f8"),
    16: _Type("bfloat16", "<u2", "int32_data", "<u2"),
}
FLOATS = ("float32", "float16", "float64", "bfloat16")


def text(found: Any) -> str:
    """A string of the file; where it is no UTF-8 the parser hands out its bytes."""
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def short(name: str) -> str:
    """A file's own name in quotes, cut where it is long."""
    return repr(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…")


def tensor_of(proto: Any, path: Path, name: str = "") -> ForeignTensor:
    """A TensorProto of the file at `path`, its size checked. Raises FormatError; so does `read`, for data elsewhere."""
    name = name or text(proto.name)
    where = f"{str(path)!r}: tensor {short(name)}"
    shape = tuple(int(side) for side in proto.dims)
    if len(shape) > MOST_SIDES or any(side < 0 for side in shape):
        raise FormatError(f"{where} has shape {shape[:MOST_SIDES]}, expected at most {MOST_SIDES} sides, none below 0")
    count = math.prod(shape)
    if count > MOST_ELEMENTS:
        raise FormatError(f"{where} of shape {shape} would have {count:,} elements, at most {MOST_ELEMENTS:,} are read")
    found = TYPES.get(proto.data_type)
    if found is None:
        return ForeignTensor(name, shape, f"type {proto.data_type}", _unreadable(where, proto.data_type))
    if proto.data_location == EXTERNAL:
        return ForeignTensor(name, shape, found.name, lambda: _external(proto, path, where, found, shape))
    values: Any = proto.raw_data or getattr(proto, found.field)
    wanted = count * np.dtype(found.stored).itemsize if proto.raw_data else count
    if len(values) != wanted:
        unit = "bytes" if proto.raw_data else "values"
        raise FormatError(f"{where} of shape {shape} needs {wanted:,} {unit}, it has {len(values):,}")
    return ForeignTensor(name, shape, found.name, lambda: _inline(proto, where, found, shape))


def external_place(proto: Any, path: Path, name: str = "") -> tuple[Path, int, int]:
    """File, offset and length (-1: to its end) of a tensor's external data, inside the model's folder.

    Raises FormatError.
    """
    where = f"{str(path)!r}: tensor {short(name or text(proto.name))}"
    said = {text(entry.key): text(entry.value) for entry in proto.external_data}
    location, folder = said.get("location", ""), path.parent.resolve()
    parts = {*PurePosixPath(location).parts, *PureWindowsPath(location).parts}
    absolute = PurePosixPath(location).is_absolute() or bool(PureWindowsPath(location).anchor)
    if not location or absolute or ".." in parts or "\0" in location:
        raise FormatError(f"{where} has its data in {short(location)}, expected a file in the model's own folder")
    try:
        file = (folder / location).resolve()
    except (OSError, RuntimeError, ValueError):
        raise FormatError(f"{where} has its data in {short(location)}, which cannot be followed") from None
    if not file.is_relative_to(folder):
        raise FormatError(f"{where} has its data in {short(location)}, a link out of the model's own folder")
    offset, length = (said.get(key, default) for key, default in (("offset", "0"), ("length", "-1")))
    for number in (offset, length):
        if not (number.isascii() and number.removeprefix("-").isdigit() and len(number) < 19):
            raise FormatError(f"{where} has external data at {short(offset)}, {short(length)} bytes: no numbers")
    if int(offset) < 0 or int(length) < -1:
        raise FormatError(f"{where} has external data at {offset}, {length} bytes, expected none below 0")
    return file, int(offset), int(length)


def require_external(proto: Any, path: Path) -> None:
    """Raises FormatError where a tensor's external data are not there in full."""
    if proto.data_location != EXTERNAL or proto.data_type not in TYPES:
        return
    file, offset, length = external_place(proto, path)
    wanted = math.prod(proto.dims) * np.dtype(TYPES[proto.data_type].stored).itemsize
    size = file_size(file)
    if length not in (-1, wanted) or offset + wanted > size:
        has = length if length not in (-1, wanted) else max(0, size - offset)
        raise FormatError(
            f"{str(path)!r}: tensor {short(text(proto.name))} needs {wanted:,} bytes of {file.name!r}, it has {has:,}"
        )


def _unreadable(where: str, number: int) -> Callable[[], NDArray[Any]]:
    def read() -> NDArray[Any]:
        raise FormatError(f"{where} is of ONNX's data type {number}, expected float32, float16, bfloat16 or float64")

    return read


def _external(proto: Any, path: Path, where: str, found: _Type, shape: tuple[int, ...]) -> NDArray[Any]:
    require_external(proto, path)
    file, offset, _ = external_place(proto, path)
    length = math.prod(shape) * np.dtype(found.stored).itemsize
    return _shaped(map_bytes(file, offset, length).view(found.stored), where, found, shape)


def _inline(proto: Any, where: str, found: _Type, shape: tuple[int, ...]) -> NDArray[Any]:
    if proto.raw_data:
        return _shaped(np.frombuffer(proto.raw_data, found.stored), where, found, shape)
    values = np.asarray(getattr(proto, found.field))
    if found.kept == "<u2":
        values = (
            values & 0xFFFF
        )  # the bits of a 16-bit float; a negative number is none of a file that follows the format
    bits = values.astype(found.kept)
    return _shaped(bits.view(found.stored) if found.kept == "<u2" else bits, where, found, shape)


def _shaped(values: NDArray[Any], where: str, found: _Type, shape: tuple[int, ...]) -> NDArray[Any]:
    if found.name == "bfloat16":  # the upper half of a float32
        values = (values.astype(np.uint32) << 16).view(np.float32)
    try:
        return values.reshape(shape)
    except ValueError:
        raise FormatError(f"{where} has {values.size:,} values, expected shape {shape}") from None


# --- constants that are computed --------------------------------------------------------------------------------------


def transposed(tensor: ForeignTensor, order: tuple[int, ...]) -> ForeignTensor:
    """The same with its axes in another order."""
    shape = tuple(tensor.shape[axis] for axis in order)
    return ForeignTensor(tensor.name, shape, tensor.dtype, lambda: tensor.read().transpose(order))


def reshaped(tensor: ForeignTensor, shape: tuple[int, ...]) -> ForeignTensor:
    """The same with as many elements in another shape."""
    return ForeignTensor(tensor.name, shape, tensor.dtype, lambda: tensor.read().reshape(shape))


def joined(tensors: tuple[ForeignTensor, ...], axis: int) -> ForeignTensor:
    """Tensors that differ along one axis at most, one behind the other."""
    first = tensors[0]
    sides = list(first.shape)
    sides[axis] = sum(tensor.shape[axis] for tensor in tensors)
    name = " + ".join(tensor.name for tensor in tensors)
    return ForeignTensor(
        name, tuple(sides), first.dtype, lambda: np.concatenate([tensor.read() for tensor in tensors], axis)
    )
