"""Runs of `alexbench speed` with plug-ins in NumPy: what is measured, what gets no figure, what outlives a kill."""

from __future__ import annotations

import json
import math
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from program import Done, alexbench, run_json, told, wait_until, workers_of
from speed_program import SMALL, figures, installed, left_nothing, speed, statuses, table, under_way

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="workers are found through /proc")


def kept(out: Path, kind: str) -> list[dict[str, object]]:
    """Rows that lie in the folder of a run under way or killed."""
    file = out / f".rows-{kind}.jsonl"
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def test_a_run_leaves_rows_samples_peaks_layers_and_a_report(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = speed(
        *SMALL, "--frameworks", "numpy", "--layers", "--tuning", "stock", out=out, plugins=tmp_path / "plugins"
    )
    assert done.returncode == 0, done.stderr
    rows = table(out)
    assert statuses(out) == {"numpy/stock": "measured"}
    for row in rows:
        low, step, high = (float(row[name]) for name in ("step_ms_low", "step_ms", "step_ms_high"))
        assert 0 < low <= step <= high  # three blocks of a busy machine may lie far apart, but never down to 0
        assert float(row["images_per_s"]) == pytest.approx(2 / step * 1e3)
        assert row["verdict"] == "pass" and 0 < float(row["gauge"]) < 1
        assert row["weights_changed"] == "yes" and row["loss_first"] != row["loss_last"]
        assert "weights:" in row["signature"] and "tuning:stock" in row["signature"]
        assert float(row["peak_memory_mb"]) > 10
        assert row["emulated"] == "no" and not row["joules_per_image"]
        assert row["compile_s"] == "" and float(row["first_step_s"]) > 0  # NumPy compiles nothing
    samples = table(out, "sample", warm="yes")
    assert Counter(row["tuning"] for row in samples) == {row["tuning"]: int(row["samples"]) for row in rows}
    assert {row["block"] for row in samples} == {"1", "2", "3"}
    peaks = table(out, "peak")
    assert {row["probe"] for row in peaks} == {"matmul", "copy"}  # it has no convolution
    best = max(float(row["tflops"]) for row in peaks if row["tflops"])
    for row in rows:
        assert float(row["fraction_of_peak"]) == pytest.approx(float(row["tflops"]) / best)
    layers = table(out, "layer", tuning="stock")
    assert {row["pass"] for row in layers} == {"forward", "backward", "all"}
    parts = [row for row in layers if row["pass"] != "all"]
    assert sum(float(row["share"]) for row in parts) == pytest.approx(1)
    assert {row["bound"] for row in parts} <= {"compute", "memory"}
    run = run_json(out)
    assert run["status"] == "complete" and run["weights"]["cifar-4layer"]
    assert [len(blocks) for blocks in run["order"][0]["blocks"]] == [1, 1, 1]
    assert (out / "report.md").is_file()


def test_a_wrong_gradient_gets_no_figure_and_the_command_ends_with_1(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = speed(*SMALL, "--frameworks", "numpy-gradient,numpy", out=out, plugins=tmp_path / "plugins")
    assert done.returncode == 1, told(done)
    assert statuses(out) == {
        "numpy-gradient/stock": "parity-failed",
        "numpy-gradient/tuned": "parity-failed",
        "numpy/stock": "measured",
        "numpy/tuned": "measured",
    }
    for row in table(out, framework="numpy-gradient"):
        assert not figures(row)
        assert row["verdict"] == "fail" and float(row["gauge"]) > 1
        assert "gradient/conv1/weight" in row["reason"]
    assert not table(out, "sample", framework="numpy-gradient")
    assert "conv1/weight" in done.stdout


def test_training_that_does_not_train_gets_no_figure(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = speed(*SMALL, "--frameworks", "numpy-frozen", "--tuning", "stock", out=out, plugins=tmp_path / "plugins")
    assert done.returncode == 1, told(done)
    (row,) = table(out)
    assert row["status"] == "parity-failed" and not figures(row)
    assert "did not change in the timed steps" in row["reason"]
    assert row["weights_changed"] == "no"


def test_a_batch_that_does_not_fit_is_a_row_and_the_sweep_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    sweep = ("--network", "cifar-4layer", "--quick", "--batch-size", "2,4,999999998", "--tuning", "stock")
    done = speed(*sweep, "--frameworks", "numpy-memory", out=out, plugins=tmp_path / "plugins")
    assert done.returncode == 0, told(done)
    found = {row["batch_size"]: row for row in table(out)}
    assert {size: row["status"] for size, row in found.items()} == {
        "2": "measured",
        "4": "does-not-fit",
        "999999998": "does-not-fit",
    }
    assert "9.9 TiB" in found["4"]["reason"]
    assert "needs at least" in found["999999998"]["reason"] and "available" in found["999999998"]["reason"]


def test_a_worker_killed_in_a_block_costs_its_own_row_and_resume_completes_it(tmp_path: Path) -> None:
    out, plugins, spare = tmp_path / "out", tmp_path / "plugins", tmp_path / "spare"
    given = ("--frameworks", "numpy-killed,numpy", "--tuning", "stock")
    done = speed(*SMALL, *given, out=out, plugins=plugins, SPARE_FILE=str(spare))
    assert done.returncode == 4, told(done)
    assert f"go on with: alexbench speed --resume {out}\n" in done.stderr
    assert statuses(out) == {"numpy-killed/stock": "crashed", "numpy/stock": "measured"}
    (fallen,) = table(out, framework="numpy-killed")
    assert "SIGKILL" in fallen["reason"] and not figures(fallen)
    (before,) = table(out, framework="numpy")
    spare.touch()
    again = resumed(out, plugins, SPARE_FILE=str(spare))
    assert again.returncode == 0, told(again)
    assert "go on with" not in again.stderr
    assert {file.stem for file in out.glob("*.parquet")} == {"speed", "sample", "peak"}  # and none without rows
    assert statuses(out) == {"numpy-killed/stock": "measured", "numpy/stock": "measured"}
    assert table(out, framework="numpy") == [before]
    assert run_json(out)["status"] == "complete"


def resumed(out: Path, plugins: Path, **environment: str) -> Done:
    done = alexbench("speed", "--resume", out, timeout=600, PYTHONPATH=installed(plugins), **environment)
    assert "Traceback" not in done.stderr, done.stderr
    left_nothing(out)
    return done


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.thorough), signal.SIGKILL],
    ids=["Ctrl-C", "TERM", "KILL"],
)
def test_what_was_measured_outlives_an_end_of_the_command_and_resume_adds_the_rest(tmp_path: Path, number: int) -> None:
    out, plugins = tmp_path / "out", tmp_path / "plugins"
    sweep = ("--network", "cifar-4layer", "--quick", "--batch-size", "2,3,4", "--tuning", "stock")
    with under_way(*sweep, "--frameworks", "numpy-slow", out=out, plugins=plugins) as process:
        wait_until(lambda: len(kept(out, "speed")) == 1 and any(row["block"] == 1 for row in kept(out, "sample")[-1:]))
        process.send_signal(number)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    wait_until(lambda: not workers_of(out))
    if number != signal.SIGKILL:
        assert run_json(out)["status"] == "interrupted"
        assert [row["batch_size"] for row in table(out)] == ["2"]
        assert f"go on with: alexbench speed --resume {out}\n" in complaint
    first = None if number == signal.SIGKILL else table(out)[0]
    done = resumed(out, plugins)
    assert done.returncode == 0, told(done)
    rows = table(out)
    assert [(row["batch_size"], row["status"]) for row in rows] == [(size, "measured") for size in ("2", "3", "4")]
    assert first is None or rows[0] == first
    for row in rows:
        samples = table(out, "sample", batch_size=row["batch_size"], warm="yes")
        assert len(samples) == int(row["samples"])
    assert len(table(out, "peak")) == 2
    assert len(run_json(out)["resumed"]) == 1


