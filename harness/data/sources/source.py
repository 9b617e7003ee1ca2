"""What a source of images is: its classes and, for every part, a stream of items that any process can read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

Reference = tuple[str | int, ...]  # what `pixels.read` takes, such as ("file", "train/cat/1.jpg")

HELD_OUT = 5  # every fifth image is held out where a source names no validation images


class Item(NamedTuple):
    """One image of a part, not yet read."""

    label: int  # index of the class names
    name: str  # what it is called in the source, such as "cat/1.jpg"
    reference: Reference


class Skip(NamedTuple):
    """Something that a source holds and cannot offer."""

    name: str
    reason: str  # one of a few, so that they can be counted
    files: int = 1  # how many it stands for; 0 for a folder
    wanted: bool = True  # whether it is missed: an image, and not what merely lies beside images


Listing = Callable[[], Iterator[Item | Skip]]


@dataclass(frozen=True)
class Source:
    """An opened source. Nothing but its tables of contents has been read."""

    title: str  # such as "digits" or "imagefolder:cats-and-dogs"
    root: Path  # references are relative to it
    channels: int  # 1 for grey, 3 for RGB
    side: int | None  # of all its images; None for photographs of any size
    classes: tuple[str, ...]
    parts: Mapping[str, Listing]
    files: Callable[[], Iterable[str]]  # all it is made of, relative to the root, in an order that does not change
    rest: Callable[[], Iterator[Skip]] | None = None  # what lies in its folder and belongs to no part
    folders: Mapping[str, str] = field(default_factory=dict)  # part -> its folder, where the source had to find it
    notes: tuple[str, ...] = ()  # what a user should know of how it was read, a sentence each
    reading: str = ""  # what else than its files makes it what it is

    @property
    def encoded(self) -> bool:
        """Whether its images are files to decode, which takes processes, and not arrays."""
        return self.side is None

    def stamp(self) -> str:
        """SHA-256 of title, reading, paths, sizes and times of change: another one where the source is another."""
        digest = hashlib.sha256((self.title + self.reading).encode(errors="surrogateescape"))
        for name in self.files():
            try:
                found = (self.root / name).stat()
                line = f"\n{found.st_size} {found.st_mtime_ns} ".encode()
            except OSError:  # a link to nothing: it will be left out
                line = b"\nmissing "
            digest.update(line + os.fsencode(name))
        return digest.hexdigest()


def held_out(index: int) -> bool:
    """Whether the image of this place, within its class, is a validation image."""
    return index % HELD_OUT == HELD_OUT - 1
