"""Where a timed step's batch comes from: the device, the host's memory, or a file of images."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from impls.protocol import Array, Batch

RING = 4  # batches in the host's memory: more than one, so that the next is not in the cache already
AHEAD = 2  # batches that the file's thread prepares
PIXEL_MEAN = 127.5  # of pixels drawn evenly from 0 to 255
MARGIN = 32  # by so much images of the file are larger than the network's input (paper, section 4.1: 256 for 224)


class Feed(Protocol):
    """Batches, one for each step."""

    def next(self) -> Batch | None:
        """The next step's batch; None where the one that is loaded is used again."""


class Synthetic:
    """One batch, on the device already."""

    def next(self) -> Batch | None:
        """Nothing to load."""
        return None


class Host:
    """A ring of different batches in the host's memory."""

    def __init__(self, batch: Batch) -> None:
        shifted = [Batch(np.roll(batch.images, i, axis=0), np.roll(batch.labels, i), {}) for i in range(RING)]
        self._ring = itertools.cycle(shifted)

    def next(self) -> Batch | None:
        """The next of the ring."""
        return next(self._ring)


class File(AbstractContextManager["File"]):
    """Random crops and mirror images (paper, section 4.1) of a memory-mapped file, prepared by a thread."""

    def __init__(self, pixels: NDArray[np.uint8], labels: NDArray[np.integer], batch_size: int) -> None:
        """`pixels` [M, H + MARGIN, W + MARGIN, C] for a network of input [H, W, C]."""
        self._batches = crops(pixels, labels, batch_size)
        self._ready: queue.Queue[Batch | Exception] = queue.Queue(AHEAD)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._prepare, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        while self._thread.is_alive():
            self._drain()
            self._thread.join(0.05)

    def next(self) -> Batch | None:
        """Waits until the thread has one. Raises what the thread met."""
        found = self._ready.get()
        if isinstance(found, Exception):
            raise found
        return found

    def _drain(self) -> None:
        while not self._ready.empty():
            self._ready.get_nowait()

    def _prepare(self) -> None:
        try:
            for batch in self._batches:
                self._offer(batch)
                if self._over.is_set():
                    return
        except Exception as error:  # a file that can no longer be read, say: the step that waits is told
            self._offer(error)

    def _offer(self, what: Batch | Exception) -> None:
        while not self._over.is_set():
            with contextlib.suppress(queue.Full):
                self._ready.put(what, timeout=0.1)
                return


def crops(pixels: NDArray[np.uint8], labels: NDArray[np.integer], batch_size: int) -> Iterator[Batch]:
    """Batches without end, MARGIN smaller than the images, the same for every framework."""
    rng = np.random.default_rng(0)
    _, *sides, channels = pixels.shape
    height, width = (side - MARGIN for side in sides)
    for start in itertools.count(0, batch_size):
        chosen = np.arange(start, start + batch_size) % len(pixels)
        corners = rng.integers(0, MARGIN + 1, (batch_size, 2))
        mirrored = rng.integers(0, 2, batch_size).astype(bool)
        images = np.empty((batch_size, height, width, channels), np.float32)
        for image, index, (y, x), mirror in zip(images, chosen, corners, mirrored, strict=True):
            crop = pixels[index, y : y + height, x : x + width]
            np.subtract(crop[:, ::-1] if mirror else crop, np.float32(PIXEL_MEAN), out=image)
        yield Batch(images, np.asarray(labels[chosen]), {})


def made(source: str, batch: Batch, file: Path) -> AbstractContextManager[Feed]:
    """The feed of a name in `options.INPUTS`; `file` is the images' file, whose labels repeat the batch's."""
    if source == "host":
        return nullcontext(Host(batch))
    if source == "file":
        pixels = np.load(file, mmap_mode="r", allow_pickle=False)
        labels = np.resize(batch.labels, len(pixels))
        return File(pixels, labels, len(batch.labels))
    return nullcontext(Synthetic())


def as_images(pixels: NDArray[np.uint8]) -> Array:
    """uint8 [N, H, W, C] to float32 around zero; exact."""
    return pixels.astype(np.float32) - np.float32(PIXEL_MEAN)
