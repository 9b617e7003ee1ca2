"""`alexbench compare` on run folders made here: what it says, and how it ends.

What matters runs in real processes; the many ways of being wrong go through the same entry point in this one.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from program import ROOT, alexbench, complaint, is_plain, told

from harness.run_folder import RunFolder
from reports import write as run_report

sys.path.insert(0, str(ROOT / "tests" / "reports"))
import speed_rows

from harness import cli, cli_exit

Tables = dict[str, list[dict[str, Any]]]
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Writes a run folder: finished, or broken off with its rows beside it."""
    monkeypatch.setattr(run_report, "drawings", lambda document: {})  # nobody looks at them here

    def write(name: str, tables: Tables, command: str = "speed", *, finished: bool = True) -> Path:
        folder = RunFolder.create(command, {"network": "paper"}, tmp_path / name)
        for kind, rows in tables.items():
            for row in rows:
                folder.append(kind, row)
        if finished:
            folder.close("complete")
        return folder.path

    return write


Here = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Here:
    """Runs the command line in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli_exit.run(cli.cli, [str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return run


def refused(ended: tuple[int, str, str], code: int) -> str:
    """The one line a command that could do nothing ends with."""
    assert ended[0] == code, ended[2]
    assert ended[1] == ""
    assert ended[2].startswith("alexbench: error: ") and ended[2].count("\n") == 1
    return ended[2]


def torch_only() -> Tables:
    rows = [speed_rows.speed("torch", tuning) for tuning in ("stock", "tuned")]
    return {"speed": rows, "sample": [sample for row in rows for sample in speed_rows.samples(row)]}


def changed(tables: Tables, factor: float, tuning: str = "tuned") -> Tables:
    """The same run with one tuning so many times faster."""
    made = copy.deepcopy(tables)
    for row in made["speed"]:
        if row["tuning"] == tuning:
            row["images_per_s"] *= factor
            row["step_ms"] /= factor
    made["sample"] = [sample for row in made["speed"] for sample in speed_rows.samples(row, seed=1)]
    return made


@pytest.fixture
def two(make: Make) -> tuple[Path, Path]:
    """A run, and one in which torch tuned takes 20 % longer."""
    return make("a", torch_only()), make("b", changed(torch_only(), 1 / 1.2))


def test_the_ratio_the_verdict_and_the_mean_are_shown(two: tuple[Path, Path]) -> None:
    done = alexbench("compare", *two)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert is_plain(done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "1.20x slower" in done.stdout and "not significant" in done.stdout
    assert "geometric mean: 0.913x" in told(done)


def test_the_folders_are_left_as_they_are(two: tuple[Path, Path]) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for run in two for path in run.iterdir()}
    assert alexbench("compare", *two).returncode == 0
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for run in two for path in run.iterdir()} == before


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (["images_per_s<0.95"], 1),
        (["step_ms>1.1"], 1),
        (["images_per_s<0.5"], 0),
        (["images_per_s<0.5", "step_ms>=1.1"], 1),
        (["peak_memory_mb>1.2"], 0),
        (["joules_per_image>1"], 3),
    ],
)
def test_fail_if_decides_the_exit_code(two: tuple[Path, Path], rules: list[str], code: int, here: Here) -> None:
    ended, _, errors = here("compare", *two, *(word for rule in rules for word in ("--fail-if", rule)))
    assert ended == code, errors
    if code == 1:
        assert "torch tuned, paper, cpu, float32, train-step, batch 32" in errors
        assert "torch stock" not in errors


def test_a_regression_ends_with_1_and_its_reverse_with_0(two: tuple[Path, Path]) -> None:
    worse = alexbench("compare", *two, "--fail-if", "images_per_s<0.95")
    assert worse.returncode == 1
    assert "--fail-if is met 1 time" in worse.stderr and "torch tuned" in worse.stderr
    assert alexbench("compare", two[1], two[0], "--fail-if", "images_per_s<0.95").returncode == 0


@pytest.mark.parametrize("rule", ["images_per_s", "images_per_s=1", "speed<1", "images_per_s<x", ""])
def test_a_rule_that_is_none_is_refused_in_one_line(two: tuple[Path, Path], rule: str, here: Here) -> None:
    assert "--fail-if" in refused(here("compare", *two, "--fail-if", rule), 2)


@pytest.mark.parametrize("form", ["csv", "json", "markdown", "table"])
def test_every_form_goes_to_a_file_too(two: tuple[Path, Path], form: str, tmp_path: Path, here: Here) -> None:
    code, printed, _ = here("compare", *two, "--format", form, "--fail-if", "step_ms>1.1")
    assert code == 1
    out = tmp_path / "out"
    code, silence, _ = here("compare", *two, "--format", form, "--fail-if", "step_ms>1.1", "--out", out)
    assert (code, silence) == (1, "")
    text = out.read_text()
    assert text == printed or form == "table"
    assert "1.20x slower" in text
    if form == "csv":
        assert [row["tuning"] for row in csv.DictReader(io.StringIO(text))] == ["stock", "tuned"]
    if form == "json":
        assert [row["tuning"] for row in json.loads(text)["pairs"]] == ["stock", "tuned"]


def test_a_file_that_cannot_be_written_is_said(two: tuple[Path, Path], tmp_path: Path, here: Here) -> None:
    assert "cannot write" in refused(here("compare", *two, "--out", tmp_path / "no" / "such"), 2)


def test_a_run_broken_off_is_compared(two: tuple[Path, Path], make: Make) -> None:
    broken_off = make("c", changed(torch_only(), 1 / 1.2), finished=False)
    rows = broken_off / ".rows-sample.jsonl"
    rows.write_text(rows.read_text() + '{"framework": "torch", "tun')  # killed while it wrote
    before = {path.name: path.read_bytes() for path in broken_off.iterdir()}
    done = alexbench("compare", two[0], broken_off)
    assert done.returncode == 0, done.stderr
    assert "1.20x slower" in done.stdout
    assert "was not finished (status running)" in told(done)
    assert {path.name: path.read_bytes() for path in broken_off.iterdir()} == before


def test_machines_that_differ_are_warned_of(two: tuple[Path, Path]) -> None:
    run = json.loads((two[1] / "run.json").read_text())
    run["environment"]["machine"]["cpu"] = "Another CPU"
    (two[1] / "run.json").write_text(json.dumps(run))
    said = told(alexbench("compare", *two))
    assert "warning: the machine differs: cpu" in said and "/ Another CPU" in said


def test_the_same_folder_twice_is_refused(two: tuple[Path, Path], tmp_path: Path, here: Here) -> None:
    link = tmp_path / "link"
    link.symlink_to(two[0])
    for other in (two[0], link, Path(os.path.relpath(two[0]))):
        assert "same folder" in refused(here("compare", two[0], other), 2)


def test_what_is_no_run_of_speed_is_refused(two: tuple[Path, Path], make: Make, tmp_path: Path, here: Here) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = {
        tmp_path / "nowhere": "is not a folder",
        two[1] / "run.json": "is not a folder",
        empty: "is not a run folder",
        make("p", {"parity": [{"level": "layer"}]}, "parity"): "is a run of 'parity'",
    }
    for path, said in cases.items():
        assert said in refused(here("compare", two[0], path), 2)
        assert said in refused(here("compare", path, two[0]), 2)


def test_a_run_without_rows_could_not_measure(two: tuple[Path, Path], make: Make) -> None:
    assert "no rows of speed" in complaint(alexbench("compare", two[0], make("n", {})), 3)


def test_runs_without_a_common_setting_list_both_and_end_with_3(two: tuple[Path, Path], make: Make) -> None:
    other = make("o", {"speed": [speed_rows.speed("jax", "tuned", 7)]})
    done = alexbench("compare", two[0], other)
    assert done.returncode == 3
    assert "only in A: torch stock" in told(done) and "only in B: jax tuned" in told(done)
    assert done.stderr.count("\n") == 1


def with_schema(run: Path, schema: object) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "schema": schema}))


def nested_json() -> bytes:
    return b'{"alexbench": ' + b"[" * 200_000


def long_text() -> pa.Table:
    """A small file with one long text a great many times."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["x" * 200_000]))
    return pa.table({"framework": text})


