"""SIGTERM, and SIGHUP where the terminal has gone, end a command as Ctrl-C does: with what was measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from harness.endings import Endings
from harness.parity.command import in_folder
from harness.run_folder import RunFolder
from harness.training.interrupts import Interrupts

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_of_them_leaves_the_tables(number: int, tmp_path: Path) -> None:
    folder = RunFolder.create("parity", {}, tmp_path / "out")

    def measure() -> tuple[int, list[str], dict[str, float]]:
        folder.append("parity", {"level": "layer", "verdict": "pass"})
        os.kill(os.getpid(), number)
        raise AssertionError("it was not heard")

    with pytest.raises(KeyboardInterrupt):
        in_folder(folder, measure)
    run = json.loads((folder.path / "run.json").read_text())
    assert (run["status"], run["rows"], run["failures"]) == ("interrupted", {"parity": 1}, ["interrupted"])


def test_a_failure_to_say_so_is_no_failure_of_the_run(tmp_path: Path) -> None:
    """A terminal that has gone takes no words, and what wanted to say them raises in the place of the interrupt."""
    folder = RunFolder.create("parity", {}, tmp_path / "out")

    def measure() -> tuple[int, list[str], dict[str, float]]:
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        finally:
            raise OSError(5, "Input/output error")

    with pytest.raises(KeyboardInterrupt):
        in_folder(folder, measure)
    assert json.loads((folder.path / "run.json").read_text())["status"] == "interrupted"


def test_what_was_ignored_stays_so() -> None:
    """nohup, and a shell's `trap '' HUP`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Endings(), Interrupts():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_training_hears_it_after_the_step() -> None:
    with Interrupts() as interrupts:
        with interrupts.deferred():
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupts.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGHUP)


def test_a_terminal_that_is_closed_costs_nothing_that_was_measured(tmp_path: Path) -> None:
    """The real one: a command in a terminal of its own, whose other end is closed."""
    code = f"""
import fcntl, termios, time
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # its terminal, which tells it of its end
from pathlib import Path
from harness import progress, standard_streams
from harness.parity.command import in_folder
from harness.run_folder import RunFolder
folder = RunFolder.create("parity", {{}}, Path({str(tmp_path / "out")!r}))
def measure():
    with progress.Progress("parity") as bar:
        folder.append("parity", {{"level": "layer", "verdict": "pass"}})
        print("ready", flush=True)
        time.sleep(60)
with standard_streams.guarded():  # as every command is
    in_folder(folder, measure)
"""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))

    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **terminal)
    os.close(theirs)
    said = b""
    while b"ready" not in said:
        said += os.read(ours, 4096)
    os.close(ours)
    process.wait(60)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["status"], run["rows"]) == ("interrupted", {"parity": 1})
    assert (tmp_path / "out" / "parity.csv").exists()
