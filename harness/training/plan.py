"""A job with what it needs opened and checked, before any process is started for it."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import environment
from harness.data.prepared import Prepared, open_prepared
from harness.data.preprocessing import Preprocessing
from harness.data.stream import Stream
from harness.errors import UsageError
from harness.training import schedule
from harness.training.checkpoint import WEIGHTS, Checkpoint
from harness.training.job import Job
from impls import derive, weights
from impls.protocol import UpdateRule
from impls.spec import Network
from impls.spec_json import network_to_json

VALIDATION_PART = "val"
MOST_FEED_THREADS = 16


@dataclass(frozen=True)
class Plan:
    """What stays the same from the first step to the last."""

    job: Job
    prepared: Prepared
    preprocessing: Preprocessing
    steps_per_epoch: int

    @classmethod
    def of(cls, job: Job) -> Plan:
        """Raises UsageError for what cannot be trained so."""
        network, prepared = job.network, open_prepared(job.data)
        preprocessing = Preprocessing.of(network, prepared)
        batch_size = network.recipe.batch_size
        stream = Stream(prepared, network, preprocessing, seed=job.seed, batch_size=batch_size, limit=job.limit)
        plan = cls(job, prepared, preprocessing, stream.steps_per_epoch)
        plan._check_validation()
        return plan

    def _check_validation(self) -> None:
        network = self.job.network
        if not self.validation:
            if schedule.follows_validation(network.recipe):
                lacking = f"{self.prepared.source} has no part {VALIDATION_PART!r}"
                raise UsageError(
                    "the recipe drops the learning rate by the validation error,"
                    f" {lacking if self.job.validate else '--no-validation gives none'}:"
                    " choose a --recipe with drop_epochs"
                )
            return
        largest = int(self.prepared.part(VALIDATION_PART).labels.max())
        if largest >= network.classes:
            raise UsageError(
                f"{self.prepared.source} has the label {largest} among its validation images, network"
                f" {network.name!r} has {network.classes} classes"
            )

    @property
    def network(self) -> Network:
        """With the recipe to follow."""
        return self.job.network

    @property
    def validation(self) -> str:
        """The part that is validated on; empty where there is none or none is wanted."""
        part = self.prepared.parts.get(VALIDATION_PART)
        return VALIDATION_PART if self.job.validate and part is not None and len(part) else ""

    @property
    def last_step(self) -> int:
        """Training ends here at the latest."""
        whole = self.network.recipe.epochs * self.steps_per_epoch
        return whole if self.job.steps is None else min(whole, self.job.steps)

    @functools.cached_property
    def tensors(self) -> tuple[str, ...]:
        """The network's canonical names."""
        return tuple(derive.parameter_shapes(self.network))

    @property
    def feed_threads(self) -> int:
        """Threads that prepare batches; on the CPU the network needs the cores."""
        return 1 if self.job.device == "cpu" else min(MOST_FEED_THREADS, environment.usable_cores())

    def rule(self, state: schedule.State) -> UpdateRule:
        """Of the epoch that follows."""
        return schedule.rule(self.network, self.tensors, state)

    def write_initial(self, folder: Path) -> str:
        """Put the weights that training begins with in a folder; returns their hash. Raises WeightsError."""
        job, file = self.job, folder / WEIGHTS
        if job.weights is None:
            weights.write(job.network, job.init, job.seed, file)
        else:
            weights.load(job.weights, job.network)
            shutil.copyfile(job.weights, file)
        return weights.load(file, job.network, verify=False).content_hash

    def identity(self, version: str) -> Mapping[str, str]:
        """What a checkpoint must share with the training that goes on from it."""
        job = self.job
        return {
            "framework": job.framework,
            "version": version,
            "network": _digest(network_to_json(job.network)),
            "data": self.prepared.content_hash,
            "seed": str(job.seed),
            "begun with": str(job.weights.resolve()) if job.weights is not None else job.init,
            "limit": str(job.limit),
            "validate": str(job.validate),
            "tuning": job.tuning,
            "precision": job.precision,
            "device": job.device,
            "devices": str(job.devices),
            "split": job.split,
        }

    def open_task(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Fields of the task `train-open`."""
        job, velocity = self.job, checkpoint.velocity
        return {
            "network": network_to_json(job.network),
            "data": str(self.prepared.path.resolve()),
            "preprocessing": self.preprocessing.to_text(),
            "weights": str(checkpoint.weights.resolve()),
            "velocity": str(velocity.resolve()) if velocity is not None else None,
            "step": checkpoint.standing.step,
            "rule": asdict(self.rule(checkpoint.standing.schedule)),
            "seed": job.seed,
            "limit": job.limit,
            "validation": self.validation,
            "threads": self.feed_threads,
            "tuning": job.tuning,
            "precision": job.precision,
            "device": job.device,
            "devices": job.devices,
            "split": job.split,
        }


def check_identity(checkpoint: Checkpoint, identity: Mapping[str, str]) -> None:
    """Refuse to go on with another training. Raises UsageError."""
    for name, now in identity.items():
        before = checkpoint.identity.get(name)
        if before != now:
            raise UsageError(
                f"{checkpoint.path} is of another training: its {name} was {_short(before)}, here it is {_short(now)};"
                " start a new one elsewhere"
            )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _short(value: str | None) -> str:
    return str(value)[:60]
