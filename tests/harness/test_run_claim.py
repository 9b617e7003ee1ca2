"""A folder that holds a run is written over only where the user says so, and then nothing else goes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli_exit
from harness.cli import cli
from harness.run_folder import RunFolder
from impls import catalog, weights

NETWORK = "cifar-4layer"
# Every command that makes a run, with the least that it takes. What is named lies nowhere.
COMMANDS = {
    "parity": ["parity", "--network", NETWORK],
    "self-test": ["parity", "--self-test"],
    "speed": ["speed", "--network", NETWORK],
    "train": ["train", "--network", NETWORK, "--data", "digits"],
    "evaluate": ["evaluate", "--weights", "none.safetensors", "--data", "digits"],
    "audit": ["audit", "paper", "--no-measure"],
    "paper": ["paper"],
}


def of_train(out: Path, status: str) -> Path:
    """What a training of two frameworks leaves; `running`: as a kill leaves it."""
    folder = RunFolder.create("train", {}, out, facts={"files": ["torch.safetensors", "torch-best.safetensors"]})
    folder.append("training", {"label": "torch", "epoch": 1, "step": 1, "loss": 2.3, "top1_error": 0.5})
    (out / "torch.safetensors").write_text("trained for a week")
    (out / "checkpoints" / "torch" / "step-000000001").mkdir(parents=True)
    (out / "checkpoints" / "torch" / "step-000000001" / "state.json").write_text("{}")
    (out / "notes.txt").write_text("mine")
    if status != "running":
        folder.close(status)  # type: ignore[arg-type]
    folder.let_go()
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


Alexbench = Callable[..., tuple[int, str]]


@pytest.fixture
def alexbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Alexbench:
    """The command line in this process: its exit code and what it said on standard error."""
    monkeypatch.setenv("ALEXBENCH_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object) -> tuple[int, str]:
        code = cli_exit.run(cli, list(map(str, arguments)))
        return code, capsys.readouterr().err

    return run


@pytest.fixture(scope="module", params=["complete", "interrupted", "failed", "running"])
def earlier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """How a training ended, and what it left. Nothing may change it."""
    return request.param, of_train(tmp_path_factory.mktemp("earlier") / "out", request.param)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_folder_that_holds_a_run(
    command: str, earlier: tuple[str, Path], tmp_path: Path, alexbench: Alexbench
) -> None:
    status, out = earlier
    before = contents(out)
    code, said = alexbench(*COMMANDS[command], "--out", out)
    assert code == 2
    state = {"complete": "finished", "running": "broken-off"}.get(status, status)
    assert f"{out} holds the {state} run of train, begun at 20" in said
    assert said.endswith("choose another folder with --out, or give it up with --overwrite\n")
    assert (f"go on with it by alexbench train --resume {out}" in said) == (status != "complete")
    assert len(said.splitlines()) == 1 and contents(out) == before
    assert not (tmp_path / "cache").exists()  # nothing was prepared for what is refused


def test_a_folder_whose_run_json_is_broken_is_nobodys_to_remove(tmp_path: Path, alexbench: Alexbench) -> None:
    out = of_train(tmp_path / "out", "running")
    (out / "run.json").write_text((out / "run.json").read_text()[:-20])
    before = contents(out)
    for command in COMMANDS.values():
        for more in ([], ["--overwrite"]):
            code, said = alexbench(*command, "--out", out, *more)
            assert code == 2 and "is not empty and not a run folder" in said
    assert contents(out) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("parity", "--network", NETWORK, "--weights", "none.safetensors"), "none.safetensors"),
        (("parity", "--network", NETWORK, "--images", "none.png"), "none.png"),
        (("parity", "--self-test", "--precision", "tf32"), "tf32"),
        (("speed", "--network", NETWORK, "--weights", "none.safetensors"), "none.safetensors"),
        (("speed", "--network", NETWORK, "--layers", "--devices", "2"), "--layers"),
        (("train", "--network", NETWORK, "--data", "nowhere"), "nowhere"),
        (("train", "--network", NETWORK, "--data", "digits", "--batch-size", "5000"), "do not fill a batch"),
        (("evaluate", "--weights", "none.safetensors", "--data", "digits"), "none.safetensors"),
        (("evaluate", "--weights", "given.safetensors", "--data", "nowhere"), "nowhere"),
        (("evaluate", "--weights", "given.safetensors", "--data", "digits", "--part", "test"), "test"),
        (("audit", "none.onnx"), "none.onnx"),
        (("audit", "torchvision", "--images", "none.png"), "none.png"),
        (("paper", "--weights", "none.safetensors"), "none.safetensors"),
        (("paper", "--weights", "given.safetensors", "--data", "nowhere"), "nowhere"),
        (("paper", "--ablations", "--data", "nowhere"), "nowhere"),
        (("paper", "none"), "none"),
    ],
)
def test_bad_input_costs_no_earlier_run(
    arguments: tuple[str, ...], says: str, tmp_path: Path, alexbench: Alexbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = of_train(tmp_path / "out", "running")
    before = contents(out)
    monkeypatch.chdir(tmp_path)
    weights.write(catalog.get(NETWORK), "own", 0, tmp_path / "given.safetensors")
    code, said = alexbench(*arguments, "--out", out, "--overwrite")
    assert code in (2, 3) and says in said.splitlines()[-1]
    assert "removing" not in said and contents(out) == before


@pytest.mark.parametrize("status", ["complete", "running"])
def test_what_is_given_up_is_told_and_goes_and_nothing_else(status: str, tmp_path: Path, alexbench: Alexbench) -> None:
    out = of_train(tmp_path / "out", status)
    rows = "tables training, 1 picture" if status == "complete" else "rows training"
    if status == "complete":
        assert (out / "curves.png").exists()
    (out / "checkpoints.txt").write_text("mine as well")
    code, said = alexbench("audit", "paper", "--no-measure", "--out", out, "--overwrite")
    assert code == 0
    state = "finished" if status == "complete" else "broken-off"
    assert f"removing the {state} run of train, begun at 20" in said
    assert f"from {out}: weights torch.safetensors, {rows}, " in said and "checkpoints, run.json" in said
    assert ".svg" not in said
    left = {path.name for path in out.iterdir()}
    assert {"notes.txt", "checkpoints.txt", "run.json", "report.md"} <= left
    assert not left & {"torch.safetensors", "checkpoints", "training.csv", "training.parquet", "curves.png"}
    assert not list(out.glob(".*"))
    assert json.loads((out / "run.json").read_text())["command"] == "audit"


def test_a_run_under_way_is_never_removed(tmp_path: Path, alexbench: Alexbench) -> None:
    folder = RunFolder.create("audit", {}, tmp_path / "out")
    code, said = alexbench("audit", "paper", "--no-measure", "--out", folder.path, "--overwrite")
    assert code == 2 and f"belongs to a run under way (process {os.getpid()})" in said
    assert folder.status == "running" and (folder.path / "run.json").exists()


def test_a_run_that_another_machine_may_be_at_is_not_removed(tmp_path: Path, alexbench: Alexbench) -> None:
    """Locks are not seen from machine to machine. One that was killed in a container of this machine is seen to be."""
    out = of_train(tmp_path / "out", "running")
    run = json.loads((out / "run.json").read_text())
    run["process"]["host"] = "elsewhere"
    (out / "run.json").write_text(json.dumps({**run, "process": {**run["process"], "boot": "another"}}))
    command = ("audit", "paper", "--no-measure", "--out", out, "--overwrite")
    code, said = alexbench(*command)
    assert code == 2 and "host elsewhere may still be at work on it" in said
    (out / "run.json").write_text(json.dumps(run))
    assert alexbench(*command)[0] == 0


def test_a_file_that_no_run_left_is_in_the_way_of_one_of_that_name(tmp_path: Path, alexbench: Alexbench) -> None:
    out = tmp_path / "out"
    RunFolder.create("audit", {}, out).close("complete")
    weights.write(catalog.get(NETWORK), "own", 0, out / "torch.safetensors")
    before = contents(out)
    train = ("train", "--network", NETWORK, "--data", "digits", "--framework", "torch", "--out", out, "--overwrite")
    code, said = alexbench(*train)
    assert code == 2 and "holds torch.safetensors, which no run left there" in said
    assert contents(out) == before


@pytest.mark.parametrize("command", ["parity", "speed", "train", "evaluate", "paper"])
def test_what_is_read_does_not_lie_in_what_is_overwritten(command: str, tmp_path: Path, alexbench: Alexbench) -> None:
    out = of_train(tmp_path / "out", "complete")
    before = contents(out)
    read = out / "torch.safetensors"
    more = [] if command == "evaluate" else COMMANDS[command][1:]
    data = ["--data", "digits"] if command == "evaluate" else []
    code, said = alexbench(command, *more, *data, "--weights", read, "--out", out, "--overwrite")
    assert code == 2 and f"{read} is read here and must not lie in --out {out}" in said
    assert contents(out) == before


def test_a_file_of_a_run_is_not_written_over_by_name(tmp_path: Path, alexbench: Alexbench) -> None:
    out = of_train(tmp_path / "out", "complete")
    given, own = tmp_path / "given.safetensors", out / "own.safetensors"
    weights.write(catalog.get(NETWORK), "own", 0, given)
    before = contents(out)
    for command in (
        ("weights", "init", "--network", NETWORK),
        ("weights", "import", given),
        ("weights", "export", given, "--to", "torch"),
    ):
        code, said = alexbench(*command, "--out", out / "torch.safetensors")
        assert code == 2 and "belongs to the finished run of train" in said
    for command in (("compare", "a", "b"), ("report", out)):
        code, said = alexbench(*command, "--out", out / "report.md")
        assert code == 2 and "belongs to the finished run of train" in said
    for name in ("run.json", "checkpoints/torch/step-000000001/state.json"):
        code, said = alexbench("weights", "init", "--network", NETWORK, "--out", out / name)
        assert code == 2 and "belongs to the finished run of train" in said
    assert contents(out) == before
    for _ in range(2):  # a file of the user's own, wherever it lies, is replaced as by any program
        assert alexbench("weights", "init", "--network", NETWORK, "--out", own)[0] == 0


def test_a_file_of_prepared_data_is_not_written_over_by_name(tmp_path: Path, alexbench: Alexbench) -> None:
    data = tmp_path / "data"
    assert alexbench("prepare", "--data", "digits", "--out", data)[0] == 0
    before = contents(data)
    for name in ("prepared.json", "train.images.npy"):
        code, said = alexbench("weights", "init", "--network", NETWORK, "--out", data / name)
        assert code == 2 and "lies in a folder of prepared data: choose another name" in said
    assert contents(data) == before


def test_a_name_that_no_folder_can_have_is_one_line(tmp_path: Path, alexbench: Alexbench) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name, says in (("x" * 300, "File name too long"), ("loop", "cannot write to")):
        code, said = alexbench("paper", "--out", tmp_path / name)
        assert code == 2 and says in said and len(said.splitlines()) == 1


def test_resume_and_overwrite_contradict_each_other(tmp_path: Path, alexbench: Alexbench) -> None:
    for command in ("speed", "train", "paper"):
        code, said = alexbench(command, "--resume", tmp_path, "--overwrite")
        assert code == 2 and "leave out --overwrite" in said
