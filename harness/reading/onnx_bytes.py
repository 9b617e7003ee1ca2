"""The bytes of an ONNX file as an `onnx.ModelProto`, measured before they are parsed.

Parsed messages take up to a hundred times the bytes that an empty one has in the file. So what is not the values of a
tensor must be small, as a network's structure is; the file is walked field by field, and no value is looked at.

References:
    protobuf.dev/programming-guides/encoding; github.com/onnx/onnx, onnx/onnx.proto3 (the numbers of the fields)
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from harness.errors import CannotMeasure
from harness.exchange.file_bytes import read_whole
from harness.exchange.foreign import FormatError
from harness.requirements import install_command

LARGEST_FILE = 2**31 - 1  # bytes, of any protocol buffer; more lies in files beside it
MOST_STRUCTURE = 8 << 20  # bytes that are not values of tensors; an AlexNet has twenty thousand
MOST_FIELDS = 400_000  # of all messages together, one after the other

BYTES = 2  # the wire type of everything that has a length
TENSOR, VALUES = "onnx.TensorProto", (4, 9, 10)  # its values: float_data, raw_data, double_data


def load(path: Path) -> Any:
    """The `onnx.ModelProto` of a file; its external data are not read. Raises FormatError, CannotMeasure."""
    data = read_whole(path, LARGEST_FILE)
    try:
        from onnx import ModelProto
    except ModuleNotFoundError:
        raise CannotMeasure(f"onnx is not installed: {install_command('formats')}") from None
    from google.protobuf.message import DecodeError

    try:
        check(data, ModelProto.DESCRIPTOR)
        model = ModelProto.FromString(data)
    except DecodeError:
        raise FormatError(f"{str(path)!r} is no ONNX file: it does not follow the format's definition") from None
    except ValueError as error:
        raise FormatError(f"{str(path)!r} is no ONNX file: {error}") from None
    if not model.HasField("graph"):
        raise FormatError(f"{str(path)!r} is no ONNX file: it has no graph")
    return model


def check(data: bytes, descriptor: Any) -> None:
    """Raises ValueError where the fields of a message of that kind do not fit the bytes, or are too many."""
    values = fields = 0
    waiting = [(descriptor, 0, len(data))]
    while waiting:
        message, place, end = waiting.pop()
        inner, holds_values = _messages(message), message.full_name == TENSOR
        while place < end:
            fields += 1
            if fields > MOST_FIELDS:
                raise ValueError(f"it has more than {MOST_FIELDS:,} parts")
            number, begin, place = _field(data, place, end)
            if number in inner:
                waiting.append((inner[number], begin, place))
            elif holds_values and number in VALUES:
                values += place - begin
    if len(data) - values > MOST_STRUCTURE:
        raise ValueError(
            f"{len(data) - values:,} of its bytes are not values of tensors, at most {MOST_STRUCTURE:,} are expected"
        )


@functools.cache
def _messages(descriptor: Any) -> dict[int, Any]:
    """The fields that are messages themselves, by number."""
    return {field.number: field.message_type for field in descriptor.fields if field.message_type is not None}


def _field(data: bytes, place: int, end: int) -> tuple[int, int, int]:
    """The field at `place`: its number, where its content begins, and where it ends. Raises ValueError."""
    tag, place = _varint(data, place, end)
    begin = place
    match tag & 7:
        case 0:
            _, place = _varint(data, place, end)
        case 1:
            place += 8
        case 2:
            length, begin = _varint(data, place, end)
            place = begin + length
        case 5:
            place += 4
        case _:
            raise ValueError(f"a field at byte {begin:,} is of no known type")
    if place > end:
        raise ValueError(f"it ends at byte {end:,}, in a part that would reach to {place:,}")
    # A number that is not of the wire type expected is skipped by the parser, and so it is here.
    return (tag >> 3 if tag & 7 == BYTES else 0), begin, place


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while place < end and shift < 70:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
        shift += 7
    raise ValueError(f"a number at byte {place:,} does not end")
