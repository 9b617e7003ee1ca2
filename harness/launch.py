"""Fresh worker processes, one per framework: started, fed with tasks, listened to, and never left behind.

Tasks go to a worker's standard input as JSON lines, events come back as JSON lines on a pipe of their own, because
frameworks print on standard output. The environment a framework reads on import (threads, TF32, memory growth) is set
before the process exists.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from impls import child_process
from reports.format import visible

CHECKOUT = Path(__file__).resolve().parent.parent
STDERR_LINES_KEPT = 8
ANSWERS = ("done", "failed")  # to a task
CLOSING = ("finished", "missing", "load-failed")
LOOK_S = 0.2  # how often a process is looked at
LEAVING_S = 30.0  # for a worker that has said its last
MOST_IN_PIPE = 1 << 20  # bytes; systems let a pipe hold no more

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What to run: a label for rows, the implementation's "module:attribute", and where."""

    label: str
    target: str
    python: str = sys.executable
    device: str = "cpu"
    threads: int | None = None
    silence_limit_s: float = 600.0  # a worker that says nothing for so long is taken to hang
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()  # variables of ours that it does not get


def import_root(spec: WorkerSpec, folder: Path) -> Path:
    """The folder in which the worker's interpreter finds `harness` and `impls`, and nothing else of ours.

    Installed, these lie in a site-packages folder whose other packages belong to this interpreter alone: another one
    gets the two by links.
    """
    if (CHECKOUT / "pyproject.toml").is_file() or spec.python == sys.executable:
        return CHECKOUT
    root = folder.absolute() / "import"
    root.mkdir(exist_ok=True)
    for package in ("harness", "impls"):
        with contextlib.suppress(FileExistsError):
            (root / package).symlink_to(CHECKOUT / package, target_is_directory=True)
    return root


def worker_environment(spec: WorkerSpec) -> dict[str, str]:
    """The environment of one worker: ours, plus what must stand before a framework is imported."""
    environment = dict(os.environ)
    environment.update(
        TF_CPP_MIN_LOG_LEVEL="3",
        TF_FORCE_GPU_ALLOW_GROWTH="true",
        XLA_PYTHON_CLIENT_PREALLOCATE="false",
        NVIDIA_TF32_OVERRIDE=environment.get("NVIDIA_TF32_OVERRIDE", ""),
        PYTHONUNBUFFERED="1",
    )
    if not environment["NVIDIA_TF32_OVERRIDE"]:
        del environment["NVIDIA_TF32_OVERRIDE"]
    if spec.device == "cpu":
        environment.update(CUDA_VISIBLE_DEVICES="", JAX_PLATFORMS="cpu")
    if spec.threads:
        count = str(spec.threads)
        environment.update(OMP_NUM_THREADS=count, MKL_NUM_THREADS=count, OPENBLAS_NUM_THREADS=count)
        environment.update(TF_NUM_INTRAOP_THREADS=count)
    environment.update(spec.extra_environment)
    return {name: value for name, value in environment.items() if name not in spec.without}


def _new_log(folder: Path, label: str) -> IO[bytes]:
    """A file of its own: the one before it of the same label may still be writing, or be read for its last words."""
    name = label.replace("/", "_")
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError):
            return (folder / (f"{name}.stderr" if number == 1 else f"{name}-{number}.stderr")).open("xb")
    raise AssertionError  # numbers do not end


def _is_event(found: Any) -> bool:
    """Whether a line of the pipe is one of the worker's own, and not what user code wrote there."""
    if not isinstance(found, dict) or str(found.get("event")) not in ("ready", *ANSWERS, *CLOSING):
        return False
    return found["event"] not in ANSWERS or isinstance(found.get("task"), str)


def _made_visible(event: Event) -> Event:
    """What the worker has to say, with control characters spelled out; names and figures as they are."""
    return {key: visible(str(value)) if key in ("reason", "message") else value for key, value in event.items()}


