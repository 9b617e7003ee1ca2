"""Feeding the workers: some at a time, each a few tasks ahead, their results handed over as they arrive."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.errors import CannotMeasure
from harness.launch import Event, Worker, WorkerSpec
from harness.parity.finding import Outputs
from harness.parity.levels import Job
from harness.parity.roll_call import RollCall, describe
from harness.requirements import why_missing
from impls import tensor_file

# How far a worker may be ahead of the comparison, so that it never waits for it and few results lie on the disk. A
# single operator's result is a few kilobytes, a whole network's up to a gigabyte.
AHEAD = 4.0
SHARE = {"operator": 0.05, "layer": 0.5}


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job as one worker gets it."""

    job: Job
    tuning: str
    more: Mapping[str, Any] = field(default_factory=dict)


class Sink(Protocol):
    """Who takes the results."""

    def described(self, label: str, facts: Mapping[str, str]) -> None:
        """A worker's framework said what it is."""

    def output(self, label: str, assignment: Assignment, outputs: Outputs) -> None:
        """A task's arrays."""

    def failed(self, label: str, assignment: Assignment, kind: str, message: str) -> None:
        """A task that came to nothing: `exception`, `unsupported`, `no-room` on the disk, or `bad-output`."""

    def ended(self, label: str, event: Event) -> None:
        """A worker's last event: `finished`, or why it did not."""


Assignments = Callable[[bool], Iterator[Assignment]]  # given whether the implementation is a full Framework


@dataclass(slots=True)
class _Running:
    worker: Worker
    waiting: Iterator[Assignment]
    open: dict[str, Assignment] = field(default_factory=dict)
    told_to_finish: bool = False

    def ahead(self) -> float:
        """How much of AHEAD lies between the worker and the comparison."""
        return sum(SHARE.get(assignment.job.level, 1.0) for assignment in self.open.values())


class Schedule:
    """Runs workers until all have ended. Whatever happens, none is left behind."""

    def __init__(
        self,
        folder: Path,
        at_once: int,
        precision: str,
        sink: Sink,
        preparations: Iterable[Callable[[], object]] = (),
        roll: RollCall | None = None,
    ) -> None:
        """`preparations` are done one by one whenever no result waits, before they hold up the comparison.

        `roll` has workers that run already: they are taken over in their turn, and the caller ends those left.
        """
        self._folder = folder
        self._at_once = at_once
        self._precision = precision
        self._sink = sink
        self._preparations = iter(preparations)
        self._roll = RollCall() if roll is None else roll
        self._events = self._roll.events
        self._running: dict[str, _Running] = {}
        self._count = 0

    def run(self, work: Mapping[str, tuple[WorkerSpec, Assignments]]) -> None:
        """Start every worker in its turn and take its results."""
        pending = list(work)
        try:
            while pending or self._running:
                while pending and len(self._running) < self._at_once:
                    self._start(pending.pop(0), work)
                if self._running:
                    self._handle(self._next_event(), work)
        finally:
            for running in self._running.values():
                running.worker.kill()
            self._running.clear()

    def _next_event(self) -> Event:
        """The next event; while there is none, a preparation is made."""
        while True:
            try:
                return self._events.get_nowait()
            except queue.Empty:
                prepare = next(self._preparations, None)
                if prepare is None:
                    return self._events.get()
                prepare()

    def _start(self, label: str, work: Mapping[str, tuple[WorkerSpec, Assignments]]) -> None:
        spec, _ = work[label]
        worker = self._roll.take(label)
        if worker is not None:
            self._running[label] = _Running(worker, iter(()))
            return
        try:
            worker = Worker(spec, self._events, self._folder)
        except OSError as error:
            reason = f"cannot start {spec.python!r}: {error.strerror}"
            self._sink.ended(label, {"event": "missing", "reason": reason})
            return
        self._running[label] = _Running(worker, iter(()))
        worker.send(describe(spec))

    def _handle(self, event: Event, work: Mapping[str, tuple[WorkerSpec, Assignments]]) -> None:
        label, kind = event["worker"], event["event"]
        running = self._running.get(label)
        if running is None:
            self._roll.hold(event)
            return
        if kind == "ready":
            return
        spec, assignments = work[label]
        if kind in ("finished", "missing", "load-failed", "died"):
            del self._running[label]
            if kind == "missing":
                event = {**event, "reason": why_missing(event, spec.target, spec.python)}
            self._sink.ended(label, event)
            return
        if event.get("task") == "describe":
            self._described(label, event, running, assignments, spec)
        else:
            self._result(label, event, running, spec)

    def _described(
        self, label: str, event: Event, running: _Running, assignments: Assignments, spec: WorkerSpec
    ) -> None:
        if event["event"] == "failed":  # the device is not there, say
            del self._running[label]
            running.worker.kill()
            reason = event["message"]
            kind = "missing" if event["kind"] == "unsupported" else "died"
            self._sink.ended(label, {"event": kind, "reason": reason})
            return
        self._sink.described(label, event["facts"])
        running.waiting = assignments(event["full"])
        self._feed(running, spec)

    def _result(self, label: str, event: Event, running: _Running, spec: WorkerSpec) -> None:
        assignment = running.open.pop(event["task"], None)
        if assignment is None:
            return
        self._feed(running, spec)
        path = self._output_path(event["task"])
        try:
            if event["event"] == "done":
                self._sink.output(label, assignment, tensor_file.read(path).arrays)
            elif event["kind"] == "no-room":
                raise CannotMeasure(f"{label} could not write its results: {event['message']}; choose --out elsewhere")
            else:
                self._sink.failed(label, assignment, event["kind"], event["message"])
        finally:
            with contextlib.suppress(OSError):
                path.unlink()

    def _feed(self, running: _Running, spec: WorkerSpec) -> None:
        while running.ahead() < AHEAD and not running.told_to_finish:
            assignment = next(running.waiting, None)
            if assignment is None:
                running.told_to_finish = True
                running.worker.finish()
                return
            self._count += 1
            name = f"task{self._count}"
            running.open[name] = assignment
            running.worker.send(
                {
                    **assignment.job.task,
                    **assignment.more,
                    "id": name,
                    "tuning": assignment.tuning,
                    "precision": self._precision,
                    "device": spec.device,
                    "output": str(self._output_path(name)),
                }
            )

    def _output_path(self, name: str) -> Path:
        return self._folder / f"{name}.out"
