"""The command line, as a user meets it: its output and its exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import in_process
import pytest

from harness import cli_exit
from harness.cli import cli
from harness.version import VERSION

ROOT = Path(__file__).resolve().parents[2]


def alexbench(*arguments: object, **environment: str) -> in_process.Done:
    return in_process.alexbench([*map(str, arguments)], {**os.environ, **environment}, ROOT, 120)


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def refusal(*arguments: object) -> str:
    """The one line a user's mistake is answered with."""
    done = alexbench(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("alexbench: error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_help_answers_at_once() -> None:
    process("--help")  # compiles the files
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = process("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 1.0  # of the processor, 0.12 s here: however busy the machine is
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("networks", "weights", "parity", "doctor", "completion"))


def test_the_version_is_the_projects() -> None:
    assert alexbench("--version").stdout.strip().endswith(VERSION)


def test_no_command_shows_the_help_and_is_a_usage_error() -> None:
    done = alexbench()
    assert done.returncode == 2
    assert "Usage: alexbench" in done.stderr


def test_networks_lists_the_catalog() -> None:
    rows = json.loads(alexbench("networks", "--format", "json").stdout)
    paper = next(row for row in rows if row["network"] == "paper")
    assert (paper["parameters"], paper["multiply_adds"], paper["input"]) == (60_965_224, 724_406_816, "224x224x3")
    assert len(rows) == 12


def test_a_networks_layers_come_as_csv_without_separators_in_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(alexbench("networks", "paper", "--format", "csv").stdout)))
    conv2 = next(row for row in rows if row["layer"] == "conv2")
    assert (conv2["output"], conv2["parameters"], conv2["neurons"]) == ("27x27x256", "307456", "186624")
    assert sum(int(row["parameters"]) for row in rows) == 60_965_224


def test_a_networks_table_is_for_eyes() -> None:
    shown = alexbench("networks", "paper").stdout
    assert "60,965,224" in shown
    assert "659,272" in shown
    assert "4.136 GFLOP" in shown
    assert "96 of 11x11 / 4, pad bottom 3 right 3" in shown
    assert max(map(len, shown.splitlines())) <= 200


