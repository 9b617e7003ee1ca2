"""`alexbench` as its users run it: in a folder of theirs, judged by what it prints, leaves and returns."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import in_process
import psutil

ROOT = Path(__file__).resolve().parents[2]
PLAIN_NETWORK = Path(__file__).with_name("plain_network.py")
LAYERS = [
    "conv1",
    "relu1",
    "pool1",
    "norm1",
    "conv2",
    "relu2",
    "pool2",
    "norm2",
    "conv3",
    "relu3",
    "pool3",
    "fc4",
]  # of cifar-4layer

Done = in_process.Done


def command(*arguments: object, python: str = sys.executable) -> list[str]:
    return [python, "-m", "harness.cli", *map(str, arguments)]


def surroundings(**environment: str) -> dict[str, str]:
    """An environment in which the checkout is importable from any folder, as if it were installed."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **environment}


def alexbench(
    *arguments: object,
    cwd: Path = ROOT,
    timeout: float = 120,
    python: str = sys.executable,
    preexec_fn: Callable[[], None] | None = None,
    process: bool = False,
    **environment: str,
) -> Done:
    """Run a command to its end: here, or in a process of its own where `process`, `python` or `preexec_fn` ask for it.

    What a command prints, leaves and returns is the same in both. A process of its own costs a second of imports.
    """
    if process or python != sys.executable or preexec_fn is not None:
        return subprocess.run(
            command(*arguments, python=python),
            cwd=cwd,
            env=surroundings(**environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            preexec_fn=preexec_fn,
            check=False,
        )
    return in_process.alexbench([*map(str, arguments)], surroundings(**environment), cwd, timeout)


def parity(*arguments: object, out: Path, **options: Any) -> Done:
    """`alexbench parity` on the network that takes a second, without anything left behind."""
    done = alexbench("parity", "--network", "cifar-4layer", "--out", out, *arguments, **options)
    assert "Traceback" not in done.stdout + done.stderr
    if out.is_dir():
        assert not list(out.glob(".work-*"))
        assert not workers_of(out)
    return done


@contextlib.contextmanager
def started(*arguments: object, out: Path, cwd: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
    """A parity run under way, ended whatever happens to the test."""
    process = subprocess.Popen(
        command("parity", "--network", "cifar-4layer", "--out", out, *arguments),
        cwd=cwd,
        env=surroundings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        for worker in workers_of(out):
            worker.kill()


def wait_until(true: Callable[[], Any], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def workers_of(out: Path) -> list[psutil.Process]:
    """Worker processes of a run: their standard error goes into its folder, be it deleted or not.

    One of a user's file is asked whether it loads before there is a folder: it is known by its file, beside the folder.
    """
    found, beside = [], f"{out.resolve().parent}/"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            is_of_file = "harness.worker" in words and any(word.startswith(beside) for word in words)
            if is_of_file or str(Path(f"/proc/{process.pid}/fd/2").readlink()).startswith(f"{out.resolve()}/"):
                found.append(process)
    return found


def plain_network(lines: str) -> str:
    """The text of a correct network in plain NumPy, with these lines at its end."""
    return f"{PLAIN_NETWORK.read_text()}\n\n{lines}\n"


def told(done: Done) -> str:
    """What was said, as one line: tables and messages are folded to the width of a terminal."""
    return " ".join((done.stdout + " " + done.stderr).split())


def complaint(done: Done, code: int) -> str:
    """The one line a command that could do nothing ends with."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("alexbench: error: ")
    return lines[0]


def run_json(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


def rows(out: Path, **wanted: str) -> list[dict[str, str]]:
    """Rows of parity.csv with these values."""
    with (out / "parity.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[name] == value for name, value in wanted.items())]


def verdicts(found: Sequence[dict[str, str]]) -> set[str]:
    return {row["verdict"] for row in found}


def is_plain(text: str) -> bool:
    """No escape codes, no carriage returns, no other control characters."""
    return not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
