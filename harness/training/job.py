"""What one training is made of, and what it leaves."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from impls.protocol import PrecisionName, Tuning
from impls.spec import Network
from impls.split import Split


@dataclass(frozen=True)
class Job:
    """One network in one framework on prepared data. `network.recipe` is followed, with `epochs` already in it."""

    framework: str
    network: Network  # of the catalog or a variant of one; its recipe is the one to follow
    data: Path  # a prepared folder
    seed: int = 0  # of the initial weights and of the stream of batches, views and masks
    init: str = "own"  # weight recipe, see `impls.weights`
    weights: Path | None = None  # start from these instead
    limit: int | None = None  # train on the first so many images only
    validate: bool = True  # after each epoch
    steps: int | None = None  # end after so many steps, in the middle of an epoch if need be
    tuning: Tuning = "tuned"
    precision: PrecisionName = "float32"
    device: str = "cpu"
    devices: int = 1
    split: Split = "none"
    python: str = sys.executable
    timeout_s: float = 600.0
    label: str = ""  # of files and rows; the framework's name if empty
    columns: Mapping[str, object] = field(default_factory=dict)  # further columns of its rows

    @property
    def name(self) -> str:
        """The label that its files and rows carry."""
        return self.label or self.framework


@dataclass(frozen=True)
class Trained:
    """What a job left."""

    job: Job
    last: Path  # weights after the last step
    best: Path  # weights of the epoch with the lowest top-1 validation error; the last where nothing was validated
    epochs: int
    steps: int
    top1_error: float | None  # of the validation part after the last epoch, as a share of 1
    best_top1_error: float | None
    content_hash: str  # of the last weights