def test_every_network_can_be_shown() -> None:
    rows = json.loads(alexbench("networks", "--format", "json").stdout)
    assert "n=5 alpha=2e-05 beta=0.75 k=2, per tower" in alexbench("networks", "original-2012").stdout
    for row in rows[-2:]:
        assert alexbench("networks", row["network"]).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["networks", "papr"], "unknown network 'papr': did you mean 'paper'?"),
        (["parity", "--network", "cafe"], "unknown network 'cafe': did you mean 'caffe'?"),
        (["parity", "--frameworks", "torch,jx"], "unknown framework 'jx': did you mean 'jax'?"),
        (["parity", "--frameworks", ","], "no framework given: choose from torch, tensorflow, jax"),
        (["parity", "--level", "operater"], "unknown level 'operater': did you mean 'operator'?"),
        (["parity", "--precision", "float23"], "unknown precision 'float23': did you mean 'float32'?"),
        (["parity", "--device", "gpu"], "unknown device 'gpu': did you mean 'cuda'? choose cpu, cuda or cuda:N"),
        (["parity", "--python", "torch"], "must be FRAMEWORK=PATH"),
        (["parity", "--python", "tensorflw=/x"], "did you mean 'tensorflow'?"),
        (["parity", "photo.jpg"], "unexpected argument 'photo.jpg': photographs are given with --images"),
        (["parity", "--timeout", "0"], "'--timeout': 0.0 is not in the range"),
        (["weights", "init", "--recipe", "papr", "--out", "x"], "unknown recipe 'papr': did you mean 'paper'?"),
        (["weights", "init"], "Missing option '--out'"),
        (["weights", "show", "nowhere.safetensors"], "cannot read weights file 'nowhere.safetensors'"),
        (["networkz"], "No such command 'networkz'"),
        (["parity", "--sed", "3"], "No such option '--sed'"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_a_mistake_is_answered_in_one_line(arguments: list[str], said: str) -> None:
    assert said in refusal(*arguments)


def test_weights_are_written_and_shown(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    written = alexbench("weights", "init", "--network", "cifar-4layer", "--seed", 3, "--out", file)
    assert written.returncode == 0
    content_hash = written.stdout.split()[-1]
    shown = alexbench("weights", "show", file).stdout
    assert "network cifar-4layer, recipe scaled, seed 3" in shown
    assert f"sha256 {content_hash}" in shown
    rows = json.loads(alexbench("weights", "show", file, "--format", "json").stdout)
    assert [row["tensor"] for row in rows][:2] == ["conv1/weight", "conv1/bias"]
    assert rows[0]["std"] == pytest.approx((2 / 75) ** 0.5, rel=0.05)


def test_weights_that_cannot_be_written_are_a_usage_error(tmp_path: Path) -> None:
    assert "cannot write" in refusal("weights", "init", "--out", tmp_path / "nowhere" / "w.safetensors")


@pytest.mark.parametrize(
    "command",
    [
        ("weights", "init"),
        ("weights", "import", "w.npz"),
        ("weights", "export", "w.safetensors", "--to", "npz"),
        ("compare", "runs/a", "runs/b"),
        ("report", "runs/a"),
    ],
)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_no_file_is_written_in_the_place_of_a_pipe_or_folder(
    command: tuple[str, ...], make: Callable[[Path], None], tmp_path: Path
) -> None:
    out = tmp_path / "out.npz"
    make(out)
    before = out.stat()
    assert "it is there and no file" in refusal(*command, "--out", out)
    assert os.path.samestat(before, out.stat())


def test_a_file_without_a_name_is_not_written() -> None:
    assert "cannot write '.': it is there and no file" in refusal("weights", "init", "--out", "")


def test_a_huge_network_is_written_only_when_asked(tmp_path: Path) -> None:
    said = refusal("weights", "init", "--network", "note-004", "--out", tmp_path / "w")
    assert "has 3.6 GB of weights: pass --large" in said


def test_a_weights_file_without_a_network_is_explained(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes((2).to_bytes(8, "little") + b"{}")
    assert "names no network in its metadata" in refusal("weights", "show", tmp_path / "w")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    done = alexbench("completion", shell)
    assert done.returncode == 0
    assert "_ALEXBENCH_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("alexbench networks caf", {"caffe", "caffenet"}),
        ("alexbench parity --network or", {"original-2012"}),
        ("alexbench parity --frameworks torch,t", {"torch,tensorflow"}),
        ("alexbench parity --level f", {"forward"}),
        ("alexbench parity --precision b", {"bfloat16"}),
        ("alexbench parity --device c", {"cpu", "cuda"}),
        ("alexbench parity --python j", {"jax="}),
        ("alexbench weights init --recipe o", {"original-2012", "own"}),
    ],
)
def test_names_are_completed(words: str, offered: set[str]) -> None:
    count = str(len(words.split()) - 1)
    done = alexbench(_ALEXBENCH_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=count)
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == offered


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m harness.cli networks paper | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", str(cli_exit.READER_GONE))


def outcome(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def raises(*_: object) -> None:
        raise error

    monkeypatch.setattr("harness.listing.show_networks", raises)
    return cli_exit.run(cli, ["networks"])


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(monkeypatch, KeyboardInterrupt()) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_an_error_on_purpose_ends_with_its_own_code(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ValueError("two\nlines")
    error.exit_code = code  # type: ignore[attr-defined]
    assert outcome(monkeypatch, error) == code
    assert capsys.readouterr().err == "alexbench: error: two lines\n"


def test_an_error_of_ours_shows_where_and_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(monkeypatch, ZeroDivisionError("oops")) == cli_exit.DEFECT
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("please report it with the lines above\n")


def test_a_link_is_judged_by_what_it_leads_to(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    assert "it is there and no file" in refusal("compare", "a", "b", "--out", str(link))
    assert link.is_symlink()
