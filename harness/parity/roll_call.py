"""Asked before anything is computed: somebody's file, which may not load, and all about a device that may be missing.

The workers that answered stay, so that none is started twice: the schedule takes them over in their turn.
"""

from __future__ import annotations

import contextlib
import queue
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import CannotMeasure, UsageError
from harness.launch import CLOSING, Event, Worker, WorkerSpec
from harness.parity.options import ParityOptions


@dataclass
class _Early:
    worker: Worker
    said: list[Event] = field(default_factory=list)  # what the schedule has yet to hear


class RollCall:
    """The workers that were asked, what they said, and the queue on which all workers of the run speak."""

    def __init__(self) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self._early: dict[str, _Early] = {}

    def ask(self, specs: Sequence[WorkerSpec], folder: Path) -> dict[str, Event]:
        """What each says that it is, or how it ended; one whose interpreter is missing is left to the schedule."""
        for spec in specs:
            with contextlib.suppress(OSError):
                self._early[spec.label] = _Early(Worker(spec, self.events, folder))
                self._early[spec.label].worker.send(describe(spec))
        answers: dict[str, Event] = {}
        while len(answers) < len(self._early):
            event = self.events.get()
            self.hold(event)
            if event.get("task") == "describe" or event["event"] in (*CLOSING, "died"):
                answers.setdefault(event["worker"], event)
        return answers

    def hold(self, event: Event) -> None:
        """Keep what a worker said before its turn."""
        if event["worker"] in self._early:
            self._early[event["worker"]].said.append(event)

    def take(self, label: str) -> Worker | None:
        """A worker whose turn has come, what it said so far on the queue again; None for one that was not asked."""
        early = self._early.pop(label, None)
        if early is None:
            return None
        for event in early.said:
            self.events.put(event)
        return early.worker

    def dismiss(self) -> None:
        """End the workers that nobody took."""
        for early in self._early.values():
            early.worker.kill()
        self._early.clear()


def describe(spec: WorkerSpec) -> Event:
    """The first task of every worker."""
    return {"do": "describe", "id": "describe", "device": spec.device}


@contextlib.contextmanager
def answered(options: ParityOptions, specs: Sequence[WorkerSpec]) -> Iterator[RollCall]:
    """The roll call of a run. Raises UsageError for a wrong --impl, CannotMeasure where nobody has the device."""
    with tempfile.TemporaryDirectory(prefix="alexbench-") as folder:
        roll = RollCall()
        try:
            asked = [spec for spec in specs if spec.label in options.impls or spec.device != "cpu"]
            answers = roll.ask(asked, Path(folder))
            for target in options.impls:
                _check_impl(target, answers.get(target, {}), options.levels)
            refused = {label: event for label, event in answers.items() if event.get("kind") == "unsupported"}
            if refused and len(refused) == len(specs):
                told = "; ".join(f"{label}: {event['message']}" for label, event in refused.items())
                remedy = "pass --device cpu, or one that `alexbench doctor` lists"
                raise CannotMeasure(f"nobody here has --device {options.device} ({told}): {remedy}")
            yield roll
        finally:
            roll.dismiss()


def _check_impl(target: str, answer: Event, levels: Sequence[str]) -> None:
    if answer.get("wrong_target"):
        raise UsageError(f"--impl {target!r}: {answer['reason']}")
    if answer.get("full") is False and "forward" not in levels:
        raise UsageError(
            f"--impl {target!r} gives activations alone, which level forward compares:"
            f" --level {','.join(levels)} needs an object that offers impls/protocol.py"
        )
