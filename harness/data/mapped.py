"""NumPy files that several processes fill at their own places.

By writing, and not through memory: a full disk is then an error, where mapped memory would end the process.
"""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import numpy as np

from harness.errors import CannotMeasure

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)  # by the disk's file system


def header(shape: tuple[int, ...]) -> bytes:
    """The first bytes of an .npy file of uint8; as long for N images as for fewer."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def reserve(path: Path, size: int) -> None:
    """Make a file of so many bytes and have the disk keep room for them. Raises CannotMeasure where it has none."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if os.fstat(descriptor).st_size == size:
            return
        os.ftruncate(descriptor, 0)
        try:
            _allocate(descriptor, size)
        except OSError as error:
            os.ftruncate(descriptor, 0)  # gives back what there was
            space = os.fstatvfs(descriptor)
            free = space.f_bavail * space.f_frsize
            raise CannotMeasure(
                f"cannot reserve {size:,} bytes for {path}: {error.strerror}; {free:,} bytes are free"
            ) from None
    finally:
        os.close(descriptor)


def _allocate(descriptor: int, size: int) -> None:
    if not size:
        return
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        else:
            return
    os.ftruncate(descriptor, size)


def write_at(path: Path, offset: int, data: bytes | memoryview) -> None:
    """Put bytes at their place in a file that is there. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        left = memoryview(data).cast("B")
        while left:
            done = os.pwrite(descriptor, left, offset)
            left, offset = left[done:], offset + done
    finally:
        os.close(descriptor)
