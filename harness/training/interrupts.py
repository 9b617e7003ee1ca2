"""Ctrl-C, SIGTERM and SIGHUP while a worker is busy: the step under way is finished first, so that it can be kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import FrameType

from harness.endings import Endings
from reports.render.terminal import say


class Interrupts(Endings):
    """In its `with` block a signal raises KeyboardInterrupt, but for the first one inside `deferred`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self._deferring = False

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
            super()._heard(number, frame)
        self.asked = True
        say("interrupted: keeping a checkpoint after this step; once more ends at once", error=True)
