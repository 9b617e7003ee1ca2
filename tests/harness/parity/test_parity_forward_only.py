"""A framework without gradients: which jobs it gets, what is said of it, and where it is no part of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.errors import UsageError
from harness.parity import material
from harness.parity.bench import Bench
from harness.parity.finding import Finding
from harness.parity.levels import Job, JobBook
from harness.parity.options import DEFAULT_LEVELS, FORWARD_LEVELS, ParityOptions
from harness.parity.rows import Origin
from harness.parity.run import ParityRun
from harness.parity.schedule import Assignment
from harness.parity.verdict import Judgement
from harness.progress import Progress
from impls import registry
from impls.spec_json import layer_from_json
from reports import documents
from reports.render import markdown

NAME = "onnxruntime"


@pytest.fixture
def book(bench: Bench) -> JobBook:
    return JobBook(bench)


def test_it_gets_the_forward_part_of_every_operator_and_no_loss(book: JobBook) -> None:
    whole, part = book.jobs("operator"), book.jobs("operator", forward_only=True)
    assert {job.task["do"] for job in part} == {"layer"}
    left_out = {job.case for job in whole} - {job.case for job in part}
    assert all(name.startswith("cross-entropy") or name.endswith("with a mask") for name in left_out)
    assert len(left_out) == len(whole) - len(part) > 4
    kinds = {type(layer_from_json(job.task["layer"])).__name__ for job in part}
    assert kinds == {"Conv", "Dense", "ReLU", "Tanh", "LRN", "SpatialNorm", "MaxPool", "Dropout"}
    assert all(job.task["forward_only"] for job in part) and not any("forward_only" in job.task for job in whole)
    assert book.count("operator", forward_only=True) == len(part) and book.count("operator") == len(whole)


def test_nothing_is_said_of_gradients_that_were_not_asked_for(book: JobBook) -> None:
    job = next(job for job in book.jobs("operator", forward_only=True) if job.case.startswith("conv 3x3 pad 1"))
    layer = layer_from_json(job.task["layer"])
    findings = list(job.check({"y": np.full((2, 6, 5, layer.kernels), np.nan, np.float32)}))  # type: ignore[union-attr]
    assert [(finding.tensor, finding.judgement.verdict) for finding in findings] == [("y", "fail")]
    assert [finding.judgement.verdict for finding in job.check({})] == ["not-observed"]


@pytest.mark.parametrize("level", ["gradient", "training"])
def test_levels_that_are_gradients_throughout_have_no_forward_part(book: JobBook, level: str) -> None:
    assert book.jobs(level) and book.jobs(level, forward_only=True) == []


class Two:
    """Two jobs at the level layer, of which one has a forward part."""

    def jobs(self, level: str, *, forward_only: bool = False) -> list[Job]:
        def check(outputs: Any) -> Iterator[Finding]:
            yield Finding(level, "conv1", "y", Judgement("pass", ""))

        jobs = [Job(level, "conv1", "", {"do": "layer"}, check), Job(level, "drop1", "", {"do": "layer"}, check)]
        return jobs[:1] if forward_only else jobs

    def count(self, level: str, *, forward_only: bool = False) -> int | None:
        return len(self.jobs(level, forward_only=forward_only))


def test_its_run_is_complete_when_its_forward_parts_are_done() -> None:
    origin = Origin(NAME, "1", "cpu", "float32", "paper", "0" * 64, 0)
    run = ParityRun(
        book=Two(),  # type: ignore[arg-type]
        origins={NAME: origin, "torch": replace(origin, framework="torch")},
        levels={NAME: ("layer",), "torch": ("layer",)},
        tunings={NAME: ("stock",), "torch": ("stock",)},
        keep=lambda row: None,
        progress=Progress("test"),
        forward_only=frozenset({NAME}),
    )
    for label in (NAME, "torch"):
        run.progress.expect(label, run.total(label))
        given = list(run.assignments(label)(True))
        assert len(given) == (1 if label == NAME else 2)
        run.output(label, Assignment(given[0].job, "stock"), {})
        run.ended(label, {"event": "finished", "peak_memory_mb": 1.0})
    assert [(row["framework"], row["verdict"]) for row in run.rows] == [
        (NAME, "pass"), ("torch", "pass"), ("torch", "error"),
    ]  # fmt: skip
    assert [problem.label for problem in run.problems] == ["torch"]


def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "missing_modules", lambda name: ())


def labels(**changes: Any) -> set[str]:
    return {spec.label for spec in material.workers(ParityOptions(**changes))}


def test_it_takes_part_unasked_where_all_of_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    assert labels() == {*registry.frameworks(), NAME}
    for changes in (
        {"levels": ("gradient",)}, {"precision": "bfloat16"}, {"device": "cuda"}, {"large": True}, {"self_test": True},
    ):  # fmt: skip
        assert labels(**changes) == set(registry.frameworks()), changes


def test_asked_by_name_it_has_its_own_levels_of_those_asked_for() -> None:
    options = ParityOptions(frameworks=(NAME, "torch"))
    assert material.levels_of(NAME, options) == FORWARD_LEVELS
    assert material.levels_of("torch", options) == DEFAULT_LEVELS
    assert labels(frameworks=(NAME,), levels=("layer", "gradient")) == {NAME}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"levels": ("gradient",)},
            r"^onnxruntime is forward only: --level gradient is not among its levels operator,",
        ),
        ({"levels": ("training", "split")}, r"^onnxruntime is forward only: --level training, split is not among"),
        ({"self_test": True}, r"^--self-test plants its faults in gradients too: onnxruntime is forward only$"),
        ({"precision": "bfloat16"}, r"^onnxruntime computes in float32 here: it has no --precision bfloat16$"),
    ],
    ids=["gradient", "training-and-split", "self-test", "bfloat16"],
)
def test_asked_by_name_for_what_it_lacks_it_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        material.workers(ParityOptions(frameworks=(NAME,), **changes))


def test_the_report_says_that_it_is_forward_only() -> None:
    rows = [{"level": "layer", "framework": NAME, "tuning": "stock", "verdict": "pass"}]
    told = "Forward only, without gradients, loss and training: onnxruntime."
    for names in ([NAME], []):
        document = documents.of_rows({"parity": rows}, {"command": "parity", "forward_only": names})
        assert (told in markdown.text(document)) == bool(names)
