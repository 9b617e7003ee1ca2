"""`alexbench speed`: what it refuses, what it would measure, and where there is nothing to measure on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from program import alexbench, complaint

from harness.speed import nvml

NO_GPU = nvml.count() == 0


def refused(*arguments: str, code: int = 2, **environment: str) -> str:
    return complaint(alexbench("speed", *arguments, **environment), code)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--split", "modell"], "did you mean 'model'?"),
        (["--phase", "train"], "did you mean 'train-step'?"),
        (["--input", "synthtic"], "did you mean 'synthetic'?"),
        (["--precision", "float32,bf16"], "unknown precision 'bf16'"),
        (["--tuning", "tune"], "did you mean 'tuned'?"),
        (["--network", "papper"], "did you mean 'paper'?"),
        (["--frameworks", "pytorch"], "did you mean 'torch'?"),
        (["--recipe", "scald"], "did you mean 'scaled'?"),
        (["--batch-size", "32,0"], "batch size '0' is not a whole number above 0"),
        (["--batch-size", "32,many"], "batch size 'many'"),
        (["--timeout", "nan"], "--timeout nan is no number of seconds"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_unknown_value_is_one_line_with_the_nearest_name(arguments: list[str], said: str) -> None:
    assert said in refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpus", "1", "--device", "cpu"], "leave out --device"),
        (["--quick", "--rigorous"], "contradict each other"),
        (["--split", "model"], "--split model needs two devices"),
        (["--devices", "2", "--split", "none"], "--split none is a run on one device"),
        (["--devices", "2", "--split", "model", "--network", "one-tower"], "choose data or hybrid"),
        (["--devices", "2", "--batch-size", "32,33"], "a batch of 33 cannot be shared by 2 devices"),
        (["--device", "cuda:1", "--devices", "2"], "--device cuda:1 is one device"),
        (["--devices", "2", "--layers"], "--layers"),
        (["--weights", "no-such.safetensors"], "no-such.safetensors"),
        (["--network", "note-004"], "--large"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_contradiction_is_one_line_before_anything_is_measured(arguments: list[str], said: str) -> None:
    assert said in refused(*arguments)


def test_tf32_on_the_cpu_cannot_be_measured() -> None:
    assert "needs an NVIDIA GPU" in refused("--precision", "tf32", code=3)


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpus", "2"], "2 GPUs asked for, found no NVIDIA GPU"),
        (["--gpus", "2"], "--device cpu --devices 2"),
        (["--device", "cuda:1"], "device cuda:1 asked for, found no NVIDIA GPU"),
    ],
)
def test_too_few_gpus_is_one_line_with_what_was_found(arguments: list[str], said: str) -> None:
    assert said in refused(*arguments, code=3)


def test_a_dry_run_prints_the_matrix_with_an_estimate_and_runs_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    sweep = ("--batch-size", "32,128", "--phase", "train-step,forward", "--frameworks", "torch,jax")
    done = alexbench("speed", "--dry-run", *sweep, "--out", out)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all("torch/stock, torch/tuned, jax/stock, jax/tuned, about" in line for line in lines[:4])
    assert lines[4].startswith("16 measurements, about")
    assert not out.exists()


def test_a_dry_run_marks_emulated_devices_and_takes_all_splits_of_the_network() -> None:
    done = alexbench("speed", "--dry-run", "--devices", "2", "--frameworks", "torch", "--network", "paper,one-tower")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[:-1]
    assert [line.split("split ")[1].split()[0] for line in lines] == ["model", "data", "hybrid", "data", "hybrid"]
    assert all("(emulated)" in line for line in lines)


def test_batch_size_is_the_papers_and_smaller_for_a_quick_look() -> None:
    assert "batch 128," in alexbench("speed", "--dry-run", "--frameworks", "torch").stdout
    assert "batch 16," in alexbench("speed", "--dry-run", "--quick", "--frameworks", "torch").stdout


def test_resume_takes_no_settings_and_needs_a_run(tmp_path: Path) -> None:
    assert "leave out --batch-size" in refused("--resume", str(tmp_path), "--batch-size", "8")
    assert "is not a run folder" in refused("--resume", str(tmp_path))
    (tmp_path / "run.json").write_text(json.dumps({"alexbench": "0", "command": "parity", "status": "complete"}))
    assert "a run of 'parity'" in refused("--resume", str(tmp_path))


def test_a_launchers_environment_asks_for_one_framework() -> None:
    launched = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    assert "--frameworks torch" in refused(**launched)
    assert "that of a torch launcher" in refused("--frameworks", "jax", **launched)
    assert "measures one setting" in refused("--frameworks", "torch", "--batch-size", "8,16", **launched)
    assert "TF_CONFIG is not of the form" in refused(TF_CONFIG="{}")