SPOILS: dict[str, Callable[[Path], object]] = {
    "parquet that is none": lambda run: (run / "speed.parquet").write_bytes(b"PAR1 no PAR1"),
    "parquet cut short": lambda run: (run / "speed.parquet").write_bytes((run / "speed.parquet").read_bytes()[:-50]),
    "empty parquet": lambda run: (run / "sample.parquet").write_bytes(b""),
    "a folder for a table": lambda run: ((run / "sample.parquet").unlink(), (run / "sample.parquet").mkdir()),
    "a pipe for a table": lambda run: ((run / "sample.parquet").unlink(), os.mkfifo(run / "sample.parquet")),
    "a column of another type": lambda run: pa.parquet.write_table(
        pa.table({"framework": ["torch"], "batch_size": ["many"]}), run / "speed.parquet"
    ),
    "nested columns": lambda run: pa.parquet.write_table(pa.table({"framework": [["torch"]]}), run / "speed.parquet"),
    "a table of gigabytes": lambda run: pa.parquet.write_table(long_text(), run / "speed.parquet"),
    "a long table": lambda run: pa.parquet.write_table(
        pa.table({"batch_size": pa.array([1] * 50_000)}), run / "speed.parquet"
    ),
    "rows that are none": lambda run: (run / ".rows-speed.jsonl").write_text("[1, 2]\n"),
    "broken rows": lambda run: (run / ".rows-speed.jsonl").write_text("{]\n"),
    "a number too large": lambda run: (run / ".rows-speed.jsonl").write_text('{"batch_size": 1' + "0" * 30 + "}\n"),
    "run.json that is none": lambda run: (run / "run.json").write_text("{"),
    "run.json of nests": lambda run: (run / "run.json").write_bytes(nested_json()),
    "run.json of bytes": lambda run: (run / "run.json").write_bytes(b"\xff\xfe\x00"),
    "run.json of gigabytes": lambda run: os.truncate(run / "run.json", 1 << 33),
    "run.json of a newer version": lambda run: with_schema(run, 3),
    "run.json of a version that is none": lambda run: with_schema(run, "two"),
    "run.json of another program": lambda run: (run / "run.json").write_text("[]"),
}


@pytest.mark.parametrize("name", SPOILS)
def test_a_folder_that_is_broken_is_one_line(name: str, make: Make, tmp_path: Path, here: Here) -> None:
    good = make("a", torch_only())
    bad = tmp_path / "bad"
    shutil.copytree(good, bad)
    SPOILS[name](bad)
    said = refused(here("compare", good, bad), 2)
    assert "bad" in said
    assert len(said) < 600


def test_the_help_says_how_a_rule_is_judged() -> None:
    text = told(alexbench("compare", "--help"))
    for said in ("--fail-if COLUMN<NUMBER", "significant", "peak_memory_mb", "< <= > >=", "markdown"):
        assert said in text
