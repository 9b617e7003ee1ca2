"""Ctrl-C, SIGTERM, SIGHUP, kill -9 in every phase, of the command and its workers: rows are kept, and nobody stays."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import WriteImpl
from program import ROOT, parity, rows, run_json, started, told, verdicts, wait_until, workers_of

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="workers are found through /proc")

LEVELS = "operator,layer,forward,gradient,training"


def kept(out: Path) -> list[dict[str, object]]:
    """Rows that lie in the folder of a run under way or killed."""
    file = out / ".rows-parity.jsonl"
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def reached(out: Path, level: str) -> bool:
    return any(row["level"] == level for row in kept(out))


def end_of(process: subprocess.Popen[str]) -> str:
    """Wait for the end of an interrupted run; what it said."""
    shown, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.endswith("alexbench: error: interrupted\n")
    assert "Traceback" not in shown + said
    return said


def is_whole(out: Path) -> None:
    run = run_json(out)
    assert run["status"] == "interrupted"
    assert run["failures"] == ["interrupted"]
    assert "(status interrupted)" in (out / "report.md").read_text()
    assert not list(out.glob(".*"))
    wait_until(lambda: not workers_of(out))  # one that was only just started ends by itself when its parent is gone


@pytest.mark.needs("torch")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupt_while_starting_leaves_a_folder_that_says_so(tmp_path: Path, number: int) -> None:
    out = tmp_path / "out"
    with started("--frameworks", "torch", out=out) as process:
        wait_until(lambda: workers_of(out))
        process.send_signal(number)
        said = end_of(process)
    assert f"{out}/report.md" in said
    is_whole(out)


@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    ("number", "phase"),
    [
        (signal.SIGINT, "operator"),
        pytest.param(signal.SIGTERM, "layer", marks=pytest.mark.thorough),
        pytest.param(signal.SIGHUP, "training", marks=pytest.mark.thorough),
    ],
    ids=["Ctrl-C in operator", "SIGTERM in layer", "SIGHUP in training"],
)
def test_an_interrupt_keeps_what_was_measured(tmp_path: Path, number: int, phase: str) -> None:
    out = tmp_path / "out"
    with started("--frameworks", "torch", out=out) as process:
        wait_until(lambda: reached(out, phase))
        seen = len(kept(out))
        process.send_signal(number)
        end_of(process)
    is_whole(out)
    found = rows(out)
    assert len(found) >= seen
    assert run_json(out)["rows"] == {"parity": len(found)}
    assert verdicts(found) == {"pass"}
    assert {row["level"] for row in found} == set(LEVELS.split(",")[: LEVELS.split(",").index(phase) + 1])


@pytest.fixture
def hanging(mine: WriteImpl, tmp_path: Path) -> tuple[str, ...]:
    """A network that answers, and one that never does: a run that is always half done."""
    mine("")
    mine("def build(network, weights):\n    import time\n    time.sleep(300)\n", alone=True, name="never.py")
    return ("--impl", f"{tmp_path}/mine.py:build", "--impl", f"{tmp_path}/never.py:build")


def test_a_second_run_in_the_same_folder_works(hanging: tuple[str, ...], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started(*hanging, out=out) as process:
        wait_until(lambda: len(kept(out)) == 13)
        process.send_signal(signal.SIGINT)
        end_of(process)
    is_whole(out)
    assert verdicts(rows(out)) == {"pass"}
    refused = parity(*hanging[:2], out=out)
    assert refused.returncode == 2 and "holds the interrupted run of parity" in told(refused)
    again = parity(*hanging[:2], "--overwrite", out=out)
    assert again.returncode == 0, told(again)
    assert run_json(out)["status"] == "complete"


def test_impatience_loses_nothing(hanging: tuple[str, ...], tmp_path: Path) -> None:
    """Ctrl-C twice, the second while the tables are written."""
    out = tmp_path / "out"
    with started(*hanging, out=out) as process:
        wait_until(lambda: len(kept(out)) == 13)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: not workers_of(out))
        process.send_signal(signal.SIGINT)
        end_of(process)
    is_whole(out)
    assert len(rows(out)) == 13


def test_a_folder_belongs_to_the_run_under_way(hanging: tuple[str, ...], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started(*hanging, out=out) as process:
        wait_until(lambda: len(kept(out)) == 13)
        before = len(kept(out))
        other = subprocess.run(process.args, capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert other.returncode == 2
        assert subprocess.run([*process.args, "--overwrite"], capture_output=True, timeout=60, cwd=ROOT).returncode == 2
        assert f"belongs to a run under way (process {process.pid})" in other.stderr
        assert len(kept(out)) == before
        assert workers_of(out)


def test_a_killed_run_takes_its_workers_along_and_keeps_its_rows(hanging: tuple[str, ...], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started(*hanging, out=out) as process:
        wait_until(lambda: len(kept(out)) == 13)
        process.kill()
        process.wait()
        wait_until(lambda: not workers_of(out), 10)
    assert run_json(out)["status"] == "running"
    assert len(kept(out)) == 13
    again = parity(*hanging[:2], "--overwrite", out=out)
    assert again.returncode == 0, told(again)
    assert run_json(out)["status"] == "complete"
    assert not list(out.glob(".*"))  # what the killed run could not remove is gone too


@pytest.mark.needs("torch")
def test_a_killed_run_takes_a_busy_framework_along(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started("--frameworks", "torch", out=out) as process:
        wait_until(lambda: reached(out, "operator"))
        process.kill()
        process.wait()
        wait_until(lambda: not workers_of(out), 10)
    assert kept(out)


@pytest.mark.needs("torch")
def test_a_killed_worker_costs_its_own_rows_only(mine: WriteImpl, tmp_path: Path) -> None:
    out = tmp_path / "out"
    mine("")
    with started("--frameworks", "torch", "--impl", f"{tmp_path}/mine.py:build", out=out) as process:
        wait_until(lambda: reached(out, "operator"))
        (worker,) = [found for found in workers_of(out) if "impls.with_torch.framework:FRAMEWORK" in found.cmdline()]
        worker.kill()
        shown, _ = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "killed by SIGKILL" in shown
    assert run_json(out)["status"] == "complete"
    assert any("killed by SIGKILL" in failure for failure in run_json(out)["failures"])
    assert verdicts(rows(out, framework=f"{tmp_path}/mine.py:build")) == {"pass"}
    assert len(rows(out, framework=f"{tmp_path}/mine.py:build")) == 13
    lost = rows(out, framework="torch", verdict="error")
    assert {row["level"] for row in lost} == set(LEVELS.split(","))
    assert all("killed by SIGKILL" in row["reason"] for row in lost)
    assert verdicts(rows(out, framework="torch")) == {"pass", "error"}


@pytest.mark.needs("torch", "jax")
def test_a_killed_framework_leaves_the_other_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started("--frameworks", "torch,jax", "--level", "operator", "--jobs", 2, out=out) as process:
        wait_until(lambda: any(row["framework"] == "jax" for row in kept(out)))
        (worker,) = [found for found in workers_of(out) if "impls.with_jax.framework:FRAMEWORK" in found.cmdline()]
        worker.kill()
        process.communicate(timeout=60)
    assert process.returncode == 4
    assert verdicts(rows(out, framework="torch")) == {"pass"}
    assert len({row["case"] for row in rows(out, framework="torch", tuning="tuned")}) > 40
    lost = rows(out, framework="jax", verdict="error")
    assert lost
    assert all("killed by SIGKILL" in row["reason"] for row in lost)
