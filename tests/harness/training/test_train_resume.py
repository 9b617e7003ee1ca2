"""Going on: the rows that stand, and initial weights that must be those of the frameworks that began."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.run_folder import RunFolder
from harness.training import resume
from harness.training.checkpoint import Standing
from harness.training.job import Job
from impls import catalog, weights

NETWORK = catalog.get("cifar-4layer")


def steps(folder: RunFolder, kind: str) -> list[tuple[str, int]]:
    return [(row["label"], row["step"]) for row in folder.rows(kind)]


def test_rows_stand_as_far_as_their_checkpoint_is(tmp_path: Path) -> None:
    folder = RunFolder.create("train", {}, tmp_path / "out")
    for label in ("torch", "jax"):
        for step in (10, 20, 30):
            folder.append("loss", {"label": label, "step": step})
            folder.append("training", {"label": label, "step": step})
    resume.keep_what_stands(folder, {"torch": Standing(step=20, validated_step=20)})
    assert steps(folder, "loss") == steps(folder, "training") == [("torch", 10), ("torch", 20)]


def test_an_epoch_whose_validation_no_checkpoint_holds_is_told_again(tmp_path: Path) -> None:
    folder = RunFolder.create("train", {}, tmp_path / "out")
    for step in (10, 20):
        folder.append("loss", {"label": "torch", "step": step})
        folder.append("training", {"label": "torch", "step": step})
    resume.keep_what_stands(folder, {"torch": Standing(step=20, validated_step=10)})
    assert steps(folder, "loss") == [("torch", 10), ("torch", 20)]
    assert steps(folder, "training") == [("torch", 10)]


def test_initial_weights_that_changed_are_refused_while_a_framework_has_not_begun(tmp_path: Path) -> None:
    file = tmp_path / "given.safetensors"
    weights.write(NETWORK, "own", 0, file)
    jobs = [Job(framework=name, network=NETWORK, data=tmp_path, weights=file) for name in ("torch", "jax")]
    run = {"weights": resume.hashes(jobs)}
    resume.check_weights(tmp_path, run, jobs, {"torch": Standing()})
    weights.write(NETWORK, "own", 1, file)
    with pytest.raises(UsageError, match="the weights of 'cifar-4layer' were"):
        resume.check_weights(tmp_path, run, jobs, {"torch": Standing()})
    resume.check_weights(tmp_path, run, jobs, {"torch": Standing(), "jax": Standing()})  # theirs are in checkpoints


def test_drawn_weights_are_no_file_to_check(tmp_path: Path) -> None:
    assert resume.hashes([Job(framework="torch", network=NETWORK, data=tmp_path)]) == {}
