"""Fresh worker processes, one per framework: started, fed with tasks, listened to, and never left behind.

Tasks go to a worker's standard input as JSON lines, events come back as JSON lines on a pipe of their own, because
frameworks print on standard output. The environment a framework reads on import (threads, TF32, memory growth) is set
before the process exists.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

CHECKOUT = Path(__file__).resolve().parent.parent
STDERR_LINES_KEPT = 8
ANSWERS = ("done", "failed")  # to a task
CLOSING = ("finished", "missing", "load-failed")

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


def import_path(spec: WorkerSpec, folder: Path) -> str:
    """PYTHONPATH under which the worker's interpreter finds `harness` and `impls`, and nothing else of ours.

    Installed, these lie in a site-packages folder whose other packages belong to this interpreter alone: another one
    gets the two by links.
    """
    root = CHECKOUT
    if not (CHECKOUT / "pyproject.toml").is_file() and spec.python != sys.executable:
        root = folder / "import"
        root.mkdir(exist_ok=True)
        for package in ("harness", "impls"):
            with contextlib.suppress(FileExistsError):
                (root / package).symlink_to(CHECKOUT / package, target_is_directory=True)
    return os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")]), str(Path.cwd())])


def worker_environment(spec: WorkerSpec) -> dict[str, str]:
    """The environment of one worker: ours, plus what must stand before a framework is imported."""
    environment = dict(os.environ)
    environment.update(
        TF_CPP_MIN_LOG_LEVEL="3",
        TF_FORCE_GPU_ALLOW_GROWTH="true",
        XLA_PYTHON_CLIENT_PREALLOCATE="false",
        NVIDIA_TF32_OVERRIDE=environment.get("NVIDIA_TF32_OVERRIDE", ""),
        PYTHONUNBUFFERED="1",
        PYTHONSAFEPATH="1",  # "-m" would put the working folder first: a user's own `harness` or `impls` before ours
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


def _is_event(found: Any) -> bool:
    """Whether a line of the pipe is one of the worker's own, and not what user code wrote there."""
    if not isinstance(found, dict) or str(found.get("event")) not in ("ready", *ANSWERS, *CLOSING):
        return False
    return found["event"] not in ANSWERS or isinstance(found.get("task"), str)


class Worker:
    """One running worker. Its events arrive on the queue given, each with a `worker` key holding the label.

    The last event is always one of: `finished` (it was told to finish and did), `missing` (the framework is not
    installed), `load-failed` (its module raised), `died` (crash, kill or time-out; `reason` says which, with the end of
    its stderr).
    """

    def __init__(self, spec: WorkerSpec, events: queue.Queue[Event], log_folder: Path) -> None:
        """Start the process. Raises OSError where the interpreter does not exist."""
        self.spec = spec
        self._events = events
        self._closing: Event | None = None
        self._timed_out = False
        self._last_sign = time.monotonic()
        self._asked, self._answered = 1, 0  # each written by one thread; the first answer is that it is ready
        log_folder.mkdir(parents=True, exist_ok=True)
        self._stderr_path = log_folder / f"{spec.label.replace('/', '_')}.stderr"
        read_end, write_end = os.pipe()
        try:
            with self._stderr_path.open("wb") as log:
                self._process = subprocess.Popen(
                    [spec.python, "-m", "harness.worker", spec.target, str(write_end)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=worker_environment(spec) | {"PYTHONPATH": import_path(spec, log_folder)},
                    pass_fds=(write_end,),
                    start_new_session=True,  # Ctrl-C in the terminal reaches us alone; we end the worker's whole group
                )
        except OSError:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        self._reader = threading.Thread(target=self._listen, args=(os.fdopen(read_end, "rb"),), daemon=True)
        self._reader.start()
        self._watch = threading.Thread(target=self._guard, daemon=True)
        self._watch.start()

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

    def _listen(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                self._last_sign = time.monotonic()
                try:
                    event = json.loads(line)
                except ValueError:
                    continue  # user code that writes into our pipe costs itself only a lost line
                if not _is_event(event):
                    continue
                self._answered += 1
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
            time.sleep(0.2)
        self._end_group()  # children that hold the event pipe would keep _listen from its end

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
            return "\n".join(lines[-STDERR_LINES_KEPT:])
        return ""
