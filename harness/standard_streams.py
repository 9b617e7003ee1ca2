"""Standard output and error that cannot end a command: what nobody takes is dropped, and known at the end.

A disk that is full, a reader such as `head` that has gone, a terminal that lacks a character: none of these may cost a
measurement, nor be taken for a fault of the program.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class _Dropping(io.FileIO):
    """Writes to a descriptor. What cannot be written counts as written, and `error` says why it was not."""

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = self.error or error
            return memoryview(data).nbytes


class Output:
    """Standard output of a command under way."""

    def __init__(self, stream: TextIO, raw: _Dropping | None) -> None:
        """`raw` is where the stream leads; None in a test that has put a stream of its own there."""
        self.is_all = True  # there is nothing else that the command leaves
        self.is_torn = False  # it ended for want of memory, wherever it was
        self._stream, self._raw = stream, raw

    def loss(self) -> OSError | None:
        """Why not all of it could be written; None where it was."""
        with contextlib.suppress(ValueError):  # closed by somebody
            self._stream.flush()
        return None if self._raw is None else self._raw.error

    def reader_gone(self) -> bool:
        """Whether its reader ended first."""
        loss = self.loss()
        return loss is not None and loss.errno == errno.EPIPE


@contextlib.contextmanager
def guarded() -> Iterator[Output]:
    """`sys.stdout` and `sys.stderr` replaced for as long as a command runs."""
    _fill()
    before = sys.stdout, sys.stderr
    sys.stdout, raw = _without_failure(before[0], 1)
    sys.stderr, _ = _without_failure(before[1], 2)
    try:
        yield Output(sys.stdout, raw)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError):
                stream.flush()
        sys.stdout, sys.stderr = before


def _fill() -> None:
    """Nothing opened later may be taken for a standard stream that was closed: nobody listens there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _without_failure(stream: TextIO | None, number: int) -> tuple[TextIO, _Dropping | None]:
    """A stream to the same descriptor, in the same encoding; characters that it lacks are spelled out."""
    if stream is None:  # it was closed when Python started
        stream = open(number, "w", closefd=False)  # noqa: SIM115, as long as the process
    try:
        descriptor = stream.fileno()
        stream.flush()
    except (OSError, ValueError):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        return stream, None
    raw = _Dropping(descriptor, "w", closefd=False)
    lines = getattr(stream, "line_buffering", False)
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, stream.encoding, errors="backslashreplace", line_buffering=lines), raw