def test_resume_refuses_other_ground(tmp_path: Path) -> None:
    out, plugins = tmp_path / "out", tmp_path / "plugins"
    done = speed(*SMALL, "--frameworks", "numpy", "--tuning", "stock", out=out, plugins=plugins)
    assert done.returncode == 0, told(done)
    whole = (out / "run.json").read_text()
    for change, said in (
        (lambda run: run["environment"]["machine"].update(cpu="another"), "cpu was another"),
        (lambda run: run["environment"]["packages"].update(numpy="1.0"), "numpy was 1.0"),
        (lambda run: run.update(weights={"cifar-4layer": "0" * 64}), "weights of 'cifar-4layer' were 000000000000"),
    ):
        run = json.loads(whole)
        change(run)
        (out / "run.json").write_text(json.dumps(run))
        refused = resumed(out, plugins)
        assert refused.returncode == 2, told(refused)
        assert said in refused.stderr
        assert statuses(out) == {"numpy/stock": "measured"}


def test_a_missing_framework_is_a_row_and_the_others_are_measured(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = speed(
        *SMALL, "--frameworks", "torch,numpy", "--tuning", "stock", "--python", "torch=/no/such/python",
        out=out, plugins=tmp_path / "plugins",
    )  # fmt: skip
    assert done.returncode == 3, told(done)
    assert statuses(out) == {"torch/stock": "missing", "numpy/stock": "measured"}


@pytest.mark.parametrize(
    ("phase", "source"),
    [
        ("forward", "file"),
        ("forward-backward", "host"),
        pytest.param("forward", "host", marks=pytest.mark.thorough),
        pytest.param("forward-backward", "file", marks=pytest.mark.thorough),
    ],
)
def test_other_phases_and_inputs_are_measured(tmp_path: Path, phase: str, source: str) -> None:
    out = tmp_path / "out"
    given = ("--phase", phase, "--input", source, "--frameworks", "numpy", "--tuning", "stock", "--batch-size", "3")
    done = speed("--network", "cifar-4layer", "--quick", *given, out=out, plugins=tmp_path / "plugins")
    assert done.returncode == 0, told(done)
    (row,) = table(out)
    assert (row["phase"], row["input"], row["status"], row["verdict"]) == (phase, source, "measured", "pass")
    assert math.isfinite(float(row["loss_first"]))


@pytest.mark.thorough
@pytest.mark.needs("torch")
def test_a_real_framework_survives_a_kill_of_the_command(tmp_path: Path) -> None:
    out, plugins = tmp_path / "out", tmp_path / "plugins"
    sweep = ("--network", "cifar-4layer", "--quick", "--batch-size", "4,8", "--tuning", "stock")
    with under_way(*sweep, "--frameworks", "torch", out=out, plugins=plugins) as process:
        wait_until(lambda: kept(out, "speed"))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    wait_until(lambda: not workers_of(out))
    done = resumed(out, plugins)
    assert done.returncode == 0, told(done)
    assert [row["batch_size"] for row in table(out, status="measured")] == ["4", "8"]


@pytest.mark.needs("torch", "tensorflow", "jax")
@pytest.mark.parametrize("tunings", ["stock", pytest.param("both", marks=pytest.mark.thorough)])
def test_the_three_frameworks_stock_and_tuned(tunings: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = speed("--network", "cifar-4layer", "--batch-size", "8", "--quick", "--tuning", tunings, out=out)
    assert done.returncode == 0, told(done)
    assert set(statuses(out).values()) == {"measured"} and len(statuses(out)) == (6 if tunings == "both" else 3)
    losses = {f"{float(row['loss_first']):.4f}" for row in table(out)}
    assert len(losses) == 1  # no dropout in this network: all six took the same step
