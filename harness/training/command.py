"""`alexbench train`: one framework after the other on the same stream, and what the exit code says of it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness import command_line, environment, going_on, run_claim, same_ground
from harness.data import contents
from harness.errors import AlexbenchError, gravest
from harness.kept_rows import keeper
from harness.parity.command import in_folder
from harness.progress import Progress
from harness.run_files import CHECKPOINTS
from harness.run_folder import RunFolder, facts_of
from harness.speed import cluster
from harness.training import follow, resume, summary
from harness.training.interrupts import Interrupts
from harness.training.job import Job, Trained
from harness.training.jobs import planned
from harness.training.options import TrainOptions
from harness.training.plan import Plan
from harness.training.run import Moment, published, resumed_from, train
from harness.training.trainer import variables
from reports.render.terminal import say

Outcome = tuple[int, list[str], dict[str, float]]


def run(options: TrainOptions, resumed: Path | None = None) -> int:
    """Train, report, and return the exit code. Raises AlexbenchError and what bad input raises; KeyboardInterrupt."""
    place = cluster.place(os.environ)
    if place is not None:
        options = follow.checked(options, place, resumed)
        if not place.leads:
            return follow.run(options, place)
    if resumed is not None:
        return _resume(options, resumed)
    reads = tuple(filter(None, [options.weights]))
    run_claim.check(options.out, overwrite=options.overwrite, reads=reads)
    jobs = planned(options, _say_first)
    given, facts = resume.arguments(options), _facts(jobs)
    line = command_line.of("train", options)
    folder = RunFolder.create(
        "train", given, options.out, overwrite=options.overwrite, reads=reads, command_line=line, facts=facts
    )
    return _run(Session(options, folder, jobs))


def _resume(given: TrainOptions, path: Path) -> int:
    before = facts_of(path)
    options = resume.options_of(path, before, given)
    changed = same_ground.check(path, before)
    jobs = planned(options, _say_first, data=resume.data_of(before), recipe=resume.recipe_of(path, before))
    resume.check_data(path, before, Plan.of(jobs[0]).prepared)
    begun = {job.name: found for job in jobs if (found := resumed_from(path, job.name)) is not None}
    resume.check_weights(path, before, jobs, begun)
    folder = RunFolder.reopen(path, changed)
    resume.keep_what_stands(folder, begun)
    return _run(Session(options, folder, jobs, going_on=True))


def _say_first(text: str) -> None:
    say(text, error=True)


def _facts(jobs: Sequence[Job]) -> dict[str, Any]:
    """What run.json holds from the start."""
    prepared = Plan.of(jobs[0]).prepared
    return {
        "data": {
            "path": str(prepared.path.resolve()),
            "source": prepared.source,
            "hash": prepared.content_hash,
            "folders": dict(prepared.folders),
        },
        "recipe": asdict(jobs[0].network.recipe),
        "weights": resume.hashes(jobs),
        "layers": [layer.name for layer in jobs[0].network.layers],
        "worker_environment": {job.name: variables(job) for job in jobs},
        "files": [file.name for job in jobs for file in published(Path(), job.name)],  # --overwrite removes them
    }


def _run(session: Session) -> int:
    try:
        return in_folder(session.folder, session.run)
    except BaseException:
        if session.has_checkpoint():
            going_on.tell(session.folder)
        raise


@dataclass
class Session:
    """The command's jobs on their way."""

    options: TrainOptions
    folder: RunFolder
    jobs: Sequence[Job]
    going_on: bool = False
    trained: list[Trained] = field(default_factory=list)
    failed: dict[str, AlexbenchError] = field(default_factory=dict)  # label -> why
    frameworks: dict[str, Mapping[str, str]] = field(default_factory=dict)  # framework -> what it says of itself
    versions: dict[str, str] = field(default_factory=dict)

    def run(self) -> Outcome:
        """Every job; one that fails leaves the others."""
        started = time.monotonic()
        for line in contents.lines(Plan.of(self.jobs[0]).prepared):
            _say_first(line)
        if self.going_on:
            self.versions.update(self.folder.facts.get("versions") or {})
            self.frameworks.update(self.folder.facts.get("frameworks") or {})
        with Interrupts() as interrupts, Progress("train") as progress:
            for job in self.jobs:
                progress.expect(job.name, 1.0)
            for job in self.jobs:
                try:
                    self.trained.append(self._train(job, interrupts, progress))
                    self.folder.note(trained={found.job.name: _told(found) for found in self.trained})
                except AlexbenchError as error:
                    self.failed[job.name] = error
                    if interrupts.asked:  # its checkpoint could not be kept: no reason to begin with the next
                        progress.tell(str(error))
                        raise KeyboardInterrupt from error
                    progress.tell(f"{job.name}: failed")  # why is said at the end, once
                progress.end(job.name)
        summary.show(self.options, self.folder, self.trained, self.failed)
        timings = {"seconds": time.monotonic() - started, "peak_memory_mb.harness": environment.peak_memory_mb()}
        return self._code(), [str(error) for error in self.failed.values()], timings

    def has_checkpoint(self) -> bool:
        """Whether there is anything to go on from."""
        return any((self.folder.path / CHECKPOINTS / job.name).is_dir() for job in self.jobs)

    def _train(self, job: Job, interrupts: Interrupts, progress: Progress) -> Trained:
        return train(
            job,
            self.folder.path,
            keeper(self.folder, self.options.verbose),
            progress.tell,
            resume=self.going_on,
            checkpoint_s=self.options.checkpoint_s,
            interrupts=interrupts,
            watch=lambda moment: _show(progress, job, moment),
            started=lambda told: self._heard(job, told),
        )

    def _heard(self, job: Job, told: Mapping[str, str]) -> None:
        if self.going_on:
            same_ground.check_told(self.folder.path, self.folder.facts, {job.framework: told})
        self.frameworks[job.framework] = told
        self.versions[job.framework] = told.get("version", "")
        self.folder.note(versions=dict(self.versions), frameworks=dict(self.frameworks))

    def _code(self) -> int:
        return gravest({error.exit_code for error in self.failed.values()})


def _told(found: Trained) -> Mapping[str, Any]:
    """For run.json."""
    return {
        "weights": found.last.name,
        "hash": found.content_hash,
        "best": found.best.name,
        "epochs": found.epochs,
        "steps": found.steps,
    }


def _show(progress: Progress, job: Job, moment: Moment) -> None:
    progress.reach(job.name, moment.step / moment.last_step)
    where = f"epoch {moment.epoch} of {moment.epochs}"
    progress.title(f"{job.name} {where}, loss {moment.loss:.4f}, {moment.images_per_s:.0f} images/s")
