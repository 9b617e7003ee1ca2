"""From a reference to an image, in whatever process: what each kind of reference stands for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data import images
from harness.data.sources import cifar10, digits, mnist, photos
from harness.data.sources.source import Reference

MOST_BYTES_OF_A_MEMBER = 256_000_000


def read(root: Path, reference: Reference) -> Image.Image:
    """One image of Pillow's mode L or RGB. Raises ImageError for one that cannot be used."""
    kind = str(reference[0])
    if kind in _ARRAYS:
        return Image.fromarray(_ARRAYS[kind](root, reference))
    return _FILES[kind](root, reference)


def _file(root: Path, reference: Reference) -> Image.Image:
    path = root / str(reference[1])
    if not path.is_file():  # a pipe would be waited for without end
        raise images.ImageError(f"{str(path)!r} is no file, or is gone: replace it")
    return images.decode(path)


def _member(root: Path, reference: Reference) -> Image.Image:
    """A file inside an archive: where its bytes begin, and how many there are."""
    archive, start, size, name = reference[1:]
    path = root / str(archive)
    if int(size) > MOST_BYTES_OF_A_MEMBER:
        raise images.ImageError(f"{name!r} has {int(size):,} bytes: at most {MOST_BYTES_OF_A_MEMBER:,} are read")
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            data = os.pread(descriptor, int(size), int(start))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise images.ImageError(f"cannot read {name!r} in {str(path)!r}: {error.strerror}") from None
    return images.decode(Path(str(name)), data)


_FILES: dict[str, Callable[[Path, Reference], Image.Image]] = {"file": _file, "member": _member}
_ARRAYS: dict[str, Callable[[Path, Reference], NDArray[np.uint8]]] = {  # [H, W] of grey or [H, W, 3]
    "tile": photos.read,
    "digits": digits.read,
    "idx": mnist.read,
    "cifar10": cifar10.read,
}
