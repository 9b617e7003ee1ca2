"""The process that runs one framework: `python -m harness.worker MODULE:ATTRIBUTE EVENT_FD`.

Tasks are JSON lines on standard input (see `harness.tasks`), events JSON lines on the file descriptor given. The
process ends after the task `finish`, and at once where its parent is gone: an input that closes without `finish` says
so.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Any

from harness.environment import peak_memory_mb
from harness.errors import OUT_OF_MEMORY, is_no_room
from impls import registry

if TYPE_CHECKING:
    from harness import tasks

Task = dict[str, Any]


class Events:
    """The pipe to the parent."""

    def __init__(self, descriptor: int) -> None:
        self._pipe = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)

    def send(self, event: str, **fields: Any) -> None:
        """Write one event as a line."""
        # The line begins with its own end of line, in case somebody else left one unfinished.
        self._pipe.write("\n" + json.dumps({"event": event, **fields}) + "\n")
        self._pipe.flush()


def _own_input() -> IO[str]:
    """Standard input for us alone: user code that reads it finds nothing, instead of our tasks."""
    own = os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    return own


def _read_tasks(tasks_in: IO[str], inbox: queue.Queue[Task]) -> None:
    """Pass tasks on as they arrive; end the process where the parent is gone."""
    for line in tasks_in:
        inbox.put(json.loads(line))
    os._exit(1)  # also while the last task runs: after `finish` the parent keeps its end open until we are gone


def one_line(error: BaseException) -> str:
    """An exception as one line: its type and the first line of its message that is not empty."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


def _perform(task: Task, runner: tasks.Runner, events: Events) -> None:
    from harness import tasks
    from impls.protocol import Unsupported

    started = time.perf_counter()
    try:
        fields = runner.run(task)
    except Unsupported as error:
        events.send("failed", task=task["id"], kind="unsupported", message=str(error))
    except (tasks.BadOutput, registry.NotLoadable) as error:
        events.send("failed", task=task["id"], kind="bad-output", message=str(error))
    except BaseException as error:  # whatever a framework or a user's file raises is that worker's result
        kind = "no-room" if is_no_room(error) else "exception"
        events.send("failed", task=task["id"], kind=kind, message=one_line(error))
    else:
        events.send("done", task=task["id"], seconds=time.perf_counter() - started, **fields)


def main() -> None:
    """Run tasks until told to finish."""
    target, descriptor = sys.argv[1], int(sys.argv[2])
    os.set_inheritable(descriptor, False)
    _work(target, Events(descriptor))
    # Frameworks' own threads and exit handlers can stall or crash an exit; the results are out already.
    _flush_coverage()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError, AttributeError):  # user code may have closed it
            stream.flush()
    os._exit(0)


def _work(target: str, events: Events) -> None:
    """Load the framework and run the tasks."""
    inbox: queue.Queue[Task] = queue.Queue()
    threading.Thread(target=_read_tasks, args=(_own_input(), inbox), daemon=True).start()
    loads = False
    try:
        from harness import tasks  # needs NumPy, which an interpreter named with --python may lack

        runner, loads = tasks.Runner(target), True
        runner.load()
    except registry.NotLoadable as error:
        kind = "missing" if isinstance(error, registry.NoSuchModule) else "load-failed"
        events.send(kind, reason=str(error), wrong_target=True)
        return
    except ImportError as error:
        if OUT_OF_MEMORY.search(str(error)):  # what is installed and finds no memory is not missing
            events.send("load-failed", reason=one_line(error))
            return
        name = registry.framework_of(target)
        broken = loads and bool(name) and not registry.missing_modules(name)  # it is there, and cannot be imported
        events.send("missing", reason=one_line(error), broken=broken)
        return
    except BaseException as error:  # a broken installation or a user's file that raises on import
        events.send("load-failed", reason=one_line(error))
        return
    events.send("ready")
    while (task := inbox.get())["do"] != "finish":
        _perform(task, runner, events)
    events.send("finished", peak_memory_mb=peak_memory_mb())


def _flush_coverage() -> None:
    """Keep coverage's data where the tests measure it, since os._exit skips its exit handler."""
    with contextlib.suppress(ImportError):
        import coverage

        current = coverage.Coverage.current()
        if current is not None:
            current.stop()
            current.save()


if __name__ == "__main__":
    main()
