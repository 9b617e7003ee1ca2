"""Files that are either the old version or the new one, never half of either. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path


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
