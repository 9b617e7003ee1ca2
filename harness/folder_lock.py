"""A folder, or a file, that belongs to one process and to those it hands the lock down to.

The system lets go of the lock when the last of them has ended, however that came: a number in a file would outlive a
kill and a reboot, and may by then be that of another process.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of the file system


class Held(Exception):
    """Another process has it."""


def take(path: Path, *, wait: bool = False) -> int:
    """Lock it; returns the descriptor whose closing lets go. Raises Held, OSError.

    With `wait` those who only look are waited for. Where the file system has no locks, nobody is kept out.
    """
    return _locked(path, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def is_held(path: Path) -> bool:
    """Whether another process has it. Raises OSError."""
    try:
        os.close(_locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB))
    except Held:
        return True
    return False


def _locked(path: Path, kind: int) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind)
    except BlockingIOError:
        os.close(descriptor)
        raise Held from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            os.close(descriptor)
            raise
    return descriptor
