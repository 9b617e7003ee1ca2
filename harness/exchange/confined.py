"""Somebody else's file in the hands of a native library: in a child process that may die, and nothing more.

HDF5 and TensorStore are written in C and C++ and take what a file says for true. They see a hostile file only in a
child of bounded memory, time and output; that it is killed, aborts, hangs or asks for too much becomes a `FormatError`
of one line here. The child runs a function of ours, by its dotted name, and answers in JSON; arrays go to files in a
folder of this process.

    def function(path: Path, **arguments: JSON) -> JSON

may raise FormatError and CannotMeasure, which arrive as such. One child takes many files, one after the other; where
it dies a new one goes on behind the file that it died of.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import queue
import signal
import site
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from harness.errors import CannotMeasure
from harness.exchange.foreign import FormatError
from impls import child_process
from reports.format import clean

MIB = 1 << 20
MOST_ANSWER = 64 * MIB  # bytes of JSON for one file
START = 60.0  # seconds that the interpreter and its libraries may take to begin, on a busy machine
MODULE = "harness.exchange.confined"
NO_PROCESS = "the process for it cannot be started, perhaps for want of memory"

# A library may look for plug-ins and configuration where the environment says: the child's says next to nothing.
ENVIRONMENT = {
    "HDF5_PLUGIN_PRELOAD": "::",  # no filters from shared libraries that a file names
    "HDF5_USE_FILE_LOCKING": "FALSE",
    "OPENBLAS_NUM_THREADS": "1",  # each of its threads would reserve memory
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONDONTWRITEBYTECODE": "1",
}
KEPT = (
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "LANG", "LC_ALL", "PYTHONNOUSERSITE"
)  # fmt: skip


class Limits(NamedTuple):
    """What one file may cost the child."""

    memory: int = 1024 * MIB  # of address space, the interpreter's and its libraries' included
    seconds: float = 60.0  # of the clock, and of the processor


STANDARD = Limits()


class Request(NamedTuple):
    """One file, and what the function is told beside it."""

    path: Path
    arguments: Mapping[str, Any] = {}
    shown: Path | None = None  # what the user calls it, where that is another file

    def named(self, message: str) -> str:
        """A child's message about the file, with the user's name of it."""
        return message.replace(repr(str(self.path.absolute())), self.name)

    @property
    def name(self) -> str:
        """For messages."""
        return repr(str(self.shown or self.path))


def run(function: str, path: Path, limits: Limits = STANDARD, *, shown: Path | None = None, **arguments: Any) -> Any:
    """The function's answer for one file, which messages call `shown`. Raises FormatError, CannotMeasure."""
    answer = next(each(function, [Request(path, arguments, shown)], limits))
    if isinstance(answer, Exception):
        raise answer
    return answer


def each(
    function: str, requests: Sequence[Request], limits: Limits = STANDARD
) -> Iterator[Any | FormatError | CannotMeasure]:
    """The function's answers for many files in their order, an exception in the place of an answer.

    Raises CannotMeasure where no child can be started.
    """
    done = 0
    while done < len(requests):
        with _Child(function, requests[done:], limits) as child:
            if child.answer(START) is None:
                raise CannotMeasure(f"{requests[done].name} cannot be read: {NO_PROCESS}: it ended before it had begun")
            for request in requests[done:]:
                line = child.answer(limits.seconds)
                done += 1
                if line is None:
                    yield FormatError(f"{request.name} cannot be read: {child.end()}")
                    break
                yield _unpacked(line, request)


def _unpacked(line: str, request: Request) -> Any | FormatError | CannotMeasure:
    answer = json.loads(line)
    match answer["outcome"]:
        case "done":
            return answer["value"]
        case "missing":
            return CannotMeasure(answer["message"])
    return FormatError(request.named(answer["message"]).replace("\n", " ") or f"{request.name} cannot be read")


