"""The journal of a folder under way: which chunks are done, and what each had to leave out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self


@dataclass(frozen=True)
class ChunkDone:
    """What is to be remembered of a chunk."""

    part: str
    chunk: int
    skipped: tuple[tuple[int, str], ...]  # index within the part, reason
    pixels: int  # how many colours went into the sums
    sums: tuple[int, ...]  # of each channel [C]
    products: tuple[int, ...]  # of each two channels [C * C]

    def to_text(self) -> str:
        """One line of JSON."""
        return json.dumps(vars(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `to_text` wrote. Raises ValueError."""
        found = json.loads(text)
        skipped = tuple((int(index), str(reason)) for index, reason in found["skipped"])
        numbers = {name: tuple(found[name]) for name in ("sums", "products")}
        return cls(found["part"], found["chunk"], skipped, found["pixels"], **numbers)


class Journal:
    """An append-only file of finished chunks; a line that broke off in writing is cut away, with what follows it.

    A chunk gets its line when the disk holds its pixels, for else a power cut would leave the line and no pixels.
    """

    def __init__(self, file: IO[bytes], done: dict[tuple[str, int], ChunkDone], to_disk: Callable[[], None]) -> None:
        """For `open`."""
        self._file = file
        self.done = done
        self._to_disk = to_disk
        self._waiting: list[ChunkDone] = []
        self._due = 0.0  # when the disk is waited for again

    @classmethod
    def open(cls, path: Path, to_disk: Callable[[], None] = lambda: None) -> Self:
        """Read what is there and go on behind it. `to_disk` returns when the disk has all chunks. Raises OSError."""
        file = path.open("a+b", buffering=0)
        file.seek(0)
        done: dict[tuple[str, int], ChunkDone] = {}
        whole = 0
        for line in (file.read() or b"").splitlines(keepends=True):
            try:
                one = ChunkDone.from_text(line.decode())
            except (ValueError, KeyError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            done[one.part, one.chunk] = one
            whole += len(line)
        os.ftruncate(file.fileno(), whole)
        return cls(file, done, to_disk)

    def add(self, one: ChunkDone) -> None:
        """Remember a chunk, on the disk as soon as a tenth of the time has not been spent in waiting for that.

        Raises OSError.
        """
        self.done[one.part, one.chunk] = one
        self._waiting.append(one)
        if time.monotonic() >= self._due:
            self._write()

    def close(self) -> None:
        """Write what waits and let go of the file. Raises OSError."""
        with self._file:
            self._write()

    def _write(self) -> None:
        """A line for each chunk that waits, or none: half a line is cut off again."""
        if not self._waiting:
            return
        started = time.monotonic()
        self._to_disk()
        before = os.fstat(self._file.fileno()).st_size
        left = memoryview("".join(one.to_text() + "\n" for one in self._waiting).encode())
        try:
            while left:
                left = left[os.write(self._file.fileno(), left) :]
        except BaseException:
            os.ftruncate(self._file.fileno(), before)
            raise
        self._waiting.clear()
        now = time.monotonic()
        self._due = now + 9 * (now - started)
