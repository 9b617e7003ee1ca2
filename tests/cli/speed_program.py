"""`alexbench speed` as its users run it, with plug-ins in NumPy that are found as installed ones are."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from program import ROOT, alexbench, command, surroundings, workers_of

PLUGIN = ROOT / "tests" / "harness" / "speed" / "plugin"
NAMES = {
    "numpy": "RIGHT",
    "numpy-gradient": "GRADIENT",
    "numpy-frozen": "FROZEN",
    "numpy-memory": "MEMORY",
    "numpy-killed": "KILLED",
    "numpy-slow": "SLOW",
}
SMALL = ("--network", "cifar-4layer", "--batch-size", "2", "--quick")


def installed(folder: Path) -> str:
    """PYTHONPATH on which the plug-ins are as if installed: an entry point is metadata of a distribution."""
    made = folder / "numpy_speed-0.1.dist-info"
    made.mkdir(parents=True, exist_ok=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy-speed\nVersion: 0.1\n")
    lines = [f"{name} = numpy_speed:{attribute}" for name, attribute in NAMES.items()]
    (made / "entry_points.txt").write_text("\n".join(["[alexbench.impls]", *lines, ""]))
    return os.pathsep.join([str(ROOT), str(PLUGIN), str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def speed(
    *arguments: object, out: Path, plugins: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, without anything left behind."""
    more = {"PYTHONPATH": installed(plugins)} if plugins is not None else {}
    done = alexbench("speed", *arguments, "--out", out, timeout=600, **more, **environment)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    left_nothing(out)
    return done


def left_nothing(out: Path) -> None:
    if out.is_dir():
        assert not list(out.glob(".work-*"))
        assert not workers_of(out)


@contextlib.contextmanager
def under_way(*arguments: object, out: Path, plugins: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A run that is going on, ended whatever happens to the test."""
    process = subprocess.Popen(
        command("speed", *arguments, "--out", out, python=sys.executable),
        cwd=ROOT,
        env=surroundings(PYTHONPATH=installed(plugins), **environment),
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


def table(out: Path, kind: str = "speed", **wanted: str) -> list[dict[str, str]]:
    """Rows of a table's CSV with these values."""
    with (out / f"{kind}.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[name] == value for name, value in wanted.items())]


def statuses(out: Path) -> dict[str, str]:
    return {f"{row['framework']}/{row['tuning']}": row["status"] for row in table(out)}


def figures(row: dict[str, str]) -> list[Any]:
    return [row[name] for name in ("step_ms", "images_per_s", "tflops", "fraction_of_peak") if row[name]]
