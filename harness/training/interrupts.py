"""Ctrl-C and SIGTERM while a worker is busy: the step under way is finished first, so that it can be kept."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """In its `with` block a signal raises KeyboardInterrupt, but for the first one inside `deferred`."""

    def __init__(self) -> None:
        self.asked = False
        self._deferring = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """The first signal only sets `asked`."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self._deferring:
            raise KeyboardInterrupt
        self.asked = True
        print("interrupted: keeping a checkpoint after this step; once more ends at once", file=sys.stderr)
