"""`cifar10:PATH`: CIFAR-10 in its Python or its binary version, as the archive or as its folder.

The fifth batch is the validation part and `test_batch` the test part: a learning rate that falls with the validation
error must not see the test images.

References:
    Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009 (https://www.cs.toronto.edu/~kriz/cifar.html)
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data.sources import cifar_pickle
from harness.data.sources.source import Item, Listing, Reference, Skip, Source
from harness.data.sources.tar_members import files_in
from harness.errors import UsageError

SIDE, CLASSES = 32, 10
BATCHES = {"train": ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4"), "val": ("data_batch_5",)}
BATCHES |= {"test": ("test_batch",)}
PLACES = ("", "cifar-10-batches-py", "cifar-10-batches-bin", "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
MOST_BYTES = 1 << 26  # of one batch; the published ones have half of that
RECORD = 1 + cifar_pickle.PIXELS  # of the binary version: a label, then the pixels


class _Batch(NamedTuple):
    pixels: NDArray[np.uint8]  # [N, 3072]
    labels: NDArray[np.int64]  # [N]
    names: list[str]


def open_cifar10(path: Path) -> Source:
    """An archive, the folder it unpacks to, or a folder that holds one of the two. Raises UsageError."""
    place = _place(path)
    root = path if path.is_dir() else path.parent

    def listing(batches: tuple[str, ...]) -> Listing:
        return lambda: _items(root, place, batches)

    return Source(
        title=f"cifar10:{path.resolve().name}",
        root=root,
        channels=3,
        side=SIDE,
        classes=_class_names(place),
        parts={part: listing(batches) for part, batches in BATCHES.items()},
        files=lambda: [file.relative_to(root).as_posix() for file in _files(place)],
    )


def read(root: Path, reference: Reference) -> NDArray[np.uint8]:
    """One image, uint8 [32, 32, 3]."""
    pixels: NDArray[np.uint8] = _batch(root / str(reference[1]), str(reference[2])).pixels[int(reference[3])]
    return pixels.reshape(3, SIDE, SIDE).transpose(1, 2, 0)


def _items(root: Path, place: Path, batches: tuple[str, ...]) -> Iterator[Item | Skip]:
    inside = place.relative_to(root).as_posix()
    for batch in batches:
        found = _batch(place, batch)
        for index, (label, name) in enumerate(zip(found.labels, found.names, strict=True)):
            yield Item(int(label), name, ("cifar10", inside, batch, index))


def _place(path: Path) -> Path:
    """Where the batches are. Raises UsageError."""
    if path.is_file():
        return path
    for place in (path / name for name in PLACES):
        if place.is_file() or (place.is_dir() and _file(place, "data_batch_1").is_file()):
            return place
    raise UsageError(f"cifar10:{path} holds no data_batch_1, data_batch_1.bin or {PLACES[3]}: expected CIFAR-10")


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else [_file(place, name) for name in chain(*BATCHES.values())]


def _file(folder: Path, name: str) -> Path:
    binary = folder / f"{name}.bin"
    return binary if binary.is_file() else folder / name


def _class_names(place: Path) -> tuple[str, ...]:
    for name, read_names in (("batches.meta", cifar_pickle.read_names), ("batches.meta.txt", _lines)):
        found = _bytes(place, name)
        if found is not None:
            try:
                names = read_names(found[1])
            except cifar_pickle.NotABatch as error:
                raise UsageError(f"{place}: {name} is not CIFAR's: {error}; download it again") from None
            if len(names) != CLASSES:
                raise UsageError(f"{place}: {name} has {len(names)} class names, expected {CLASSES}")
            return tuple(names)
    raise UsageError(f"{place} has no batches.meta: it is not CIFAR-10, or not whole")


def _lines(data: bytes) -> list[str]:
    return [line for line in data.decode("utf-8", "backslashreplace").split("\n") if line.strip()]


@functools.lru_cache(maxsize=6)  # all six: 184 MB
def _batch(place: Path, name: str) -> _Batch:
    """One batch, checked. Raises UsageError."""
    read = _bytes(place, f"{name}.bin", name)
    if read is None:
        raise UsageError(f"{place} has no {name}: it is not CIFAR-10, or not whole")
    file, data = read
    try:
        found = _from_pickle(data) if file == name else _from_binary(name, data)
    except cifar_pickle.NotABatch as error:
        raise UsageError(f"{place}: {name} is not CIFAR's: {error}; download it again") from None
    wrong = np.flatnonzero((found.labels < 0) | (found.labels >= CLASSES))
    if len(wrong):
        raise UsageError(
            f"{place}: {name} gives image {wrong[0]} the label {found.labels[wrong[0]]}: expected 0 to {CLASSES - 1}"
        )
    return found


def _from_pickle(data: bytes) -> _Batch:
    batch = cifar_pickle.read_batch(data)
    labels = np.array([max(-1, min(label, 1 << 31)) for label in batch.labels], np.int64)
    return _Batch(batch.pixels, labels, batch.names)


def _from_binary(name: str, data: bytes) -> _Batch:
    if not data or len(data) % RECORD:
        raise cifar_pickle.NotABatch(f"its {len(data):,} bytes are no whole number of records of {RECORD}")
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    names = [f"{name}.bin {index}" for index in range(len(records))]
    return _Batch(records[:, 1:], records[:, 0].astype(np.int64), names)


def _bytes(place: Path, *names: str) -> tuple[str, bytes] | None:
    """The first file there is of these, its name and its bytes, out of the folder or the archive. Raises UsageError."""
    if not place.is_dir():
        return next(files_in(place, names.__contains__, MOST_BYTES), None)
    for name in names:
        file = place / name
        if not file.is_file():
            continue
        try:
            with file.open("rb") as stream:
                data = stream.read(MOST_BYTES + 1)
        except OSError as error:
            raise UsageError(f"cannot read {file}: {error.strerror}") from None
        if len(data) > MOST_BYTES:
            raise UsageError(f"{file} has more than {MOST_BYTES:,} bytes: it is not CIFAR's")
        return name, data
    return None
