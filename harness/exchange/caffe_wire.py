"""A .caffemodel in its wire format: the blobs' values found where they lie, and all the rest cut out for the parser.

A file is nine tenths numbers. They are never parsed: their places are noted, and what remains, a few kilobytes that say
which layer each blob belongs to, goes to the protobuf library. So neither a large file nor a false size costs memory.

References: protobuf.dev/programming-guides/encoding; field numbers from BVLC/caffe, src/caffe/proto/caffe.proto
(NetParameter: layers = 2, layer = 100; their blobs = 6 and 7; BlobProto: data = 5, diff = 6, double_data = 8,
double_diff = 9).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.exchange.file_bytes import BoundedFile, map_bytes, readable
from harness.exchange.foreign import FormatError

VARINT, EIGHT_BYTES, DELIMITED, FOUR_BYTES = 0, 1, 2, 5  # wire types; 3 and 4, groups, nothing of Caffe uses
FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4}
BLOBS_OF = {2: 6, 100: 7}  # field of NetParameter that holds a layer: the layer's field that holds blobs
OLDEST = (2, 1)  # NetParameter.layers[].layer: a layer of the oldest format
NUMBERS = {5: "<f4", 6: "<f4", 8: "<f8", 9: "<f8"}  # of BlobProto
VALUES = frozenset({5, 8})  # the others are gradients, and left out

MOST_BYTES = 2**31 - 1  # of a message, by protobuf
MOST_STRUCTURE = 1_000_000  # bytes beside the numbers; a network with 150 layers has 0.1 million
MOST_PIECES = 20_000  # of numbers, in the whole file
MOST_FIELDS = 100_000  # beside them, of the net and its layers
HEAD = 20  # bytes: a tag and a length, each of 10 at most
FIRST_BLOCK, LARGEST_BLOCK = 64, 65_536  # numbers looked at together


class Piece(NamedTuple):
    """Numbers in a row: packed, or each behind a tag of its own."""

    offset: int  # in the file, of the first number
    numbers: int
    gap: int  # bytes between one number and the next


@dataclass(frozen=True, slots=True)
class Values:
    """One blob's numbers, by what NumPy calls their type."""

    path: Path
    pieces: dict[str, list[Piece]] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        """Doubles where there are any, as Blob::FromProto takes them."""
        return "<f8" if "<f8" in self.pieces else "<f4"

    @property
    def count(self) -> int:
        """How many numbers."""
        return sum(piece.numbers for piece in self.pieces.get(self.dtype, ()))

    def read(self) -> NDArray[np.generic]:
        """The numbers [count]; mapped from the file where they lie in one piece. Raises FormatError."""
        found = [self._piece(piece) for piece in self.pieces.get(self.dtype, ())]
        return found[0] if len(found) == 1 else np.concatenate([np.empty(0, self.dtype), *found])

    def _piece(self, piece: Piece) -> NDArray[np.generic]:
        wide = np.dtype(self.dtype).itemsize
        step = wide + piece.gap
        data = map_bytes(self.path, piece.offset, piece.numbers * step - piece.gap)
        if not piece.gap:
            return data.view(self.dtype)
        spread = np.lib.stride_tricks.as_strided(data, (piece.numbers, wide), (step, 1), writeable=False)
        return np.ascontiguousarray(spread).view(self.dtype)[:, 0]


class Scan(NamedTuple):
    """A file without its numbers, and the numbers of each layer's blobs, layers in the file's order."""

    structure: bytes
    layers: tuple[tuple[Values, ...], ...]


class _Field(NamedTuple):
    number: int
    wire: int
    start: int  # of its tag
    body: int
    end: int


def net_in(path: Path) -> Scan:
    """A NetParameter, from a regular file. Raises FormatError."""
    with readable(path), BoundedFile(path, max(MOST_STRUCTURE, 9 * LARGEST_BLOCK)) as file:
        if file.length > MOST_BYTES:
            raise FormatError(f"{str(path)!r} has {file.length:,} bytes, protobuf holds {MOST_BYTES:,} at most")
        scanner = _Scanner(file, path)
        structure = scanner.net(file.length)
        return Scan(structure, tuple(map(tuple, scanner.layers)))


def blob_in(path: Path) -> tuple[bytes, Values]:
    """A file that is one BlobProto: all but its numbers, and these. Raises FormatError."""
    with readable(path), BoundedFile(path, max(MOST_STRUCTURE, 9 * LARGEST_BLOCK)) as file:
        return _Scanner(file, path).blob(0, file.length)