class _EventPipe(io.RawIOBase):
    """The reading end of a worker's events. It ends with the worker, though a process it left behind holds it open."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor = descriptor
        self._process = process
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._left: int | None = None  # bytes to be read yet, once the worker is gone

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._left is None:
            if self._process.poll() is not None:
                self._left = MOST_IN_PIPE  # what the worker wrote is in the pipe by now
            elif self._poll.poll(LOOK_S * 1000):
                return os.readv(self._descriptor, [buffer])
        if not self._poll.poll(0):
            return 0
        count = os.readv(self._descriptor, [memoryview(buffer)[: self._left]])
        self._left -= count
        return count

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class Worker:
    """One running worker. Its events arrive on the queue given, each with a `worker` key holding the label.

    The last event is always one of: `finished` (it was told to finish and did), `missing` (the framework is not
    installed), `load-failed` (its module raised), `died` (crash, kill or time-out; `reason` says which, with the end of
    its stderr).
    """

    def __init__(self, spec: WorkerSpec, events: queue.Queue[Event], log_folder: Path) -> None:
        """Start the process. Raises OSError where there is no such interpreter, or no room for what it needs."""
        self.spec = spec
        self._events = events
        self._closing: Event | None = None
        self._timed_out = False
        self._last_sign = time.monotonic()
        self._asked, self._answered = 1, 0  # each written by one thread; the first answer is that it is ready
        log_folder.mkdir(parents=True, exist_ok=True)
        log = _new_log(log_folder, spec.label)
        self._stderr_path = Path(log.name)
        read_end, write_end = os.pipe()
        try:
            with log:
                self._process = subprocess.Popen(
                    child_process.command("harness.worker", spec.target, str(write_end), python=spec.python),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=child_process.environment(worker_environment(spec), import_root(spec, log_folder)),
                    pass_fds=(write_end,),
                    start_new_session=True,  # Ctrl-C in the terminal reaches us alone; we end the worker's whole group
                )
        except OSError:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        pipe = io.BufferedReader(_EventPipe(read_end, self._process), MOST_IN_PIPE)
        self._reader = threading.Thread(target=self._listen, args=(pipe,), daemon=True)
        self._watch = threading.Thread(target=self._guard, daemon=True)
        try:
            self._watch.start()
            self._reader.start()
        except RuntimeError as error:  # the memory for it, or the number allowed, is used up
            self.kill()
            raise OSError(errno.EAGAIN, str(error)) from None

    def send(self, task: Mapping[str, Any]) -> None:
        """Queue a task. A worker that is gone already reports so through its last event, not here."""
        assert self._process.stdin is not None
        self._last_sign = time.monotonic()
        self._asked += 1
        with contextlib.suppress(BrokenPipeError, ValueError, OSError):
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()

    def finish(self) -> None:
        """No more tasks: the worker ends after those it has."""
        self.send({"do": "finish"})

    def kill(self) -> None:
        """End the worker and everything it started, now."""
        self._end_group()
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.wait()

    def _end_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _listen(self, pipe: io.BufferedReader) -> None:
        with pipe:
            for line in pipe:
                self._last_sign = time.monotonic()
                try:
                    event = json.loads(line)
                except (ValueError, RecursionError):  # brackets without end are the latter
                    continue  # user code that writes into our pipe costs itself only a lost line
                if not _is_event(event):
                    continue
                self._answered += 1
                event = _made_visible(event)
                if event["event"] in CLOSING:
                    self._closing = event
                else:
                    self._events.put({**event, "worker": self.spec.label})
        code = self._process.wait()
        self._end_group()
        # What was said stands, however the process ended afterwards: frameworks' exit handlers crash at times.
        closing = self._closing if self._closing is not None else self._obituary(code)
        self._events.put({**closing, "worker": self.spec.label})

    def _guard(self) -> None:
        while self._process.poll() is None:
            # A worker with nothing to do is silent too, while the comparison beside it computes a reference.
            silent_s = time.monotonic() - self._last_sign
            if self._asked > self._answered and silent_s > self.spec.silence_limit_s:
                self._timed_out = True
                self.kill()
                return
            if self._closing is not None and silent_s > LEAVING_S:
                self.kill()
                return
            time.sleep(LOOK_S)
        self._end_group()  # what it started goes with it, but for what has made itself a session of its own

    def _obituary(self, code: int) -> Event:
        if self._timed_out:
            reason = f"gave no sign of life for {self.spec.silence_limit_s:.0f} s and was ended (--timeout)"
        elif code < 0:
            reason = f"killed by {signal.Signals(-code).name}"
        else:
            reason = f"ended with exit status {code} before its work was done"
        return {"event": "died", "reason": reason, "stderr": self.stderr_tail()}

    def stderr_tail(self) -> str:
        """The last lines the worker wrote on its standard output and error."""
        with contextlib.suppress(OSError), self._stderr_path.open("rb") as log:
            log.seek(max(0, self._stderr_path.stat().st_size - 4096))
            lines = log.read().decode(errors="replace").splitlines()
            return "\n".join(map(visible, lines[-STDERR_LINES_KEPT:]))
        return ""
