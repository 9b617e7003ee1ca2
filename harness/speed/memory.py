"""Memory of a worker process: its peak with its children's, and who dies first where there is too little."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from pathlib import Path

from harness import environment


def die_first() -> None:
    """Let the kernel end this process, and not the one that keeps the rows, where memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def forget_peak() -> None:
    """Count the peak from here: what was read for a check and freed again is no cost of training."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps freed memory otherwise
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: VmHWM starts again at the present size


def peak_mb() -> float:
    """The largest resident set of this process and, added, of those it started; MiB."""
    return environment.peak_memory_mb() + sum(_peak_of(child) for child in _descendants(os.getpid()))


def _descendants(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The command's name, in brackets, may hold spaces.
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _peak_of(process: int) -> float:
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0
