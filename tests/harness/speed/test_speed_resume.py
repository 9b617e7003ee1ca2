"""A run's folder opened again: the rows that stand, and what a resumed run refuses."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.run_folder import RunFolder, facts_of
from harness.speed import resume
from harness.speed.matrix import matrix
from harness.speed.options import SpeedOptions
from harness.speed.rows import Who, speed_row

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
        folder.let_go()  # as when the process is killed
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
    folder = begun(tmp_path / "out")
    with pytest.raises(UsageError, match=rf"under way \(process {os.getpid()}\)"):
        RunFolder.reopen(folder.path)


def test_a_damaged_table_is_one_line(tmp_path: Path) -> None:
    begun(tmp_path / "out").close("interrupted")
    (tmp_path / "out" / "speed.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(UsageError, match="cannot read"):
        RunFolder.reopen(tmp_path / "out")


def test_the_same_weights_are_taken() -> None:
    resume.check_weights(Path("out"), {"weights": {"paper": "ab"}}, {"paper": "ab", "one-tower": "cd"})


def test_other_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="weights of 'paper' were ab, here they are cd"):
        resume.check_weights(Path("out"), {"weights": {"paper": "ab"}}, {"paper": "cd"})


def test_arguments_of_another_version_are_refused(tmp_path: Path) -> None:
    begun(tmp_path / "out").close("interrupted")
    run = facts_of(tmp_path / "out")
    del run["arguments"]["overwrite"]  # came later, and says nothing of the first part
    assert resume.options_of(tmp_path / "out", run, OPTIONS) == OPTIONS
    del run["arguments"]["effort"]
    with pytest.raises(UsageError, match="another version"):
        resume.options_of(tmp_path / "out", run, OPTIONS)


def test_a_kind_of_which_no_row_stands_leaves_no_table(tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = RunFolder.create("speed", resume.arguments(OPTIONS), out)
    folder.append("speed", row(2, "crashed"))
    folder.append("sample", sample(2))
    folder.close("complete")
    again = RunFolder.reopen(out)
    assert resume.keep_what_stands(again) == {}
    again.append("speed", row(2))
    again.close("complete")
    run = facts_of(out)
    assert run["rows"] == {"speed": 1}
    assert {file.name for file in out.iterdir()} == {"run.json", *run["files"]}
    assert not [name for name in run["files"] if name.startswith(("sample", "layer", "peak", "exchange"))]
