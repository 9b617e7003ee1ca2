"""One task for one fresh worker: what a command asks of a framework, or of a user's file, once."""

from __future__ import annotations

import queue
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import CannotMeasure, UsageError, WorkerFailed
from harness.launch import OUT_OF_MEMORY, Event, Worker, WorkerSpec
from harness.requirements import install_command


def run(spec: WorkerSpec, task: Mapping[str, Any], *, extra: str = "") -> dict[str, Any]:
    """The fields of the worker's answer.

    `extra` is the extra of ours that brings what the worker needs, for the message where it is missing. Raises
    CannotMeasure (missing or not able to), UsageError (the user's file is at fault), WorkerFailed (crash, time-out).
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
    return _answer(event, spec, extra)


def _answer(event: Event, spec: WorkerSpec, extra: str) -> dict[str, Any]:
    if event["event"] != "done":
        said = "\n".join(str(event.get(key, "")) for key in ("message", "reason", "stderr"))
        if line := next(filter(OUT_OF_MEMORY.search, said.splitlines()), None):
            raise CannotMeasure(f"{spec.label}: memory does not suffice: {line.strip()}")
    match event["event"]:
        case "done":
            return event
        case "failed" if event["kind"] == "unsupported":
            raise CannotMeasure(f"{spec.label}: {event['message']}")
        case "failed":
            raise UsageError(f"{spec.label}: {event['message']}")
        case "missing":
            remedy = f": {install_command(extra)}" if extra else ""
            raise CannotMeasure(f"{spec.label} needs what is not installed ({event['reason']}){remedy}")
        case "load-failed":
            raise UsageError(f"{spec.label}: {event['reason']}")
    last = str(event.get("stderr", "")).strip().splitlines()[-1:]
    raise WorkerFailed(": ".join([spec.label, str(event.get("reason", "ended without an answer")), *last]))
