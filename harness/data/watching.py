"""How far preparing is: the bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from harness.data.prepare import Watch
from harness.progress import Progress

LINE_EVERY_S = 10.0


@contextlib.contextmanager
def watched(title: str) -> Iterator[Watch]:
    """A function that shows how far it is, on standard error."""
    with Progress(title) as progress:
        yield _Watcher(title, progress)


class _Watcher:
    def __init__(self, title: str, progress: Progress) -> None:
        self._title = title
        self._progress = progress
        self._first: int | None = None  # done by an earlier run, which says nothing of this one's speed
        self._done = 0
        self._started = self._said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first, self._started, self._said = done, now, now
            self._progress.expect(self._title, total)
        self._progress.advance(self._title, done - self._done)
        self._done = done
        if now - self._said >= LINE_EVERY_S and done > self._first:
            self._said = now
            rate = (done - self._first) / (now - self._started)
            left = (total - done) / rate
            self._progress.say(f"{done:,} of {total:,} images, {rate:,.0f} images/s, about {left:,.0f} s left")
