"""A run's folder opened again: the rows that stand, and what a resumed run refuses."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import environment
from harness.errors import UsageError
from harness.run_folder import RunFolder, facts_of
from harness.speed import resume
from harness.speed.matrix import matrix
from harness.speed.options import SpeedOptions
from harness.speed.rows import Who, speed_row
from harness.version import VERSION

OPTIONS = SpeedOptions(batch_sizes=(2, 4), frameworks=("torch",), pythons=(("torch", "/opt/python"),), effort="quick")


def row(batch_size: int, status: str = "measured") -> dict[str, Any]:
    setting = next(setting for setting in matrix(OPTIONS) if setting.batch_size == batch_size)
    return speed_row(Who("torch", "stock"), setting, status=status, step_ms=1.5, signature="a:1", samples=3)


def sample(batch_size: int) -> dict[str, Any]:
    found = {name: row(batch_size)[name] for name in ("framework", "tuning", "network", "device", "devices", "split")}
    more = {name: row(batch_size)[name] for name in ("precision", "batch_size", "input", "phase")}
    return {**found, **more, "block": 1, "index": 0, "steps": 1, "seconds": 0.5, "warm": "yes"}


def begun(path: Path) -> RunFolder:
    folder = RunFolder.create("speed", resume.arguments(OPTIONS), path)
    folder.append("speed", row(2))
    folder.append("sample", sample(2))
    folder.append("sample", sample(4))  # of a setting that was not finished
    return folder


def killed(path: Path) -> None:
    """As a run leaves it whose process is gone."""
    run = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(run | {"process": {"host": "elsewhere", "pid": 1}}))


def test_options_come_back_as_they_went(tmp_path: Path) -> None:
    begun(tmp_path / "out").close("interrupted")
    given = SpeedOptions(verbose=True, timeout_s=5.0)
    found = resume.options_of(tmp_path / "out", facts_of(tmp_path / "out"), given)
    assert found == replace(OPTIONS, verbose=True, timeout_s=5.0)


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "killed"])
def test_rows_of_finished_settings_stand_and_half_measured_ones_go(tmp_path: Path, closed: bool) -> None:
    out = tmp_path / "out"
    folder = begun(out)
    folder.append("speed", row(4, "crashed"))
    if closed:
        folder.close("interrupted")
    else:
        killed(out)
        with (out / ".rows-speed.jsonl").open("a") as file:
            file.write('{"framework": "to')  # broke off in writing
    again = RunFolder.reopen(out)
    stands = resume.keep_what_stands(again)
    assert stands == {"speed": [row(2)], "sample": [sample(2)]}
    again.append("speed", row(4))
    assert again.rows("speed") == [row(2), row(4)]
    again.close("complete")
    run = json.loads((out / "run.json").read_text())
    assert run["status"] == "complete" and run["rows"]["speed"] == 2 and len(run["resumed"]) == 1
    assert "process" not in run


def test_a_run_under_way_is_not_opened(tmp_path: Path) -> None:
    begun(tmp_path / "out")
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    run["process"]["pid"] = os.getppid()
    (tmp_path / "out" / "run.json").write_text(json.dumps(run))
    with pytest.raises(UsageError, match="under way"):
        RunFolder.reopen(tmp_path / "out")


def test_a_damaged_table_is_one_line(tmp_path: Path) -> None:
    begun(tmp_path / "out").close("interrupted")
    (tmp_path / "out" / "speed.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(UsageError, match="cannot read"):
        RunFolder.reopen(tmp_path / "out")


def ground() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps({"alexbench": VERSION, "environment": environment.describe()}))
    return found


def test_the_same_ground_is_taken() -> None:
    resume.check_ground(Path("out"), ground())
    resume.check_weights(Path("out"), {"weights": {"paper": "ab"}}, {"paper": "ab", "one-tower": "cd"})
    resume.check_versions(Path("out"), {"versions": {"torch": "2.13"}}, {"torch": "2.13", "jax": "0.10"})


@pytest.mark.parametrize("part", ["cpu", "cores", "numpy", "python", "alexbench"])
def test_other_ground_is_refused_and_named(part: str) -> None:
    run = ground()
    known = run["environment"]
    place = {"cpu": known["machine"], "cores": known["machine"], "numpy": known["packages"], "python": known}
    place.get(part, run)[part] = "another"
    with pytest.raises(UsageError, match="was another"):
        resume.check_ground(Path("out"), run)


def test_other_weights_and_versions_are_refused() -> None:
    with pytest.raises(UsageError, match="weights of 'paper' were ab, here they are cd"):
        resume.check_weights(Path("out"), {"weights": {"paper": "ab"}}, {"paper": "cd"})
    with pytest.raises(UsageError, match=r"torch was 2\.13, here it is 2\.14"):
        resume.check_versions(Path("out"), {"versions": {"torch": "2.13"}}, {"torch": "2.14"})


def test_arguments_of_another_version_are_refused(tmp_path: Path) -> None:
    begun(tmp_path / "out").close("interrupted")
    run = facts_of(tmp_path / "out")
    del run["arguments"]["effort"]
    with pytest.raises(UsageError, match="another version"):
        resume.options_of(tmp_path / "out", run, OPTIONS)
