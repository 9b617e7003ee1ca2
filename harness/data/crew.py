"""Processes that do chunks side by side. Pixels never pass between them: each writes its own to the disk."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.data import chunk
from harness.data.journal import ChunkDone
from harness.data.plan import Plan
from harness.errors import OUT_OF_MEMORY, CannotMeasure, WorkerFailed
from impls import child_process

Task = tuple[str, int]  # part, chunk
LONGEST_WAIT_S = 10.0  # for a process that was told to end


class Crew:
    """So many processes, started at the beginning and ended with the block they are used in."""

    def __init__(self, plan: Plan, jobs: int, lock: int) -> None:
        """`lock`: a descriptor that the processes hold as long as they live, and with it the folder's lock."""
        self._plan = plan
        self._processes = [_start(plan, number, lock) for number in range(jobs)]
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[ChunkDone | Exception] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._drive, args=pair) for pair in enumerate(self._processes)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()  # those with nothing to do as well; half a chunk is done again
        for process in self._processes:
            process.wait(LONGEST_WAIT_S)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(LONGEST_WAIT_S)
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # half a task that could not be handed over
                    pipe.close()  # type: ignore[union-attr]

    def do(self, tasks: Sequence[Task]) -> Iterator[ChunkDone]:
        """What came of each task, in the order they end. Raises CannotMeasure, WorkerFailed."""
        for task in tasks:
            self._tasks.put(task)
        for thread in self._threads:
            self._tasks.put(None)
            thread.daemon = True
            thread.start()
        for _ in tasks:
            answer = self._answers.get()
            if isinstance(answer, Exception):
                raise answer
            yield answer

    def _drive(self, number: int, process: subprocess.Popen[str]) -> None:
        """Hand one process its tasks, each when the one before is done."""
        assert process.stdin is not None
        assert process.stdout is not None
        while (task := self._tasks.get()) is not None:
            line = ""
            try:
                process.stdin.write(json.dumps(task) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
                self._answers.put(_answer(self._plan, json.loads(line)))
            except (OSError, ValueError):  # it has ended; half a line is no answer either
                self._answers.put(self._failure(number, process, task))
                return

    def _failure(self, number: int, process: subprocess.Popen[str], task: Task) -> CannotMeasure | WorkerFailed:
        part, images = task[0], self._plan.span(*task)
        try:
            code = process.wait(LONGEST_WAIT_S)
        except subprocess.TimeoutExpired:  # it answered what is no answer, and lives on
            process.kill()
            code = process.wait()
        said = _stderr(self._plan, number).read_text(errors="replace").split("\n")
        last = next((line for line in reversed(said) if line.strip()), "")
        kind = CannotMeasure if OUT_OF_MEMORY.search(last) else WorkerFailed
        return kind(
            f"a process ended ({_ending(code)}) at images {images.start} to {images.stop - 1} of {part}:"
            f" {last or 'it said nothing'}"
        )


def alone(plan: Plan, tasks: Sequence[Task]) -> Iterator[ChunkDone]:
    """The same in this process. Raises CannotMeasure."""
    for task in tasks:
        try:
            yield chunk.process(plan, *task)
        except OSError as error:
            raise _disk_failed(plan, error.strerror or str(error)) from None


def _start(plan: Plan, number: int, lock: int) -> subprocess.Popen[str]:
    settings = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with _stderr(plan, number).open("wb") as log:
        return subprocess.Popen(
            child_process.command("harness.data.chunk_worker", str(plan.folder), str(plan.root)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**child_process.environment(), **settings},
            pass_fds=(lock,),
            start_new_session=True,  # Ctrl-C in the terminal reaches us alone
        )


def _stderr(plan: Plan, number: int) -> Path:
    return plan.work / f"process-{number}.stderr"


def _answer(plan: Plan, found: dict[str, str]) -> ChunkDone | CannotMeasure:
    return ChunkDone.from_text(found["done"]) if "done" in found else _disk_failed(plan, found["failed"])


def _disk_failed(plan: Plan, why: str) -> CannotMeasure:
    return CannotMeasure(f"cannot write to {plan.folder}: {why}")


def _ending(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
