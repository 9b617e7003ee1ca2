"""A msgpack file as a tree of containers and scalars, its long byte strings left where they are in the file.

Written here because a library copies every array into memory, and recurses as deep as a file asks it to.

Reference: github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.exchange.file_bytes import file_size, map_bytes
from harness.exchange.foreign import FormatError

MOST_VALUES = 200_000
MOST_DEPTH = 50
MOST_TEXT = 1 << 20  # bytes of one text

Tree: TypeAlias = Any  # dict, list, str, int, float, bool, None, `Bytes` or `Extension`


class Bytes(NamedTuple):
    """A byte string's place in the file."""

    offset: int
    length: int


class Extension(NamedTuple):
    """A value of an application's own type: its code and the place of its bytes."""

    code: int
    offset: int
    length: int


# First byte -> format of the number that follows.
NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i",
    0xD3: ">q",
}  # fmt: skip
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
# First byte -> format of the length that follows.
TEXTS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
BINARIES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
EXTENSIONS = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}
FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
LISTS = {0xDC: ">H", 0xDD: ">I"}
MAPS = {0xDE: ">H", 0xDF: ">I"}


class Msgpack:
    """A file, mapped; every method raises FormatError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = map_bytes(path, 0, file_size(path))
        self._view = memoryview(self._data.data)  # cheaper to take single bytes of
        self._values = 0

    def tree(self) -> Tree:
        """The one value that the file is."""
        return self._whole(0, len(self._data))

    def inside(self, place: Extension) -> Tree:
        """The one value that an extension's bytes are."""
        return self._whole(place.offset, place.offset + place.length)

    def bytes_at(self, place: Bytes) -> NDArray[np.uint8]:
        """uint8 [length], mapped from the file."""
        return self._data[place.offset : place.offset + place.length]

    def _whole(self, start: int, end: int) -> Tree:
        value, stop = self._value(start, end, 0)
        if stop != end:
            raise self._wrong(f"{end - stop:,} bytes follow its one value")
        return value

    def _wrong(self, what: str) -> FormatError:
        return FormatError(f"{str(self._path)!r} is no whole msgpack file: {what}")

    def _take(self, at: int, count: int, end: int) -> bytes:
        if at + count > end:
            raise self._wrong(f"a value at byte {at:,} wants {count:,} bytes, {end - at:,} are left")
        return bytes(self._view[at : at + count])

    def _number(self, form: str, at: int, end: int) -> tuple[Any, int]:
        size = struct.calcsize(form)
        return struct.unpack(form, self._take(at, size, end))[0], at + size

    def _value(self, at: int, end: int, depth: int) -> tuple[Tree, int]:
        self._values += 1
        if self._values > MOST_VALUES or depth > MOST_DEPTH:
            raise self._wrong(f"it has over {MOST_VALUES:,} values or {MOST_DEPTH} containers in each other")
        if at >= end:
            raise self._wrong(f"a value at byte {at:,} wants 1 bytes, 0 are left")
        first = self._view[at]
        at += 1
        if first <= 0x7F or first >= 0xE0:
            return (first if first <= 0x7F else first - 0x100), at
        if first in CONSTANTS:
            return CONSTANTS[first], at
        if first in NUMBERS:
            return self._number(NUMBERS[first], at, end)
        if first <= 0x9F or first in MAPS or first in LISTS:
            return self._container(first, at, end, depth)
        return self._string(first, at, end)

    def _container(self, first: int, at: int, end: int, depth: int) -> tuple[Tree, int]:
        form = MAPS.get(first) or LISTS.get(first)
        count, at = self._number(form, at, end) if form else (first & 0x0F, at)
        if count > end - at:
            raise self._wrong(f"a container at byte {at:,} has {count:,} entries in {end - at:,} bytes")
        if first in LISTS or 0x90 <= first <= 0x9F:
            entries = []
            for _ in range(count):
                entry, at = self._value(at, end, depth + 1)
                entries.append(entry)
            return entries, at
        found: dict[str, Tree] = {}
        for _ in range(count):
            key, at = self._value(at, end, depth + 1)
            value, at = self._value(at, end, depth + 1)
            if not isinstance(key, str | int) or str(key) in found:
                raise self._wrong(f"it has a key {str(key)[:60]!r} twice, or one that is no text")
            found[str(key)] = value
        return found, at

    def _string(self, first: int, at: int, end: int) -> tuple[Tree, int]:
        """A text, a byte string or an extension."""
        form = TEXTS.get(first) or BINARIES.get(first) or EXTENSIONS.get(first)
        if 0xA0 <= first <= 0xBF:
            length = first & 0x1F
        elif first in FIXED_EXTENSIONS:
            length = FIXED_EXTENSIONS[first]
        elif form:
            length, at = self._number(form, at, end)
        else:
            raise self._wrong(f"byte {at - 1:,} is {first:#x}, which begins nothing")
        code = None
        if first in FIXED_EXTENSIONS or first in EXTENSIONS:
            code, at = self._number(">b", at, end)
        if length > end - at:
            raise self._wrong(f"a value at byte {at:,} wants {length:,} bytes, {end - at:,} are left")
        if code is not None:
            return Extension(code, at, length), at + length
        if first in BINARIES:
            return Bytes(at, length), at + length
        if length > MOST_TEXT:
            raise self._wrong(f"a text at byte {at:,} has {length:,} bytes")
        return self._take(at, length, end).decode("utf-8", "replace"), at + length
