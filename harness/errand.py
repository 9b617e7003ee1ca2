"""One task for one fresh worker: what a command asks of a framework, or of a user's file, once."""

from __future__ import annotations

import queue
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import OUT_OF_MEMORY, CannotMeasure, UsageError, WorkerFailed
from harness.launch import Event, Worker, WorkerSpec
from harness.requirements import is_broken, why_missing


def run(spec: WorkerSpec, task: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the worker's answer.

    Raises CannotMeasure (missing or not able to), UsageError (the user's file is at fault), WorkerFailed (crash,
    time-out).
    """
    events: queue.Queue[Event] = queue.Queue()
    with tempfile.TemporaryDirectory(prefix="alexbench-errand-") as logs:
        try:
            worker = Worker(spec, events, Path(logs))
        except OSError as error:
            raise CannotMeasure(f"{spec.python} cannot be started: {error.strerror or error}") from None
        try:
            worker.send({"id": "errand", "device": spec.device, **task})
            worker.finish()
            event = events.get()
            while event["event"] == "ready":
                event = events.get()
        finally:
            worker.kill()
    return _answer(event, spec)


def _answer(event: Event, spec: WorkerSpec) -> dict[str, Any]:
    if event["event"] != "done":
        said = "\n".join(str(event.get(key, "")) for key in ("message", "reason", "stderr"))
        if line := next(filter(OUT_OF_MEMORY.search, said.splitlines()), None):
            raise CannotMeasure(f"{spec.label}: memory does not suffice: {line.strip()}")
    match event["event"]:
        case "done":
            return event
        case "failed" if event["kind"] in ("unsupported", "no-room"):
            raise CannotMeasure(f"{spec.label}: {event['message']}")
        case "failed":
            raise UsageError(f"{spec.label}: {event['message']}")
        case "missing":
            state = "does not work" if is_broken(event) else "needs what is not installed"
            raise CannotMeasure(f"{spec.label} {state}: {why_missing(event, spec.target, spec.python)}")
        case "load-failed":
            raise UsageError(f"{spec.label}: {event['reason']}")
    last = str(event.get("stderr", "")).strip().splitlines()[-1:]
    raise WorkerFailed(": ".join([spec.label, str(event.get("reason", "ended without an answer")), *last]))
