"""`mnist:PATH`: the four idx files of MNIST, or of a data set in its form, plain or gzipped.

The last sixth of the training images is the validation part, 50,000 and 10,000 of MNIST's, and the t10k files are the
test part: a learning rate that falls with the validation error must not see the test images.

References:
    LeCun, Cortes, Burges, The MNIST database of handwritten digits (the idx format, under "File formats")
"""

from __future__ import annotations

import functools
import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from harness.data.images import SHORTEST_SIDE
from harness.data.sources.source import Item, Listing, Reference, Skip, Source
from harness.errors import UsageError

CLASSES = 10
STEMS = {"train": "train", "test": "t10k"}
IMAGES, LABELS = 3, 1  # dimensions, the last byte of an idx file's magic number
MOST_BYTES = 1 << 30


def open_mnist(path: Path) -> Source:
    """The folder with the four files. Raises UsageError."""
    if not path.is_dir():
        raise UsageError(f"mnist:{path} is no folder: give the one with train-images-idx3-ubyte and its companions")
    images = {part: _find(path, stem, "images", IMAGES) for part, stem in STEMS.items()}
    labels = {part: _find(path, stem, "labels", LABELS) for part, stem in STEMS.items()}
    shapes = {part: _shape(file, IMAGES) for part, file in images.items()}
    for part, shape in shapes.items():
        if _shape(labels[part], LABELS)[0] != shape[0]:
            raise UsageError(f"{images[part]} holds {shape[0]} images and {labels[part]} another number of labels")
    if shapes["train"][1:] != shapes["test"][1:] or min(shapes["train"][1:]) < SHORTEST_SIDE:
        sizes = f"{shapes['train'][1:]} and {shapes['test'][1:]}"
        raise UsageError(f"{path} holds images of {sizes} pixels: expected one size, from {SHORTEST_SIDE} on")
    counts = {part: shape[0] for part, shape in shapes.items()}
    first_held_out = counts["train"] - counts["train"] // 6

    def listing(part: str, start: int, end: int) -> Listing:
        return lambda: _items(images[part], labels[part], start, end)

    return Source(
        title=f"mnist:{path.resolve().name}",
        root=path,
        channels=1,
        side=min(shapes["train"][1:]),
        classes=tuple(str(digit) for digit in range(CLASSES)),
        parts={
            "train": listing("train", 0, first_held_out),
            "val": listing("train", first_held_out, counts["train"]),
            "test": listing("test", 0, counts["test"]),
        },
        files=lambda: [file for part in STEMS for file in (images[part].name, labels[part].name)],
    )


def read(root: Path, reference: Reference) -> NDArray[np.uint8]:
    """One image, uint8 [H, W]: ink is white."""
    image: NDArray[np.uint8] = _images(root / str(reference[1]))[int(reference[2])]
    return image


def _items(images: Path, labels: Path, start: int, end: int) -> Iterator[Item | Skip]:
    found = _array(labels, LABELS)
    if found.max(initial=0) >= CLASSES:
        first = int(np.argmax(found >= CLASSES))
        raise UsageError(f"{labels} gives image {first} the label {found[first]}: expected 0 to {CLASSES - 1}")
    for index in range(start, end):
        yield Item(int(found[index]), f"{images.name.removesuffix('.gz')} {index}", ("idx", images.name, index))


@functools.lru_cache(maxsize=1)
def _images(file: Path) -> NDArray[np.uint8]:
    return _array(file, IMAGES)


def _find(folder: Path, stem: str, what: str, dimensions: int) -> Path:
    names = [f"{stem}-{what}{mark}idx{dimensions}-ubyte{end}" for end in ("", ".gz") for mark in "-."]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"{folder} has no {names[0]}, plain or with .gz: mnist: needs all four files")


def _open(file: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(file)) if file.suffix == ".gz" else file.open("rb")


def _shape(file: Path, dimensions: int) -> tuple[int, ...]:
    """What the header says, checked. Raises UsageError."""
    try:
        with _open(file) as stream:
            header = stream.read(4 + 4 * dimensions)
        magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise UsageError(f"{file} is no idx file ({error}): download it again") from None
    if magic != 0x800 | dimensions:
        raise UsageError(f"{file} begins with {magic:#010x} and not {0x800 | dimensions:#010x}: it is no such idx file")
    if not 0 < math.prod(shape) <= MOST_BYTES:
        raise UsageError(f"{file} claims {' x '.join(map(str, shape))} bytes: expected 1 to {MOST_BYTES:,}")
    return tuple(shape)


def _array(file: Path, dimensions: int) -> NDArray[np.uint8]:
    """The whole file, uint8. Raises UsageError where it is shorter or longer than its header says."""
    shape = _shape(file, dimensions)
    expected = 4 + 4 * dimensions + math.prod(shape)
    try:
        with _open(file) as stream:
            data = stream.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{file} is truncated or damaged ({error}): download it again") from None
    if len(data) != expected:
        more = "more" if len(data) > expected else f"{len(data):,}"
        raise UsageError(f"{file} should hold {expected:,} bytes by its header and holds {more}: download it again")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
