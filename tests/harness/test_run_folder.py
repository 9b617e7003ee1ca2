"""A run's folder keeps every row the moment it is measured, and is whole whatever breaks off."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import run_folder
from harness.errors import CannotMeasure, UsageError
from harness.run_folder import RunFolder
from harness.version import VERSION
from reports import tables

ROOT = Path(__file__).resolve().parents[2]

ROW = {
    "level": "forward",
    "case": "photographs",
    "tensor": "conv1",
    "framework": "torch",
    "tuning": "stock",
    "layer": "conv1",
    "rms_error": 1e-7,
    "verdict": "pass",
    "signature": "alexbench:0.1.0|network:paper",
    "reference_rms": 1.0,
    "gauge_rms": 4e-7,
}


def open_folder(path: Path) -> RunFolder:
    return RunFolder.create("parity", {"network": "paper"}, path, signature="a:1", facts={"layers": ["conv1"]})


def run_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "run.json").read_text())
    return found


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_finished_run_leaves_tables_picture_report_and_run_json(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "out")
    assert run_json(folder.path)["status"] == "running"
    folder.append("parity", ROW)
    folder.append("parity", ROW | {"verdict": "fail"})
    folder.close("complete", failures=["one"], timings={"forward": 1.5})

    names = {path.name for path in folder.path.iterdir()}
    assert names == {
        "run.json",
        "parity.parquet",
        "parity.csv",
        "dictionary.csv",
        "report.md",
        "report.html",
        "error-by-layer.png",
        "error-by-layer.svg",
    }
    for read, name in ((tables.read_csv, "parity.csv"), (tables.read_parquet, "parity.parquet")):
        records = tables.records(read("parity", folder.path / name))
        assert [record["verdict"] for record in records] == ["pass", "fail"]
    run = run_json(folder.path)
    assert (run["alexbench"], run["command"], run["status"]) == (VERSION, "parity", "complete")
    assert (run["arguments"], run["signature"], run["failures"]) == ({"network": "paper"}, "a:1", ["one"])
    assert (run["rows"], run["timings"]) == ({"parity": 2}, {"forward": 1.5})
    assert run["environment"]["machine"]["cores"] >= 1
    assert "process" not in run
    assert "Not equal: 1 of 2 checks failed" in (folder.path / "report.md").read_text()
    assert folder.status == "complete"
    assert len(folder.rows("parity")) == 2


def test_a_row_is_on_the_disk_before_append_returns(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    folder.append("parity", ROW)
    assert len((tmp_path / ".rows-parity.jsonl").read_text().splitlines()) == 1


def test_nan_and_infinity_survive_and_stay_apart_from_missing_and_from_text(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    given = {
        "rms_error": math.nan,
        "gauge_ratio": math.inf,
        "baseline_ratio": np.float32(-math.inf),
        "max_ulp": None,
        "zeros": np.int64(3),
        "reason": "nan",
        "cause": "caf\udce9",
    }
    folder.append("parity", given)
    for line in (tmp_path / ".rows-parity.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    [row] = folder.rows("parity")
    assert math.isnan(row["rms_error"])
    assert (row["gauge_ratio"], row["baseline_ratio"], row["max_ulp"]) == (math.inf, -math.inf, None)
    assert (row["zeros"], row["reason"], row["cause"]) == (3, "nan", "caf?")
    folder.close("complete", timings={"forward": math.nan})
    [record] = tables.records(tables.read_parquet("parity", tmp_path / "parity.parquet"))
    assert math.isnan(record["rms_error"])
    assert record["max_ulp"] is None


def test_rows_of_several_threads_do_not_mix(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)

    def work(name: str) -> None:
        for number in range(50):
            folder.append("parity", {"framework": name, "elements": number})

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = folder.rows("parity")
    assert [row["elements"] for row in rows if row["framework"] == "c"] == list(range(50))
    assert len(rows) == 200


def test_the_default_folder_is_named_after_time_and_command_and_never_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (RunFolder.create("parity", {}) for _ in range(2))
    assert first.path != second.path
    assert first.path.parent == Path("runs")
    assert "T" in first.path.name
    assert first.path.name.endswith("Z-parity")


@pytest.mark.parametrize("inside", ["", "/deeper"])
def test_a_file_in_the_way_is_a_usage_error_of_one_line(inside: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError) as caught:
        open_folder(Path(f"{tmp_path}/file{inside}"))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert (tmp_path / "file").read_text() == "mine"


def test_an_unwritable_folder_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_data: bytes, _path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(run_folder.atomic, "write_bytes", refuse)
    with pytest.raises(UsageError, match="Permission denied; choose another folder with --out"):
        open_folder(tmp_path / "out")


@pytest.mark.parametrize("content", ["notes", '{"name": "a run.json of something else"}'])
def test_somebody_elses_folder_is_refused_and_left_alone(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UsageError, match="not empty and not a run folder"):
        open_folder(tmp_path)
    assert (tmp_path / "run.json").read_text() == content


def test_a_second_run_replaces_the_first_where_that_is_said_and_nothing_else(tmp_path: Path) -> None:
    first = open_folder(tmp_path)
    first.append("parity", ROW)
    first.append("self-test", {"fault": "x"})
    first.close("complete")
    (tmp_path / "notes.txt").write_text("mine")
    second = RunFolder.create("parity", {}, tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "notes.txt"}
    second.append("self-test", {"fault": "y", "caught": True, "localised": True})
    second.close("complete")
    assert "parity.csv" not in {path.name for path in tmp_path.iterdir()}
    assert run_json(tmp_path)["rows"] == {"self-test": 1}


def test_a_run_under_way_is_not_disturbed(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    under_way = rf"under way \(process {os.getpid()}\)"
    for disturb in (
        lambda: open_folder(tmp_path),
        lambda: RunFolder.create("parity", {}, tmp_path, overwrite=True),
        lambda: RunFolder.recover(tmp_path),
    ):
        with pytest.raises(UsageError, match=under_way):
            disturb()
    folder.append("parity", ROW)
    folder.close("complete")
    assert RunFolder.recover(tmp_path).status == "complete"


def test_a_number_of_a_process_is_no_lock(tmp_path: Path) -> None:
    """After a kill or a reboot the number is that of somebody else, of process 1 in every container."""
    folder = open_folder(tmp_path)
    folder.append("parity", ROW)
    run = run_json(tmp_path)
    for number in (1, os.getpid(), os.getppid()):
        run["process"]["pid"] = number
        (tmp_path / "run.json").write_text(json.dumps(run))
        folder.let_go()
        folder = RunFolder.reopen(tmp_path)
    assert len(folder.rows("parity")) == 1


def test_files_that_a_command_names_are_listed_if_they_came(tmp_path: Path) -> None:
    folder = RunFolder.create("parity", {}, tmp_path, facts={"files": ["came.png", "never.png"]})
    (tmp_path / "came.png").touch()
    folder.close("complete")
    assert run_json(tmp_path)["files"] == ["came.png", "report.md", "report.html"]


def test_a_killed_run_is_recovered_with_the_rows_it_had(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
from pathlib import Path
from harness.run_folder import RunFolder
folder = RunFolder.create("parity", {{}}, Path(sys.argv[1]))
for number in range(3):
    folder.append("parity", {ROW!r} | {{"elements": number}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert python(code, str(tmp_path)).returncode == -signal.SIGKILL
    with (tmp_path / ".rows-parity.jsonl").open("a") as rows:
        rows.write('{"level": "half a ro')
    (tmp_path / f".run.json.{os.getppid()}.partial").write_text("{")
    folder = RunFolder.recover(tmp_path)
    assert folder.status == "interrupted" and not list(tmp_path.glob(".*"))
    assert run_json(tmp_path)["status"] == "interrupted"
    records = tables.records(tables.read_csv("parity", tmp_path / "parity.csv"))
    assert [record["elements"] for record in records] == [0, 1, 2]
    assert "(status interrupted)" in (tmp_path / "report.md").read_text()


def test_rows_that_a_power_cut_took_cost_no_others(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    for number in range(3):
        folder.append("parity", ROW | {"elements": number})
    kept = tmp_path / ".rows-parity.jsonl"
    lines = kept.read_bytes().splitlines(keepends=True)
    kept.write_bytes(lines[0] + bytes(len(lines[1]) - 1) + b"\n" + lines[2])
    folder.let_go()
    assert [row["elements"] for row in RunFolder.recover(tmp_path).rows("parity")] == [0, 2]


def test_recovering_a_finished_folder_changes_nothing(tmp_path: Path) -> None:
    open_folder(tmp_path).close("failed")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert RunFolder.recover(tmp_path).status == "failed"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_only_a_run_folder_can_be_recovered(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run folder"):
        RunFolder.recover(tmp_path)


def test_what_becomes_known_later_is_noted(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    folder.note(signature="b:2")
    assert run_json(tmp_path)["signature"] == "b:2"
    folder.close("complete")
    assert run_json(tmp_path)["signature"] == "b:2"


def test_a_disk_that_fills_up_costs_one_row_and_leaves_the_others_readable(tmp_path: Path) -> None:
    # A limit on the file's size fails as a full disk does: a write takes part of the line, the next takes none.
    code = f"""
