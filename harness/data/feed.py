"""Batches prepared ahead by threads, handed over in order. NumPy releases the interpreter's lock while it copies."""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Source(Protocol[T_co]):
    """What knows every step's batch: `harness.data.stream.Stream`."""

    def batch(self, step: int) -> T_co:
        """The batch of one step."""


class Feed(AbstractContextManager["Feed[T]"], Generic[T]):
    """The batches of `first_step` and the steps after it.

    At most `threads` + 1 batches wait or are being made, so memory is bounded whatever the data's size.
    """

    def __init__(self, source: Source[T], first_step: int = 0, threads: int = 1) -> None:
        if threads < 1:
            raise ValueError(f"threads = {threads} must be at least 1")
        self._source, self._threads = source, threads
        self._steps = itertools.count(first_step)
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: deque[Future[T]] = deque()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="feed")
        for _ in range(self._threads + 1):
            self._ahead.append(self._prepare(self._pool))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None
        self._ahead.clear()

    def next(self) -> T:
        """The next step's batch; waits until it is there. Raises what a thread met, again at every further call."""
        if self._pool is None:
            raise RuntimeError("a feed gives batches inside its `with` block only")
        batch = self._ahead[0].result()
        self._ahead.popleft()
        self._ahead.append(self._prepare(self._pool))
        return batch

    def _prepare(self, pool: ThreadPoolExecutor) -> Future[T]:
        return pool.submit(self._source.batch, next(self._steps))
