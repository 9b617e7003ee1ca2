"""Checkpoints: what is visible at any moment, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.training.checkpoint import STATE, VELOCITY, WEIGHTS, Checkpoints, Standing, best_name, hard_copy
from harness.training.schedule import State

IDENTITY = {"framework": "torch", "seed": "0"}


def kept(checkpoints: Checkpoints, standing: Standing) -> Path:
    with checkpoints.begun() as begun:
        for name in (WEIGHTS, VELOCITY):
            (begun / name).write_text(f"{name} {standing.step}")
        return checkpoints.commit(begun, standing, IDENTITY).path


def standing(step: int, **more: Any) -> Standing:
    state = State(epoch=step // 10, drops=1, best_error=0.1 + 0.2, best_epoch=1, waited=2)
    found = Standing(step=step, schedule=state, loss_sum=0.1 * step, epoch_s=1.5, total_s=7.25, initial_hash="abc")
    return replace(found, **more)


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path, "torch")


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_what_was_kept_comes_back_to_the_last_bit(checkpoints: Checkpoints) -> None:
    given = standing(30, validated_step=30, top1_error=1 / 3, top5_error=0.0)
    kept(checkpoints, given)
    found = checkpoints.latest()
    assert found is not None
    assert found.standing == given
    assert dict(found.identity) == IDENTITY
    assert found.weights.read_text() == f"{WEIGHTS} 30" and found.velocity is not None


def test_there_is_none_at_first(checkpoints: Checkpoints) -> None:
    assert checkpoints.latest() is None


def test_the_newest_alone_is_left_with_the_best_that_it_names(checkpoints: Checkpoints) -> None:
    for step, best in ((10, 10), (20, 20), (30, 20)):
        kept(checkpoints, standing(step, best=best_name(best)))
    assert names(checkpoints) == ["best-000000020.safetensors", "step-000000030"]
    found = checkpoints.latest()
    assert found is not None and found.best.read_text() == f"{WEIGHTS} 20"


def test_one_that_was_not_finished_is_not_seen_and_goes_with_the_next(checkpoints: Checkpoints) -> None:
    kept(checkpoints, standing(10))
    half = checkpoints.folder / ".partial-1"  # as a kill leaves it
    half.mkdir()
    (half / WEIGHTS).write_text("half")
    found = checkpoints.latest()
    assert found is not None and found.standing.step == 10
    kept(checkpoints, standing(20))
    assert names(checkpoints) == ["step-000000020"]


def test_of_two_of_one_step_the_validated_one_counts(checkpoints: Checkpoints) -> None:
    kept(checkpoints, standing(10))
    older = checkpoints.folder / "step-000000010"
    content = {path.name: path.read_bytes() for path in older.iterdir()}
    kept(checkpoints, standing(10, validated_step=10))
    older.mkdir()  # as a kill before it was removed would leave it
    for name, data in content.items():
        (older / name).write_bytes(data)
    found = checkpoints.latest()
    assert found is not None and found.standing.validated_step == 10


def test_a_kill_between_best_and_checkpoint_leaves_the_old_best(checkpoints: Checkpoints) -> None:
    kept(checkpoints, standing(10, best=best_name(10)))
    with checkpoints.begun() as begun:
        (begun / WEIGHTS).write_text("new")
        hard_copy(begun / WEIGHTS, checkpoints.folder / best_name(20))
    found = checkpoints.latest()
    assert found is not None and found.best.name == best_name(10) and found.best.exists()
    kept(checkpoints, standing(20, best=best_name(10)))
    assert names(checkpoints) == ["best-000000010.safetensors", "step-000000020"]


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "null",
        {"format": 99},
        {"step": "10"},
        {"step": None},
        {"best": "../../../etc/passwd"},
        {"best": "/etc/passwd"},
        {"schedule": {"epoch": 1}},
        {"schedule": []},
        {"identity": []},
        {"loss_sum": "much"},
    ],
)
def test_a_damaged_state_is_refused_in_one_line(damage: Any, checkpoints: Checkpoints) -> None:
    file = kept(checkpoints, standing(10)) / STATE
    text = damage if isinstance(damage, str) else json.dumps(json.loads(file.read_text()) | damage)
    file.write_text(text)
    with pytest.raises(UsageError, match=r"checkpoint .*step-000000010"):
        checkpoints.latest()


@pytest.mark.parametrize("label", ["", "..", ".hidden", "a/b", "/etc"])
def test_a_label_that_is_no_files_name_is_refused(label: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot name a file"):
        Checkpoints(tmp_path, label)