class _Child:
    """A process that says when it is ready, and then a line of JSON for each request."""

    def __init__(self, function: str, requests: Sequence[Request], limits: Limits) -> None:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        if base := site.getuserbase():
            kept["PYTHONUSERBASE"] = base
        try:
            self._process = subprocess.Popen(
                child_process.command(MODULE),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=child_process.environment({**kept, **ENVIRONMENT}),
                start_new_session=True,  # an interrupt of the command is the command's to handle
            )
        except OSError as error:
            raise CannotMeasure(f"{requests[0].name} cannot be read: {NO_PROCESS}: {error.strerror or error}") from None
        asked = {
            "function": function,
            "memory": limits.memory,
            "seconds": limits.seconds,
            "requests": [[str(request.path.absolute()), dict(request.arguments)] for request in requests],
        }
        self._seconds = limits.seconds
        self._is_late = self._is_over = False
        self._lines: queue.Queue[str | None] = queue.Queue()
        text = json.dumps(asked).encode()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            threading.Thread(target=_send, args=(self._process.stdin, text), daemon=True).start()
            threading.Thread(target=_receive, args=(self._process.stdout, self._lines), daemon=True).start()
        except RuntimeError as error:
            self.__exit__()
            raise CannotMeasure(f"{requests[0].name} cannot be read: {NO_PROCESS}: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def answer(self, seconds: float) -> str | None:
        """The next line; None where there is none in time, or where the process has ended."""
        if self._is_over:
            return None
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            self._is_late, line = True, None
        self._is_over = line is None
        return line

    def end(self) -> str:
        """Why there was no answer, for people."""
        if self._is_late:
            return f"it took more than {self._seconds:g} s"
        code = self._process.wait()
        if code == -signal.SIGXCPU:
            return f"it took more than {self._seconds:g} s"
        return "it is damaged, or made to do harm: the library that reads it was stopped" + (
            f" by signal {-code}" if code < 0 else f" with exit code {code}"
        )


def _send(pipe: IO[bytes], text: bytes) -> None:
    with contextlib.suppress(OSError), pipe:
        pipe.write(text)


def _receive(pipe: IO[bytes], lines: queue.Queue[str | None]) -> None:
    with pipe:
        while line := pipe.readline(MOST_ANSWER):
            if not line.endswith(b"\n"):
                break  # cut off in the middle, or longer than an answer may be
            lines.put(line.decode())
    lines.put(None)


def _limit(memory: int, seconds: float) -> None:
    """Bounds on this process; where the system knows none (Windows), the parent's clock remains."""
    with contextlib.suppress(ImportError):
        import resource

        bounds = {resource.RLIMIT_AS: memory, resource.RLIMIT_CORE: 0}
        for kind, bound in bounds.items():
            with contextlib.suppress(ValueError, OSError):
                hard = resource.getrlimit(kind)[1]
                wanted = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
                resource.setrlimit(kind, (wanted, wanted))
        _more_time(seconds)


def _more_time(seconds: float) -> None:
    """Processor time for the next file."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + seconds) + 1, hard))


def _performed(function: Any, path: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"outcome": "done", "value": function(Path(path), **arguments)}
    except FormatError as error:
        return {"outcome": "refused", "message": str(error)}
    except CannotMeasure as error:
        return {"outcome": "missing", "message": str(error)}
    except MemoryError:
        return {"outcome": "refused", "message": f"{path!r} cannot be read: it wants too much memory"}
    except Exception as error:  # whatever a library raises for a damaged file
        said = clean(str(error))[:200]
        return {"outcome": "refused", "message": f"{path!r} cannot be read: {type(error).__name__}: {said}"}


def main() -> None:
    """Answer the requests on standard input, a line for each on standard output."""
    asked = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    module, _, name = asked["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    _limit(asked["memory"], asked["seconds"])
    answers.write("ready\n")
    answers.flush()
    for path, arguments in asked["requests"]:
        _more_time(asked["seconds"])
        text = json.dumps(_performed(function, path, arguments))
        answers.write(text + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
