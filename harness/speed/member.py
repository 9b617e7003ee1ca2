"""One worker of a speed run, asked one thing at a time."""

from __future__ import annotations

import itertools
import queue
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import OUT_OF_MEMORY
from harness.launch import Event, Worker, WorkerSpec
from harness.requirements import why_missing
from impls import control_groups


class Fallen(Exception):
    """A worker, or one of its tasks, that came to nothing.

    status: what its row will say: does-not-fit, unsupported, missing, parity-failed, crashed or timed-out. gone: the
    process has ended.
    """

    def __init__(self, status: str, reason: str, *, gone: bool) -> None:
        super().__init__(f"{status}: {reason}")
        self.status, self.reason, self.gone = status, reason, gone


class Member:
    """A worker that takes part in the measurement of one setting."""

    def __init__(self, spec: WorkerSpec, log_folder: Path) -> None:
        """Start the process; it imports its framework meanwhile. Raises Fallen where the interpreter is not there."""
        self.spec = spec
        self._events: queue.Queue[Event] = queue.Queue()
        self._numbers = itertools.count()
        self._kills_before = control_groups.out_of_memory_kills()
        self._end: Fallen | None = None  # a worker tells of its end once
        try:
            self._worker = Worker(spec, self._events, log_folder)
        except OSError as error:
            raise Fallen("missing", f"cannot start {spec.python!r}: {error.strerror}", gone=True) from None

    @property
    def gone(self) -> bool:
        """Whether it is known to have ended: whatever it is asked raises Fallen at once."""
        return self._end is not None

    def wait_until_ready(self) -> None:
        """Return when the framework is imported. Raises Fallen."""
        self._next()

    def ask(self, do: str, **fields: Any) -> Mapping[str, Any]:
        """Have a task done; returns its fields. Raises Fallen."""
        self._worker.send({"do": do, "id": f"task{next(self._numbers)}", **fields})
        event = self._next()
        if event["event"] == "done":
            return event
        raise Fallen(_status(event), event["message"], gone=False)

    def finish(self) -> None:
        """Let it end."""
        self._worker.finish()

    def kill(self) -> None:
        """End it now."""
        self._worker.kill()

    def _next(self) -> Event:
        if self._end is None:
            event = self._events.get()
            if event["event"] in ("ready", "done", "failed"):
                return event
            self._end = self._fallen(event)
        raise self._end

    def _fallen(self, event: Event) -> Fallen:
        reason = str(event.get("reason", "ended"))
        if event["event"] == "missing":
            return Fallen("missing", why_missing(event, self.spec.target, self.spec.python), gone=True)
        tail = str(event.get("stderr", ""))
        if "(--timeout)" in reason:
            return Fallen("timed-out", reason, gone=True)
        if "SIGKILL" in reason and control_groups.out_of_memory_kills() > self._kills_before:
            return Fallen("does-not-fit", "the kernel ended it for want of memory", gone=True)
        if OUT_OF_MEMORY.search(said := f"{reason}\n{tail}"):
            return Fallen("does-not-fit", _last_line(said, OUT_OF_MEMORY), gone=True)
        return Fallen("crashed", reason + (f"; the end of what it printed:\n{tail}" if tail else ""), gone=True)


def _status(event: Event) -> str:
    if event["kind"] in ("unsupported", "no-room"):
        return "unsupported" if event["kind"] == "unsupported" else "missing"  # room on the disk: another time
    return "does-not-fit" if OUT_OF_MEMORY.search(event["message"]) else "crashed"


def _last_line(text: str, pattern: re.Pattern[str]) -> str:
    return next(line.strip() for line in reversed(text.splitlines()) if pattern.search(line))[:500]
