"""The journal of a folder under way: which chunks are done, and what each had to leave out."""

from __future__ import annotations

import json
import os
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
    """An append-only file of finished chunks; a line that broke off in writing is cut away, with what follows it."""

    def __init__(self, file: IO[bytes], done: dict[tuple[str, int], ChunkDone]) -> None:
        """For `open`."""
        self._file = file
        self.done = done

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read what is there and go on behind it. Raises OSError."""
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
        return cls(file, done)

    def add(self, one: ChunkDone) -> None:
        """Remember a chunk. Raises OSError, and then the journal is as it was."""
        line = (one.to_text() + "\n").encode()
        before = os.fstat(self._file.fileno()).st_size
        try:
            left = memoryview(line)
            while left:
                left = left[os.write(self._file.fileno(), left) :]
        except BaseException:
            os.ftruncate(self._file.fileno(), before)
            raise
        self.done[one.part, one.chunk] = one

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
