"""Trainings that answer the ablations: each network once per seed and framework, scored, and kept as it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness import environment
from harness.data.prepared import Prepared
from harness.errors import AlexbenchError
from harness.evaluation import metrics
from harness.evaluation import run as evaluation
from harness.evaluation.job import Job as ScoringJob
from harness.paper import ablation_rows
from harness.paper.ablation_rows import Scoring
from harness.paper.evidence import Row
from harness.paper.failure import Failure
from harness.paper.options import PaperOptions
from harness.paper.variants import ABLATIONS, Ablation
from harness.parity.material import workspace
from harness.training import run as training
from harness.training.checkpoint import Checkpoints
from harness.training.job import Job
from impls.protocol import Tuning
from impls.spec import Network
from reports import signatures

BASE = "base"
PART = "val"
# Compiling a network takes longer than training it on digits.
TUNING: Tuning = "stock"

Keep = Callable[[str, Row], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Ground:
    """What all trainings of a study share."""

    options: PaperOptions
    network: Network  # its recipe with the epochs wanted
    prepared: Prepared
    limit: int | None
    folder: Path  # of weights and checkpoints
    frameworks: tuple[str, ...]

    def job(self, framework: str, network: Network, seed: int, label: str, data: Path | None = None) -> Job:
        """One training."""
        options = self.options
        return Job(
            framework,
            network,
            data or self.prepared.path,
            seed=seed,
            limit=self.limit,
            tuning=TUNING,
            precision=options.precision,
            device=options.device,
            python=options.python(framework),
            timeout_s=options.timeout_s,
            label=label,
        )


class Plan(NamedTuple):
    """The networks to train, and which of them each ablation holds against each other."""

    networks: Mapping[str, Network]  # by the name of the variant
    crops: Mapping[str, tuple[int, ...]]  # views that each is scored with
    ablations: tuple[tuple[Ablation, str, str], ...]  # with the names of baseline and variant


def plan(network: Network, only: Sequence[str] = ()) -> Plan:
    """Those of the ablations that change something in this network; equal networks are trained once."""
    networks: dict[str, Network] = {}
    crops: dict[str, tuple[int, ...]] = {}
    chosen: list[tuple[Ablation, str, str]] = []

    def named(wanted: Network, name: str, views: int) -> str:
        known = next((key for key, other in networks.items() if _same(other, wanted)), None)
        if known is None:
            known = BASE if _same(wanted, network) else name
            networks[known] = wanted if known == BASE else replace(wanted, name=f"{network.name}+{known}")
        crops[known] = tuple(sorted({*crops.get(known, ()), views}))
        return known

    for ablation in ABLATIONS:
        if (only and ablation.name not in only) or not ablation.applies(network):
            continue
        before = named(ablation.baseline(network), ablation.baseline_name, ablation.crops[0])
        after = named(ablation.variant(network), ablation.name, ablation.crops[1])
        chosen.append((ablation, before, after))
    return Plan(networks, crops, tuple(chosen))


def _same(one: Network, other: Network) -> bool:
    return replace(one, name="") == replace(other, name="")


@dataclass
class Study:
    """All trainings of a plan. Finished ones, among them those of a run that broke off, are not done again."""

    ground: Ground
    plan: Plan
    keep: Keep
    say: Say
    done: dict[Scoring, Row]
    resumed: bool = False

    def run(self) -> list[Failure]:
        """Seed by seed, so that every finished seed is a pair for each ablation. Returns what failed."""
        failures = []
        for number, (framework, seed, variant) in enumerate(self._all(), start=1):
            wanted = [Scoring(framework, variant, seed, crops) for crops in self.plan.crops[variant]]
            if all(scoring in self.done for scoring in wanted):
                continue
            label = f"{framework}-{variant}-seed{seed}"
            try:
                self._train(framework, variant, seed, label)
            except AlexbenchError as error:
                failures.append(Failure(label, error))
                self.say(f"{number} of {self.total}: {failures[-1]}")
                continue
            errors = ", ".join(f"{self.done[scoring]['top1_error']:.2%} with {_views(scoring)}" for scoring in wanted)
            self.say(f"{number} of {self.total}: {label}: top-1 error {errors}")
        return failures

    @property
    def total(self) -> int:
        """Trainings, the finished ones included."""
        return len(self.ground.frameworks) * self.ground.options.seeds * len(self.plan.networks)

    def _all(self) -> Iterator[tuple[str, int, str]]:
        for seed in range(self.ground.options.seeds):
            for framework in self.ground.frameworks:
                for variant in self.plan.networks:
                    yield framework, seed, variant

    def _train(self, framework: str, variant: str, seed: int, label: str) -> None:
        """Train, score with the views that are wanted, and keep a row for each."""
        network = self.plan.networks[variant]
        job = self.ground.job(framework, network, seed, label)
        rows: list[Row] = []

        def keep(kind: str, row: Row) -> None:
            if kind == "training":
                rows.append(row)

        made = training.train(job, self.ground.folder, keep, _silent, resume=self.resumed)
        images = len(self.ground.prepared.part(PART))
        common = {
            "framework": framework, "variant": variant, "seed": seed, "network": self.ground.network.name,
            "data": self.ground.prepared.source, "images": images, "epochs": made.epochs, "steps": made.steps,
            "weights": made.content_hash[:12], "file": str(made.last.name),
            "signature": signature_of(job, self.ground.network, rows),
        }  # fmt: skip
        for crops in self.plan.crops[variant]:
            if crops == 1:  # the last epoch's validation
                top1, top5 = made.top1_error, rows[-1]["top5_error"] if rows else None
            else:
                top1, top5 = self._errors(job, made.last, crops)
            row = {**common, "crops": crops, "top1_error": top1, "top5_error": top5}
            self.keep("trial", row)
            self.done[Scoring(framework, variant, seed, crops)] = row
        Checkpoints(self.ground.folder, label).clear()
        made.best.unlink(missing_ok=True)

    def _errors(self, job: Job, file: Path, crops: int) -> tuple[float, float]:
        """Top-1 and top-5 error of the last weights on the held-out part, as shares of 1."""
        scoring = ScoringJob(
            job.framework, job.network, file, job.data, part=PART, crops=crops, tuning=job.tuning,
            precision=job.precision, device=job.device, python=job.python, timeout_s=job.timeout_s,
        )  # fmt: skip
        labels = self.ground.prepared.part(PART).labels
        with workspace(self.ground.folder) as space:
            scored = evaluation.score(scoring, space, _silent)
            probabilities = np.load(scored.probabilities, mmap_mode="r", allow_pickle=False)
            top1, top5 = (metrics.rate(metrics.credit(probabilities, labels, k)).error for k in (1, 5))
        return top1, top5


def signature_of(job: Job, base: Network, rows: Sequence[Row]) -> str:
    """The training's own, of the network that was varied; a finished training that was only read back has less."""
    known = signatures.parts(rows[-1]) if rows else {"framework": job.framework}
    kept = {name: value for name, value in known.items() if name not in ("alexbench", "network", "weights", "seed")}
    return environment.signature(network=base.name, seed=job.seed, **kept)


def _views(scoring: Scoring) -> str:
    return "the centre crop" if scoring.crops == 1 else f"{scoring.crops} crops"


def _silent(text: str) -> None:
    """Epochs of forty trainings are nobody's reading."""


def rows(trials: Iterable[Row], made: Plan) -> list[Row]:
    """The table `ablation` of what was trained."""
    return ablation_rows.pairs(list(trials), made.ablations)
