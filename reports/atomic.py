"""Files that are either the old version or the new one, never half of either. Standard library only."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_CANNOT = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # what file systems say that cannot, of folders


def write_bytes(data: bytes, path: Path) -> None:
    """Put `data` at `path` through a temporary file beside it. Raises OSError, and then leaves `path` as it was."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:  # Ctrl-C included: the temporary file must not stay
        partial.unlink(missing_ok=True)
        raise


def remove_partial(folder: Path) -> None:
    """Remove the temporary files that processes which were killed left in a folder. Raises OSError.

    For who holds the folder's lock: the file of a process at work there would go as well.
    """
    for left in folder.glob(".*.partial"):
        left.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Return when the disk holds what was written to a file, by whichever process, or what a folder lists.

    What is written first may else reach it last, and a power cut leave a name without its content. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(descriptor)
