"""One training from its first step, or from its last checkpoint, to the files it leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.training.checkpoint import Checkpoint, Checkpoints, Standing, hard_copy
from harness.training.interrupts import Interrupts
from harness.training.job import Job, Trained
from harness.training.plan import Plan
from harness.training.rows import Row
from harness.training.trainer import Diverged, Moment, Trainer
from impls import weights

__all__ = ["Diverged", "Moment", "published", "resumed_from", "train"]


def train(
    job: Job,
    folder: Path,
    keep: Callable[[str, Row], None],
    say: Callable[[str], None] = print,
    *,
    resume: bool = False,
    checkpoint_s: float = math.inf,
    interrupts: Interrupts | None = None,
    watch: Callable[[Moment], None] = lambda moment: None,
    started: Callable[[Mapping[str, str]], None] = lambda told: None,
) -> Trained:
    """Train, and leave NAME.safetensors and NAME-best.safetensors in `folder`, also where training breaks off.

    `keep` takes rows of the kinds `training` and `loss`. With `resume`, go on from the last checkpoint in `folder` if
    there is one; what `keep` was given after `resumed_from` comes again. `checkpoint_s`: seconds between
    checkpoints inside an epoch; after each epoch there is one. `watch` hears after about every second how far it is,
    `started` what the framework says of itself before the first step.
    Raises UsageError, WeightsError, Diverged, CannotMeasure, WorkerFailed; KeyboardInterrupt with a checkpoint kept.
    """
    plan = Plan.of(job)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(folder, job.name)
    if not resume:
        checkpoints.clear()
        for file in published(folder, job.name):
            file.unlink(missing_ok=True)
    trainer = Trainer(
        plan, folder, checkpoints, checkpoints.latest(), keep, say, checkpoint_s, interrupts, watch, started
    )
    try:
        trainer.run()
    finally:
        _publish(trainer.checkpoint, folder, job.name)
    return _outcome(trainer, folder)


def published(folder: Path, name: str) -> tuple[Path, Path]:
    """Where the last and the best weights of a job are left."""
    return folder / f"{name}.safetensors", folder / f"{name}-best.safetensors"


def resumed_from(folder: Path, name: str) -> Standing | None:
    """How far the last checkpoint of a job is; None where there is none. Raises UsageError where it is damaged."""
    found = Checkpoints(folder, name).latest()
    return found.standing if found is not None else None


def _publish(checkpoint: Checkpoint | None, folder: Path, name: str) -> None:
    if checkpoint is None or not checkpoint.standing.step:
        return
    last, best = published(folder, name)
    hard_copy(checkpoint.weights, last)
    hard_copy(checkpoint.best, best)


def _outcome(trainer: Trainer, folder: Path) -> Trained:
    job, standing = trainer.plan.job, trainer.standing
    last, best = published(folder, job.name)
    return Trained(
        job=job,
        last=last,
        best=best,
        epochs=standing.schedule.epoch,
        steps=standing.step,
        top1_error=standing.top1_error,
        best_top1_error=standing.schedule.best_error,
        content_hash=weights.load(last, job.network, verify=False).content_hash,
    )
