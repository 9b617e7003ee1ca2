"""One framework that scores weights, in a process of its own, asked one thing at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.prepared import open_prepared
from harness.evaluation.job import Job, Scored, Who
from harness.evaluation.shared_arrays import shared_array
from harness.evaluation.tasks import WATCHED_AT_ONCE
from harness.launch import WorkerSpec
from harness.shared_cores import YIELDING
from harness.speed.member import Fallen, Member
from impls import derive, registry
from impls.protocol import Settings, Unsupported
from impls.spec_json import network_to_json

RANGE_S = 5.0  # a worker gives a sign of life about so often

Advance = Callable[[Job, int], None]  # a job got on by so many images


def images_of(job: Job) -> int:
    """How many images a job scores. Raises UsageError."""
    count = len(open_prepared(job.data).part(job.part))
    return count if job.limit is None else min(count, job.limit)


def subject(job: Job) -> tuple[Any, ...]:
    """Jobs that are equal in this are scored with the same open network."""
    return job.network, job.weights, job.data, job.part, job.batch_size


class ScoringWorker:
    """One framework in a process of its own, with one network open at a time."""

    def __init__(self, who: Who, folder: Path) -> None:
        """Start the process; its logs and results go into `folder`. Raises Fallen."""
        settings = Settings(who.tuning, who.precision, who.device)
        try:
            environment = registry.environment(who.framework, settings)
        except Unsupported as error:
            raise Fallen("unsupported", str(error), gone=True) from None
        spec = WorkerSpec(
            label=who.framework,
            target=registry.reference(who.framework),
            python=who.python,
            device=who.device,
            silence_limit_s=who.timeout_s,
            # A score is no timing: threads that wait give their core to the views, and to whoever else is there.
            extra_environment={**YIELDING, **environment},
        )
        self._device, self._folder = who.device, folder
        self._member = Member(spec, folder)
        self._opened: tuple[Any, ...] | None = None
        self._facts: dict[str, str] = {}
        self.version = ""

    def describe(self) -> None:
        """Wait until the framework is there and learn its version. Raises Fallen."""
        self._member.wait_until_ready()
        facts = self._member.ask("describe", device=self._device)["facts"]
        self.version = str(facts.get("version", ""))

    def score(self, job: Job, advance: Advance) -> Scored:
        """Score a job. Raises Fallen, and OSError where the disk is full."""
        self._open(job)
        images, classes = images_of(job), job.network.classes
        path = shared_array(self._folder, (images, classes))
        try:
            seconds = self._ranges(job, images, path, advance)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        told = f"{self._facts['preprocessing']}, from the {self._facts['origin']}"
        return Scored(job, path, seconds, self.version, told)

    def features(self, job: Job, layer: str, indices: Sequence[int]) -> Path:
        """A layer's activations for these images, float32 [n, units] in a .npy file. Raises Fallen, OSError."""
        self._opened = None
        self._member.ask("evaluate-watch", **_task(job))
        shape = next(row.output_shape for row in derive.facts(job.network) if row.layer.name == layer)
        path = shared_array(self._folder, (len(indices), derive.volume(shape)), np.float32)
        start, count = 0, WATCHED_AT_ONCE
        while start < len(indices):
            chosen = [int(index) for index in indices[start : start + count]]
            fields = {"layer": layer, "indices": chosen, "start": start, "output": str(path.resolve())}
            event = self._member.ask("evaluate-features", **fields)
            start += len(chosen)
            count = _next_count(len(chosen), float(event["seconds"]), WATCHED_AT_ONCE)
        return path

    def finish(self) -> None:
        """Let it end."""
        self._member.finish()

    def kill(self) -> None:
        """End it now."""
        self._member.kill()

    def _open(self, job: Job) -> None:
        if self._opened == subject(job):
            return
        self._opened = None
        event = self._member.ask("evaluate-open", **_task(job))
        self._facts = {name: str(event[name]) for name in ("preprocessing", "origin")}
        self._opened = subject(job)

    def _ranges(self, job: Job, images: int, path: Path, advance: Advance) -> float:
        at_once = max(1, job.batch_size // job.crops)
        start, count, total_s = 0, at_once, 0.0
        while start < images:
            stop = min(images, start + count)
            fields = {"start": start, "stop": stop, "crops": job.crops, "batch_size": job.batch_size}
            event = self._member.ask("evaluate-score", output=str(path.resolve()), **fields)
            if "not_finite" in event:
                raise Fallen("not-finite", str(event["not_finite"]), gone=False)
            seconds = float(event["seconds"])
            total_s += seconds
            advance(job, stop - start)
            count, start = _next_count(stop - start, seconds, at_once), stop
        return total_s


def _next_count(count: int, seconds: float, at_once: int) -> int:
    """How many images the next task takes, when the last took so long for `count`: whole passes of `at_once`."""
    wanted = min(8 * count, count * RANGE_S / max(seconds, 1e-3))
    return at_once * max(1, round(wanted / at_once))


def _task(job: Job) -> dict[str, Any]:
    """What names a job's network, images and settings."""
    return {
        "network": network_to_json(job.network),
        "weights": str(job.weights.resolve()),
        "data": str(job.data.resolve()),
        "part": job.part,
        "batch_size": job.batch_size,
        "tuning": job.tuning,
        "precision": job.precision,
        "device": job.device,
    }
