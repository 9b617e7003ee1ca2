"""A run is gone on with where its figures mean the same; what changes none is told and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import environment, same_ground
from harness.errors import UsageError
from harness.run_folder import RunFolder
from harness.version import VERSION
from reports.documents import common

OUT = Path("out")


def ground(**arguments: Any) -> dict[str, Any]:
    """What run.json holds of a run that was begun here, of torch alone."""
    given = {"frameworks": ["torch"], "device": "cpu", **arguments}
    found = {"alexbench": VERSION, "arguments": given, "environment": environment.describe()}
    found["environment"]["packages"] |= {"torch": "2.13.0", "jax": "0.10.2"}  # type: ignore[index]
    made: dict[str, Any] = json.loads(json.dumps(found))
    return made


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine as `ground` tells of it, the frameworks installed or not."""
    told = ground()["environment"]
    monkeypatch.setattr(environment, "describe", lambda: told)


@pytest.mark.usefixtures("here")
def test_the_same_ground_is_taken_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert same_ground.check(OUT, ground()) == []
    assert capsys.readouterr().err == ""


REFUSED = {
    "cpu": ("machine", "another"),
    "cores": ("machine", 99),
    "architecture": ("machine", "another"),
    "os": ("machine", "Plan9 4"),
    "numpy": ("packages", "0.9"),
    "torch": ("packages", "2.12.0"),
    "python": (None, "CPython 3.4.1"),
    "cpu_kind": (None, "SSE2"),
    "physical_cores": (None, 99),
    "alexbench": (None, "0.0.1"),
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", REFUSED)
def test_what_changes_figures_is_refused_and_named(name: str) -> None:
    run = ground()
    place, value = REFUSED[name]
    part = run if name == "alexbench" else run["environment"]
    (part if place is None else part[place])[name] = value
    with pytest.raises(UsageError, match=f"--resume out: (?i:{name}) was {value}, here it is .*; start a new run"):
        same_ground.check(OUT, run)


def patched(version: str) -> str:
    """Another release of the same minor version."""
    return ".".join([*version.split(".")[:2], "99"])


@pytest.mark.usefixtures("here")
def test_what_changes_no_figure_is_told_and_kept_in_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ground()
    machine, packages = run["environment"]["machine"], run["environment"]["packages"]
    machine["os"] = machine["os"].split()[0] + " 0.0.1-another"
    machine["memory_gb"] = 0.5
    packages |= {"matplotlib": "0.1", "jax": "0.9.0"}  # a framework that the run has nothing of
    del packages["pandas"]
    run["environment"]["python"] = patched(run["environment"]["python"])
    run["environment"]["flags"] = {"OMP_NUM_THREADS": "3"}
    run["alexbench"] = patched(VERSION)
    changed = same_ground.check(tmp_path, run)
    said = capsys.readouterr().err
    names = {one["what"] for one in changed}
    assert names >= {"alexbench", "Python", "os", "memory_gb", "matplotlib", "jax", "pandas", "OMP_NUM_THREADS"}
    assert "matplotlib was 0.1, here it is" in said and "pandas was not there" in said

    folder = RunFolder.create("speed", {}, tmp_path / "out")
    folder.close("interrupted")
    RunFolder.reopen(folder.path, changed).close("complete")
    kept = json.loads((folder.path / "run.json").read_text())
    assert [one["what"] for one in kept["changed"]] == [one["what"] for one in changed]
    assert {one["resumed"] for one in kept["changed"]} == set(kept["resumed"])
    assert "matplotlib was 0.1, then" in " ".join(common.facts(kept).values())
    assert "matplotlib was 0.1, then" in (folder.path / "report.md").read_text()


@pytest.mark.usefixtures("here")
def test_a_fact_that_an_earlier_version_did_not_keep_is_not_missed() -> None:
    run = ground()
    for part, name in (("machine", "architecture"), ("packages", "torch")):
        del run["environment"][part][name]
    assert [one["what"] for one in same_ground.check(OUT, run)] == ["torch"]
    assert same_ground.changes({}, {}) == []


def test_the_driver_counts_on_a_gpu_alone() -> None:
    for device, counts in (("cpu", False), ("cuda:1", True)):
        run = ground(device=device)
        now = json.loads(json.dumps(run))
        run["environment"]["machine"]["nvidia_driver"] = "535.104.05"
        now["environment"]["machine"]["nvidia_driver"] = "550.54.14"
        (change,) = same_ground.changes(run, now)
        assert (change.name, change.counts) == ("nvidia_driver", counts)


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023", "535.104.05"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build", "570.86.15"),
        ("", None),
    ],
)
def test_the_driver_is_read_where_there_is_one(line: str, version: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_read", lambda path: line if path == "/proc/driver/nvidia/version" else "")
    assert environment.nvidia_driver() == version


def test_what_a_framework_says_of_itself_must_be_the_same() -> None:
    """In whatever interpreter it runs: its packages are not ours."""
    told = {"version": "2.13.0", "device": "NVIDIA H200", "cuda": "12.8", "cudnn": "91002", "threads": "16"}
    run = {"versions": {"torch": "2.13.0"}, "frameworks": {"torch": told}}
    same_ground.check_told(OUT, run, {"torch": {**told, "threads": "8"}, "jax": {"version": "0.10.2"}})
    for fact, says in (("version", "torch was 2.13.0"), ("cuda", "cuda of torch"), ("device", "device of torch")):
        with pytest.raises(UsageError, match=f"{says}.*, here it is another"):
            same_ground.check_told(OUT, run, {"torch": {**told, fact: "another"}})
    with pytest.raises(UsageError, match=r"torch was 2\.13\.0, here it is 2\.14"):  # of a run that kept no more
        same_ground.check_told(OUT, {"versions": {"torch": "2.13.0"}}, {"torch": {**told, "version": "2.14"}})
