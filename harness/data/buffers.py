"""Memory for batches, used again as soon as nobody holds the batch any more.

A paper's batch has 77 MB. Fresh memory of that size comes from the kernel every time, which fills it with zeros page by
page: as much as a third of the time that a batch of views takes.
"""

from __future__ import annotations

import weakref
from collections import deque

import numpy as np
from numpy.typing import NDArray


class Buffers:
    """Float32 arrays of one shape, as many as are held at the same time."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._free: deque[NDArray[np.float32]] = deque()  # its ends may be taken and given by several threads

    def empty(self) -> NDArray[np.float32]:
        """An array of any content. Its memory comes back when it and every view of it are gone."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(int(np.prod(self._shape)), np.float32)
        # NumPy makes a view's `base` the array that has the memory, and so would keep `memory` alive and not what is
        # handed out. Behind a memoryview it stops at `lent`, which lives as long as any view of it.
        lent = np.frombuffer(memory.data, np.float32)
        weakref.finalize(lent, self._free.append, memory).atexit = False
        return lent.reshape(self._shape)
