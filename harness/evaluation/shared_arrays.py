"""Arrays with a row per image in files that several processes map: probabilities, features. Gone through in pieces."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

PIECE = 4096  # images at a time


def pieces(images: int, size: int = PIECE) -> Iterator[slice]:
    """Slices that cover so many images."""
    return (slice(start, min(start + size, images)) for start in range(0, images, size))


def shared_array(folder: Path, shape: tuple[int, int], dtype: DTypeLike = np.float64) -> Path:
    """An array of zeros in a .npy file that workers fill in.

    Raises OSError where there is no room for it: a mapped file that grows on a full disk would end the process.
    """
    descriptor, name = tempfile.mkstemp(prefix="shared-", suffix=".npy", dir=folder)
    os.close(descriptor)
    path = Path(name)
    try:
        made = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)
        del made
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
