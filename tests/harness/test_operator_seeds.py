"""Seeds of the operator level in every framework: a correct one raises no alarm, whatever the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from harness.launch import Event, WorkerSpec
from harness.parity.bench import Bench, Material
from harness.parity.finding import Outputs
from harness.parity.levels import JobBook
from harness.parity.schedule import Assignment, Schedule
from harness.shared_cores import YIELDING
from impls import registry
from impls.catalog import CIFAR_4LAYER
from impls.oracle.rounding import PRECISIONS
from impls.protocol import TUNINGS

FEW, MANY = range(1), range(20)


class Alarms:
    """A sink that keeps what did not pass."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.checks = 0

    def described(self, label: str, facts: Mapping[str, str]) -> None:
        assert facts["version"]

    def output(self, label: str, assignment: Assignment, outputs: Outputs) -> None:
        for finding in assignment.job.check(outputs):
            self.checks += 1
            if finding.judgement.verdict != "pass":
                where = f"{label}/{assignment.tuning} {finding.case} {finding.tensor}"
                self.found.append(f"{where}: {finding.judgement.verdict}: {finding.judgement.reason}")

    def failed(self, label: str, assignment: Assignment, kind: str, message: str) -> None:
        self.found.append(f"{label} {assignment.job.case}: {kind}: {message}")

    def ended(self, label: str, event: Event) -> None:
        if event["event"] != "finished":
            self.found.append(f"{label}: {event}")


def operator_level(seed: int, folder: Path) -> JobBook:
    folder.mkdir()
    material = Material(
        network=CIFAR_4LAYER,
        weights={},
        weights_file=folder / "unused",
        images=np.zeros((0, 32, 32, 3), np.float32),
        photographs=("none",),
        centres=(),
        precision=PRECISIONS["float32"],
        seed=seed,
        folder=folder,
    )
    return JobBook(Bench(material))


def assignments(seeds: range, folder: Path) -> Callable[[bool], Iterator[Assignment]]:
    def made(full: bool) -> Iterator[Assignment]:
        assert full
        for seed in seeds:
            book = operator_level(seed, folder / f"seed{seed}")
            for tuning in TUNINGS:
                for job in book.jobs("operator"):
                    yield Assignment(job, tuning)

    return made


@pytest.mark.parametrize("seeds", [FEW, pytest.param(MANY, marks=pytest.mark.thorough)], ids=["few", "many"])
@pytest.mark.parametrize("framework", list(registry.BUILT_IN))
def test_no_seed_of_the_operator_level_gives_a_false_alarm(framework: str, seeds: range, tmp_path: Path) -> None:
    alarms = Alarms()
    spec = WorkerSpec(framework, registry.BUILT_IN[framework], extra_environment=YIELDING)
    Schedule(tmp_path, 1, "float32", alarms).run({framework: (spec, assignments(seeds, tmp_path))})
    assert alarms.checks > 100 * len(seeds) * len(TUNINGS)
    assert alarms.found == []
