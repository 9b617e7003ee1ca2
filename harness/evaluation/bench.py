"""Where scores are taken in: rows, predictions, ensembles and disagreements, each as soon as it can be known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.evaluation import agreement
from harness.evaluation.ensemble import Ensemble
from harness.evaluation.ground import Ground
from harness.evaluation.job import Job, Scored, Unscored
from harness.evaluation.predictions import PredictionsFile, Said, said_of
from harness.evaluation.rows import Row, RowMaker, class_rows, errors_of
from harness.evaluation.subjects import Subject

Keep = Callable[[str, Row], None]


class Bench:
    """Takes the results of a run one by one; of each framework and number of crops it makes the ensemble."""

    def __init__(
        self,
        maker: RowMaker,
        subjects: Sequence[Subject],
        ground: Ground,
        file: PredictionsFile,
        keep: Keep,
        folder: Path,
    ) -> None:
        self._maker, self._subjects, self._file, self._keep, self._folder = maker, subjects, file, keep, folder
        self._by_file = {subject.file.resolve(): subject for subject in subjects}
        self._ground = ground
        self._ensembles: dict[tuple[str, int], Ensemble] = {}
        self._taken: dict[tuple[str, int], int] = {}  # results of a framework's crops so far
        self._fallen: dict[tuple[str, int], Unscored] = {}
        self._said: dict[tuple[str, int], dict[str, Said]] = {}  # weights, crops -> framework -> what it said, mapped

    def take(self, result: Scored | Unscored) -> None:
        """Keep what a job left. Its probabilities are gone afterwards. Raises OSError, CannotMeasure."""
        job, subject = result.job, self._by_file[result.job.weights]
        place = (job.framework, job.crops)
        if isinstance(result, Scored):
            images_per_s = self._maker.images / result.seconds if result.seconds > 0 else None
            extra = {"images_per_s": images_per_s, "preprocessing": result.preprocessing}
            if self._with_ensemble:
                self._ensemble(job).add(np.load(result.probabilities, mmap_mode="r", allow_pickle=False))
            self._measured(job, result.version, subject.label, [subject], result.probabilities, extra)
        else:
            self._fallen[place] = result
            self._keep("evaluation", self._failed(result, subject.label, [subject]))
        self._taken[place] = self._taken.get(place, 0) + 1
        if self._with_ensemble and self._taken[place] == len(self._subjects):
            self._averaged(result)

    @property
    def _with_ensemble(self) -> bool:
        return self._maker.options.ensemble and len(self._subjects) > 1

    def _ensemble(self, job: Job) -> Ensemble:
        return self._ensembles.setdefault((job.framework, job.crops), Ensemble(self._folder))

    def _averaged(self, last: Scored | Unscored) -> None:
        """The ensemble of a framework's networks, once the last of them is known."""
        job, ensemble = last.job, self._ensemble(last.job)
        label = f"ensemble of {len(self._subjects)}"
        if ensemble.networks == len(self._subjects):
            self._measured(job, last.version, label, self._subjects, ensemble.mean(), {})
            return
        fallen = self._fallen[job.framework, job.crops]
        reason = f"{len(self._subjects) - ensemble.networks} of its networks came to nothing"
        self._keep("evaluation", self._failed(replace(fallen, reason=reason), label, self._subjects))

    def _failed(self, result: Unscored, label: str, members: Sequence[Subject]) -> Row:
        job = result.job
        return self._maker.row(
            job.framework, result.version, label, members, job.crops, status=result.status, reason=result.reason
        )

    def _measured(
        self, job: Job, version: str, label: str, members: Sequence[Subject], path: Path, extra: dict[str, Any]
    ) -> None:
        labels, crops, framework = self._ground.labels, job.crops, job.framework
        said = said_of(np.load(path, mmap_mode="r", allow_pickle=False), labels)
        path.unlink()
        self._file.add(framework, label, crops, said)
        for found in class_rows(framework, label, crops, said, labels, self._ground.classes):
            self._keep("class-error", found)
        self._compare(framework, label, crops, said)
        # Last of all: where this row is, the others are whole, whatever interrupts the run.
        row = self._maker.row(framework, version, label, members, crops, status="measured", **errors_of(said), **extra)
        self._keep("evaluation", row)

    def _compare(self, framework: str, label: str, crops: int, said: Said) -> None:
        """With every framework that has scored the same before."""
        others = self._said.setdefault((label, crops), {})
        for name, before in others.items():
            for found in agreement.rows(self._ground, label, crops, (name, before), (framework, said)):
                self._keep("agreement", found)
        others[framework] = self._laid_down(said)

    def _laid_down(self, said: Said) -> Said:
        """The same, mapped from a file: the predictions of many networks need not fit in memory."""
        number = sum(map(len, self._said.values()))
        path = self._folder / f"said-{number}.npy"
        np.save(path, said, allow_pickle=False)
        mapped: Said = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped
