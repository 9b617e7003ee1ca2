"""The bytes of a user's file: opened without waiting, read up to a bound, mapped where they are many."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.exchange.foreign import FormatError


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would be waited for


class BoundedFile(io.FileIO):
    """A regular file, none of whose reads may pass `most_bytes`: for parsers that trust a length in the file.

    Raises FormatError where it is no regular file or cannot be opened, and for such a read.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._path, self._most_bytes = path, most_bytes
        with readable(path):
            super().__init__(str(path), "rb", opener=_without_waiting)
        if not stat.S_ISREG(os.fstat(self.fileno()).st_mode):
            self.close()
            raise FormatError(f"{str(path)!r} is no regular file")

    @property
    def length(self) -> int:
        """Bytes in the file."""
        return os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self.length - self.tell())
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > self._most_bytes:
            raise FormatError(
                f"{str(self._path)!r} asks for {wanted:,} bytes at once, at most {self._most_bytes:,} are expected"
            )
        return super().read(wanted) or b""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raises FormatError for an OSError inside it."""
    try:
        yield
    except OSError as error:
        raise FormatError(f"cannot read {str(path)!r}: {error.strerror or error}") from None


def file_size(path: Path) -> int:
    """Bytes in a regular file. Raises FormatError."""
    with BoundedFile(path, 0) as file:
        return file.length


def read_whole(path: Path, most_bytes: int) -> bytes:
    """All of a file that has at most `most_bytes`. Raises FormatError."""
    with readable(path), BoundedFile(path, most_bytes) as file:
        return file.read()


def map_bytes(path: Path, offset: int, length: int) -> NDArray[np.uint8]:
    """uint8 [length]: a part of a file, mapped from the disk, read-only. Raises FormatError where it ends earlier."""
    if offset < 0 or length < 0 or offset + length > file_size(path):
        raise FormatError(f"{str(path)!r} is truncated: it lacks bytes {offset:,} to {offset + length:,}")
    if length == 0:
        return np.empty(0, np.uint8)
    with readable(path):
        return np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=(length,))
