"""Activations of one layer for chosen images: what the paper compares images by in its Figure 4 (section 6.1)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.prepared import open_prepared
from harness.errors import CannotMeasure, UsageError, WorkerFailed
from harness.evaluation.job import Job
from harness.evaluation.scoring_worker import ScoringWorker
from harness.speed.member import Fallen


def features(job: Job, layer: str, indices: Sequence[int], folder: Path) -> NDArray[np.float32]:
    """The layer's activations [n, units] for the centre crops of these images of the job's part, in this order.

    `folder` takes what travels between the processes. Raises UsageError for a layer or an image that is not there,
    and CannotMeasure or WorkerFailed where the worker comes to nothing.
    """
    known = [one.name for one in job.network.layers]
    if layer not in known:
        raise UsageError(f"network {job.network.name!r} has no layer {layer!r}; it has {', '.join(known)}")
    images = len(open_prepared(job.data).part(job.part))
    wrong = [index for index in indices if not 0 <= index < images]
    if wrong or not len(indices):
        raise UsageError(f"no image {wrong[0]}: part {job.part} has {images}" if wrong else "no images were named")
    with tempfile.TemporaryDirectory(prefix="features-", dir=folder) as made:
        try:
            worker = ScoringWorker(job.who, Path(made))
            try:
                worker.describe()
                output = worker.features(job, layer, indices)
            finally:
                worker.kill()
        except Fallen as fallen:
            kind = WorkerFailed if fallen.status in ("crashed", "timed-out") else CannotMeasure
            raise kind(f"{job.framework}: {fallen.status}: {fallen.reason}") from None
        found: NDArray[np.float32] = np.load(output, allow_pickle=False)
    return found