import resource, sys
from pathlib import Path
from harness.errors import CannotMeasure
from harness.run_folder import RunFolder
folder = RunFolder.create("parity", {{}}, Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    for number in range(100):
        folder.append("parity", {ROW!r})
except CannotMeasure as error:
    print(number, error, sep="|")
    sys.exit(error.exit_code)
"""
    done = python(code, str(tmp_path))
    assert done.returncode == 3, done.stderr
    count, message = done.stdout.strip().split("|")
    assert "cannot write .rows-parity.jsonl" in message
    text = (tmp_path / ".rows-parity.jsonl").read_text()
    assert text.endswith("\n")
    assert len(text.splitlines()) == int(count) > 0
    assert run_json(tmp_path)["status"] == "running"


def test_a_full_disk_at_the_end_keeps_the_rows_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(tmp_path)
    folder.append("parity", ROW)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(run_folder.atomic.os, "fsync", full)
        with pytest.raises(CannotMeasure, match="No space left on device; what was measured until then is kept"):
            folder.close("complete")
        with pytest.raises(CannotMeasure, match="No space left"):
            folder.note(signature="lost")
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", ".rows-parity.jsonl"}
    assert run_json(tmp_path)["status"] == "running"
    folder.close("complete")
    assert run_json(tmp_path)["status"] == "complete"


def test_appending_needs_no_pandas(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from harness.run_folder import RunFolder
RunFolder.create("parity", {}, Path(sys.argv[1])).append("parity", {"level": "layer"})
print(sorted({"pandas", "numpy", "matplotlib", "rich"} & set(sys.modules)))
"""
    assert python(code, str(tmp_path)).stdout.strip() == "[]"
