"""`alexbench report` on run folders made here: what is on the page, what it is refused for, and how it ends."""

from __future__ import annotations

import copy
import json
import math
import os
import re
import shutil
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import ROOT, alexbench, complaint, told

from harness.run_folder import RunFolder
from reports import tables

sys.path.insert(0, str(ROOT / "tests" / "reports"))
import audit_rows
import evaluation_rows
import paper_rows
import parity_rows
import speed_rows
import training_rows

from harness import folder_lock, report

Tables = dict[str, list[dict[str, Any]]]


def write(folder: Path, given: Tables, command: str = "speed", *, status: str = "complete") -> Path:
    made = RunFolder.create(command, {"network": "paper"}, folder)
    for kind, rows in given.items():
        for row in rows:
            made.append(kind, row)
    if status != "running":
        made.close(status)  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def speed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of speed: torch, stock and tuned."""
    rows = [speed_rows.speed("torch", tuning) for tuning in ("stock", "tuned")]
    samples = [sample for row in rows for sample in speed_rows.samples(row)]
    return write(tmp_path_factory.mktemp("made") / "speed", {"speed": rows, "sample": samples})


@pytest.fixture(scope="module")
def parity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("made") / "parity", {"parity": parity_rows.passing()}, "parity")


def copied(run: Path, to: Path, factors: Sequence[float]) -> Path:
    """A folder of runs, a day after another, each a copy with torch stock so many times as fast."""
    for day, factor in enumerate(factors, 1):
        folder = to / f"203001{day % 31 + 1:02d}T{day // 31:02d}0000Z-speed"
        shutil.copytree(run, folder)
        rows = tables.records(tables.read_parquet("speed", folder / "speed.parquet"))
        for row in rows:
            if row["tuning"] == "stock":
                row["images_per_s"] *= factor
                row |= {name: row[name] / factor for name in ("step_ms", "step_ms_low", "step_ms_high")}
        tables.write_parquet(tables.frame("speed", rows), folder / "speed.parquet")
        facts = json.loads((folder / "run.json").read_text())
        facts["started"] = f"2030-{1 + day // 28:02d}-{day % 28 + 1:02d}T00:00:00.000Z"
        (folder / "run.json").write_text(json.dumps(facts))
    return to


def noise(count: int, seed: int = 0) -> list[float]:
    return [math.exp(one) for one in np.random.default_rng(seed).normal(0, 0.03, count)]


def words(page: Path) -> str:
    """What a page says, without markup, styles and scripts."""
    text = re.sub(r"(?s)<(script|style)\b.*?</\1>", " ", page.read_text(encoding="utf-8"))
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def test_a_run_alone_is_its_page(speed: Path, tmp_path: Path) -> None:
    done = alexbench("report", speed, "--out", tmp_path / "page.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert told(done) == f"wrote {tmp_path / 'page.html'}"
    page = (tmp_path / "page.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "2 of 2 settings measured" in words(tmp_path / "page.html")
    assert "run after run" not in page


def test_several_runs_are_on_one_page_whole(speed: Path, parity: Path, tmp_path: Path) -> None:
    done = alexbench("report", parity, speed, "--out", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    said = words(tmp_path / "page.html")
    assert re.search(r"2 runs \(1 of (parity|speed), 1 of (parity|speed)\)", said)
    assert said.count("2 of 2 settings measured") >= 2  # in the table of runs, and as its own verdict
    assert "alexbench parity" in said and "alexbench speed" in said


def test_a_run_that_is_given_twice_is_there_once(speed: Path, tmp_path: Path) -> None:
    runs = copied(speed, tmp_path / "runs", [1.0, 1.0])
    one, _ = sorted(runs.iterdir())
    done = alexbench("report", runs, one, runs / ".." / "runs" / one.name, "--out", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert "2 runs (2 of speed)" in words(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count('href="#part-2"') > 0


def test_runs_of_one_name_are_told_apart(speed: Path, parity: Path, tmp_path: Path) -> None:
    for run, folder in ((speed, "a"), (parity, "b")):
        shutil.copytree(run, tmp_path / folder / "run")
    assert alexbench("report", tmp_path / "a/run", tmp_path / "b/run", "--out", tmp_path / "p.html").returncode == 0
    assert {"a/run", "b/run"} <= set(words(tmp_path / "p.html").split())


def test_a_slow_down_planted_in_twelve_runs_is_marked(speed: Path, tmp_path: Path) -> None:
    factors = [one / (1.2 if place >= 6 else 1.0) for place, one in enumerate(noise(12))]
    runs = copied(speed, tmp_path / "runs", factors)
    assert alexbench("report", runs, "--out", tmp_path / "page.html").returncode == 0
    said = words(tmp_path / "page.html")
    assert "12 runs (12 of speed); 1 step found: torch stock" in said
    assert "from run 7 on" in said and "slower" in said


def test_in_twelve_runs_of_one_program_nothing_is_marked(speed: Path, tmp_path: Path) -> None:
    runs = copied(speed, tmp_path / "runs", noise(12))
    for name in ("page.html", "again.html"):
        assert alexbench("report", runs, "--out", tmp_path / name).returncode == 0
    assert "12 runs (12 of speed); no step found in 2 settings" in words(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == (tmp_path / "again.html").read_bytes()


@pytest.mark.thorough
def test_a_page_of_a_hundred_runs_is_small(speed: Path, tmp_path: Path) -> None:
    runs = copied(speed, tmp_path / "runs", noise(100))
    assert alexbench("report", runs, "--out", tmp_path / "page.html").returncode == 0
    assert (tmp_path / "page.html").stat().st_size < 1_000_000
    assert "100 runs (100 of speed)" in words(tmp_path / "page.html")


def test_the_overview_leads_to_each_runs_own_page(speed: Path, tmp_path: Path) -> None:
    runs = copied(speed, tmp_path / "my runs", noise(2))
    first, second = sorted(runs.iterdir())
    (second / "report.html").unlink(missing_ok=True)
    (first / "report.html").write_text("<p>its own</p>")
    (tmp_path / "pages").mkdir()
    assert alexbench("report", runs, "--out", tmp_path / "pages" / "page.html").returncode == 0
    page = (tmp_path / "pages" / "page.html").read_text()
    assert re.findall(r'<a href="([^"#]+)"', page) == [f"../my%20runs/{first.name}/report.html"]


def test_runs_that_are_not_over_are_told_from_those_that_broke_off(speed: Path, tmp_path: Path) -> None:
    runs = copied(speed, tmp_path / "runs", [1.0])
    rows = [speed_rows.speed("torch", "stock")]
    for name in ("broken", "live"):
        write(runs / name, {"speed": rows}, status="running")
    lock = folder_lock.take(runs / "live")
    try:
        assert alexbench("report", runs, "--out", tmp_path / "page.html").returncode == 0
    finally:
        os.close(lock)
    said = words(tmp_path / "page.html")
    assert "2 not finished" in said and "broken off" in said and "under way" in said


def test_what_cannot_be_read_is_named_and_left_out(speed: Path, tmp_path: Path) -> None:
    runs = copied(speed, tmp_path / "runs", [1.0, 1.0])
    spoils: dict[str, Callable[[Path], object]] = {
        "garbage": lambda run: (run / "run.json").write_bytes(b"\xff{"),
        "nested": lambda run: (run / "run.json").write_text('{"alexbench": ' + "[" * 100_000),
        "pipe": lambda run: ((run / "run.json").unlink(), os.mkfifo(run / "run.json")),
        "torn": lambda run: (run / "speed.parquet").write_bytes(b"PAR1"),
        "gone": lambda run: (run / "run.json").write_text(
            '{"alexbench": "0.1.0", "command": "speed", "rows": {"layer": 7}}'
        ),
    }
    for name, spoil in spoils.items():
        shutil.copytree(speed, runs / name)
        spoil(runs / name)
    (runs / "empty").mkdir()
    (runs / "notes.txt").write_text("not a run")
    (runs / "latest").symlink_to(speed)
    done = alexbench("report", runs, tmp_path / "nowhere", runs / "notes.txt", "--out", tmp_path / "page.html")
    assert done.returncode == 0
    warned = done.stderr.splitlines()
    assert all(line.startswith("alexbench: warning: ") for line in warned)
    for name in (*spoils, "nowhere", "notes.txt"):
        assert sum(name in line for line in warned) == 1, (name, done.stderr)
    said = words(tmp_path / "page.html")
    assert "2 runs (2 of speed)" in said
    assert said.count("Left out: ") == 6  # five of the seven, and how many more


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = {"a": [value]} if depth % 2 else [value]
    return value


RUNS: dict[str, tuple[dict[str, Any], Tables]] = {
    "speed": (speed_rows.RUN, speed_rows.layered()),
    "train": (training_rows.RUN, training_rows.tables(("torch",), epochs=2)),
    "evaluate": (evaluation_rows.RUN, evaluation_rows.tables()),
    "paper": (paper_rows.RUN, paper_rows.tables()),
    "audit": (audit_rows.RUN, {"audit": audit_rows.audit()}),
    "parity": ({}, {"parity": parity_rows.wanting()}),
    "parity-self-test": ({}, {}),
}
FACTS: dict[str, Any] = {
    "changed": [{"resumed": "2030-01-01", "what": "weights", "was": "a", "now": None}],
    "impl": {"mine": {"kept": "impl/mine"}}, "command_line": "alexbench", "layers": ["conv1"],
    "versions": {"torch": "2"}, "weights": {"paper": "3f2a"}, "checks": {}, "frameworks": ["torch"],
}  # fmt: skip
WRONG = {
    "none": None, "number": -5, "fraction": 1e308, "huge": 10**400, "list": [],
    "text": "\ud800<b>\x1b[2J", "lists": [[1], {}], "mapping": {}, "mappings": {"a": [{"b": None}], "resumed": 5},
    "deep": nested(300), "deeper": nested(451),
}  # fmt: skip


@pytest.mark.parametrize(
    "command", ["speed", *(pytest.param(name, marks=pytest.mark.thorough) for name in RUNS if name != "speed")]
)
def test_whatever_a_run_json_holds_a_page_is_made_of_the_others(command: str, tmp_path: Path) -> None:
    known, rows = RUNS[command]
    rows = {kind: given[:3] for kind, given in rows.items()}
    sound = write(tmp_path / "sound", rows, command)
    facts = FACTS | json.loads((sound / "run.json").read_text()) | known
    places = [(name,) for name in facts]
    places += [(name, inner) for name in ("arguments", "environment") for inner in facts[name]]
    places += [("environment", "machine", "cores"), ("changed", 0, "what")]  # type: ignore[list-item]

    def spoiled(folder: Path, where: tuple[Any, ...], value: Any, rows: Tables) -> Path:
        run = copy.deepcopy(facts) | {"started": str(folder)}
        *above, last = where
        place: Any = run
        for step in above:
            place = place[step]
        place[last] = value
        folder.mkdir(parents=True)
        for kind in rows:
            (folder / f"{kind}.parquet").symlink_to(sound / f"{kind}.parquet")
        (folder / "run.json").write_text(json.dumps(run))
        return folder

    values, shift = list(WRONG.values()), list(RUNS).index(command)
    for number, where in enumerate(places):
        for turn in range(3):  # the other values come with other commands
            value = values[(number + shift + 4 * turn) % len(values)]
            spoiled(tmp_path / "runs" / f"{number}-{turn}", where, value, rows)
    whole = [
        spoiled(tmp_path / "whole" / str(number), where, values[number % len(values)], {})
        for number, where in enumerate(places[:24])
    ]
    for given in ([tmp_path / "runs"], whole):
        done = alexbench("report", *given, sound, "--out", tmp_path / "page.html")
        assert done.returncode == 0, done.stderr
        assert all(line.startswith("alexbench: warning: ") for line in done.stderr.splitlines())


def test_a_copy_of_a_run_is_no_second_measurement(speed: Path, tmp_path: Path) -> None:
    [one] = copied(speed, tmp_path / "runs", [1.0]).iterdir()
    for name in "abc":
        shutil.copytree(one, tmp_path / "runs" / name)
    done = alexbench("report", tmp_path / "runs", speed, "--out", tmp_path / "page.html")
    assert done.returncode == 0
    assert [line.rpartition("is a copy of")[2] for line in done.stderr.splitlines()] == [f" {one}: left out"] * 3
    assert "2 runs (2 of speed)" in words(tmp_path / "page.html")


def test_a_page_keeps_so_much_of_all_runs_and_no_more(
    speed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = copied(speed, tmp_path / "runs", [1.0] * 4)
    size = report._read(speed, whole=False).size
    monkeypatch.setattr(report, "MAX_KEPT_BYTES", int(2.5 * size))
    done = alexbench("report", runs, "--out", tmp_path / "page.html")
    assert (done.returncode, done.stderr.count("no room for")) == (0, 2)
    assert "2 runs (2 of speed)" in words(tmp_path / "page.html")


def test_a_name_that_is_no_text_and_a_pipe_beside_the_page_are_no_trouble(speed: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("bad\udcff", "good"):
        write(runs / name, {"speed": [speed_rows.speed("torch", "stock")]})
        (runs / name / "report.html").write_text("its own")
    os.mkfifo(tmp_path / "run.json")
    (tmp_path / "page.html").write_text("old")
    done = alexbench("report", runs, "--out", tmp_path / "page.html", process=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 'href="runs/bad%FF/report.html"' in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("path", ["nowhere", "file", "empty", "loop", "x" * 300])
def test_without_any_run_there_is_no_page(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    assert path in complaint(alexbench("report", tmp_path / path, "--out", tmp_path / "page.html"), 3)
    assert not (tmp_path / "page.html").exists()


def test_a_file_of_a_run_is_not_written_over_but_for_the_page_of_a_run_that_is_given(
    speed: Path, tmp_path: Path
) -> None:
    one, other = sorted(copied(speed, tmp_path / "runs", [1.0, 1.0]).iterdir())
    for folder in (one, other):
        facts = json.loads((folder / "run.json").read_text())
        facts["files"] = sorted({*facts["files"], "report.html"})
        (folder / "run.json").write_text(json.dumps(facts))
        (folder / "report.html").write_text("old")
    for out in (one / "report.md", one / "run.json", other / "report.html"):
        assert "belongs to the finished run of speed" in complaint(alexbench("report", one, "--out", out), 2)
    assert (other / "report.html").read_text() == "old"
    assert alexbench("report", one, "--out", one / "report.html").returncode == 0
    assert (one / "report.html").read_text() != "old"


def test_a_page_that_cannot_be_written_is_said(speed: Path, tmp_path: Path) -> None:
    assert "cannot write" in complaint(alexbench("report", speed, "--out", tmp_path / "no" / "page.html"), 2)


def test_what_a_folder_says_is_not_obeyed(speed: Path, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\x1b[2J"
    run = tmp_path / "runs" / "<img src=x>"
    shutil.copytree(speed, run)
    shutil.copytree(speed, tmp_path / "runs" / "plain")
    rows = tables.records(tables.read_parquet("speed", run / "speed.parquet"))
    rows = [row | {"framework": evil, "network": evil, "signature": evil} for row in rows]
    tables.write_parquet(tables.frame("speed", rows), run / "speed.parquet")
    facts = json.loads((run / "run.json").read_text())
    facts |= {"started": evil, "status": evil, "signature": evil}
    facts["environment"] = copy.deepcopy(facts["environment"]) | {"flags": {evil: evil}, "machine": {"cpu": evil}}
    (run / "run.json").write_text(json.dumps(facts))
    done = alexbench("report", tmp_path / "runs", run, "--out", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    assert "<script>alert" not in page and "<img src=x" not in page and "\x1b" not in page + done.stdout + done.stderr


def test_the_page_is_opened_once_it_is_written(
    speed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from harness import cli, cli_exit

    seen: list[tuple[str, bool]] = []
    page = tmp_path / "page.html"

    class Browser(webbrowser.BaseBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            seen.append((url, page.exists()))
            return len(seen) < 2

    monkeypatch.setattr(webbrowser, "_tryorder", ["ours"])
    monkeypatch.setattr(webbrowser, "_browsers", {"ours": [None, Browser("ours")]})
    for _ in range(2):
        assert cli_exit.run(cli.cli, ["report", str(speed), "--out", str(page), "--open"]) == 0
    assert seen == [(page.as_uri(), True)] * 2
    assert "no browser could be started" in capfd.readouterr().err
