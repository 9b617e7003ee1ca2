"""How far a long command is: a bar with an estimate of the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich import progress as bars

from reports.render.terminal import Console


class Progress:
    """Work done by several workers. Goes to standard error, so that standard output holds results alone."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._title = title
        self._started = time.monotonic()
        self._parts: dict[str, float] = {}  # label -> total
        self._done: dict[str, float] = {}
        self._bar = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(),
            bars.TaskProgressColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("about"),
            bars.TimeRemainingColumn(),
            bars.TextColumn("left"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=1.0)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def expect(self, label: str, total: float) -> None:
        """Add a part of the work."""
        self._parts[label], self._done[label] = total, 0.0

    def advance(self, label: str, amount: float) -> None:
        """A part got on."""
        self._done[label] = min(self._parts[label], self._done[label] + amount)
        self._show()

    def reach(self, label: str, amount: float) -> None:
        """A part is so far, whatever was told before."""
        self._done[label] = min(self._parts[label], amount)
        self._show()

    def title(self, text: str) -> None:
        """What is under way: beside the bar on a terminal, nothing elsewhere."""
        self._bar.update(self._task, description=text)

    def end(self, label: str) -> None:
        """A part will get no further."""
        self._done[label] = self._parts[label]
        self._show()

    def say(self, text: str) -> None:
        """A line of what happened: beside the bar on a terminal until the next one, with the seconds elsewhere."""
        if self._console.is_terminal:
            self._bar.update(self._task, description=text)
        else:
            self.tell(text)

    def tell(self, text: str) -> None:
        """A line of what happened, with the seconds: it stays, above the bar on a terminal."""
        line = f"[{time.monotonic() - self._started:6.1f} s] {text}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _show(self) -> None:
        total = sum(self._parts.values()) or 1.0
        self._bar.update(self._task, completed=sum(self._done.values()) / total)
