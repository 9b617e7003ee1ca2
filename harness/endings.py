"""The signals that end a command as Ctrl-C does: SIGTERM, and SIGHUP, which comes where the terminal has gone."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Endings:
    """In its `with` block each of them raises KeyboardInterrupt. One that is ignored, as by nohup, stays so.

    The command line is such a block, and so is what must have its end undisturbed.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        heard = [number for number in ENDINGS if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._heard) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def ignore(self) -> None:
        """From now on none of them disturbs what is left to do in the block."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt
