"""What one scoring is made of, and what it leaves."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from impls.protocol import PrecisionName, Tuning
from impls.spec import Network


class Who(NamedTuple):
    """What asks for a worker process of its own."""

    framework: str
    tuning: Tuning
    precision: PrecisionName
    device: str
    python: str
    timeout_s: float


@dataclass(frozen=True)
class Job:
    """One weights file in one framework on one part of prepared data, with 1 or 10 views of each image."""

    framework: str
    network: Network
    weights: Path
    data: Path  # a prepared folder
    part: str = "val"
    crops: int = 1
    batch_size: int = 100  # images [views] that a pass takes at most
    limit: int | None = None  # score the first so many images only
    tuning: Tuning = "tuned"
    precision: PrecisionName = "float32"
    device: str = "cpu"
    python: str = sys.executable
    timeout_s: float = 600.0

    @property
    def who(self) -> Who:
        """Jobs of the same worker are equal in this."""
        return Who(self.framework, self.tuning, self.precision, self.device, self.python, self.timeout_s)


@dataclass(frozen=True)
class Scored:
    """What a job left: the softmax outputs averaged over the views."""

    job: Job
    probabilities: Path  # .npy float64 [images, classes], mapped
    seconds: float  # for all images, compilation left out
    version: str = ""  # of the framework
    preprocessing: str = ""  # such as "mean-image, from the weights file"


@dataclass(frozen=True)
class Unscored:
    """A job that came to nothing.

    status: not-finite, does-not-fit, unsupported, missing, crashed or timed-out. reason: a line or several for the
    person reading.
    """

    job: Job
    status: str
    reason: str
    version: str = ""