class _Scanner:
    """One walk over a file."""

    def __init__(self, file: BoundedFile, path: Path) -> None:
        self.layers: list[list[Values]] = []
        self._file, self._path = file, path
        self._kept = self._pieces = self._fields = 0

    def net(self, end: int) -> bytes:
        parts, at = [], 0
        while at < end:
            found = self._field(at, end)
            if found.number in BLOBS_OF and found.wire == DELIMITED:
                parts.append(_delimited(found.number, self._layer(found)))
            else:
                parts.append(self._copy(found))
            at = found.end
        return b"".join(parts)

    def _layer(self, layer: _Field) -> bytes:
        blobs: list[Values] = []
        self.layers.append(blobs)
        self._count(2, "layers")
        parts, at = [], layer.body
        while at < layer.end:
            found = self._field(at, layer.end)
            if (layer.number, found.number) == OLDEST:
                raise FormatError(
                    f"{str(self._path)!r} is of Caffe's oldest format (V0): convert it with upgrade_net_proto_binary"
                )
            if found.number == BLOBS_OF[layer.number] and found.wire == DELIMITED:
                self._count(2, "blobs")
                rest, values = self.blob(found.body, found.end)
                blobs.append(values)
                parts.append(_delimited(found.number, rest))
            else:
                parts.append(self._copy(found))
            at = found.end
        return b"".join(parts)

    def blob(self, at: int, end: int) -> tuple[bytes, Values]:
        values, parts = Values(self._path), []
        while at < end:
            found = self._field(at, end)
            dtype = NUMBERS.get(found.number)
            wide = np.dtype(dtype).itemsize if dtype else 0
            at = found.end
            if dtype is None or (found.wire != DELIMITED and FIXED.get(found.wire) != wide):
                parts.append(self._copy(found))
                continue
            if found.wire == DELIMITED:
                piece = self._packed(found, wide)
            else:
                piece = self._run(found, end, wide)
                at = piece.offset + piece.numbers * wide + (piece.numbers - 1) * piece.gap
            if found.number in VALUES and piece.numbers:
                values.pieces.setdefault(dtype, []).append(piece)
        return b"".join(parts), values

    def _packed(self, found: _Field, wide: int) -> Piece:
        self._count(0, "pieces of numbers")
        if (found.end - found.body) % wide:
            raise self._damaged(found.start, f"{found.end - found.body:,} bytes are no whole count of numbers")
        return Piece(found.body, (found.end - found.body) // wide, 0)

    def _run(self, found: _Field, end: int, wide: int) -> Piece:
        """As many numbers as follow one another with the tag of the first."""
        self._count(0, "pieces of numbers")
        gap = found.body - found.start
        tag = np.frombuffer(self._bytes(found.start, gap), np.uint8)
        step, at, count, block = gap + wide, found.start, 0, FIRST_BLOCK
        while (fitting := min(block, (end - at) // step)) > 0:
            rows = np.frombuffer(self._bytes(at, fitting * step), np.uint8).reshape(fitting, step)
            same = (rows[:, :gap] == tag).all(axis=1)
            if not same.all():
                return Piece(found.body, count + int(np.argmin(same)), gap)
            count, at, block = count + fitting, at + fitting * step, min(8 * block, LARGEST_BLOCK)
        return Piece(found.body, count, gap)

    def _count(self, kept: int, what: str) -> None:
        self._kept += kept
        self._pieces += 1
        self._check_kept()
        if self._pieces > MOST_PIECES:
            raise FormatError(f"{str(self._path)!r} has over {MOST_PIECES:,} {what}: no network is made so")

    def _copy(self, found: _Field) -> bytes:
        self._kept += found.end - found.start
        self._fields += 1
        self._check_kept()
        return self._bytes(found.start, found.end - found.start)

    def _check_kept(self) -> None:
        if self._kept > MOST_STRUCTURE or self._fields > MOST_FIELDS:
            raise FormatError(
                f"{str(self._path)!r} has over {MOST_STRUCTURE:,} bytes or {MOST_FIELDS:,} fields beside its blobs'"
                " numbers: no network of Caffe"
            )

    def _bytes(self, at: int, count: int) -> bytes:
        self._file.seek(at)
        return self._file.read(count)

    def _field(self, at: int, end: int) -> _Field:
        head = self._bytes(at, min(HEAD, end - at))
        tag, used = _varint(head, 0)
        number, wire = tag >> 3, tag & 7
        length, body = 0, used
        if wire == DELIMITED and used:
            length, body = _varint(head, used)
        elif wire == VARINT and used:
            _, after = _varint(head, used)
            length = after - used if after else end
        else:
            length = FIXED.get(wire, -1)
        if not used or not body or not number or length < 0 or at + body + length > end:
            what = "it ends within a field" if number and length >= 0 else "there is no field of a message here"
            raise self._damaged(at, what)
        return _Field(number, wire, at, at + body, at + body + length)

    def _damaged(self, at: int, what: str) -> FormatError:
        return FormatError(
            f"{str(self._path)!r} is no file of Caffe, or it is cut short or damaged: byte {at:,}, {what}"
        )


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends; (0, 0) where it does not."""
    value = 0
    for place in range(at, min(len(data), at + 10)):
        value |= (data[place] & 0x7F) << 7 * (place - at)
        if data[place] < 0x80:
            return value, place + 1
    return 0, 0


def _delimited(number: int, body: bytes) -> bytes:
    return _as_varint(number << 3 | DELIMITED) + _as_varint(len(body)) + body


def _as_varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
