"""`alexbench evaluate` as its users run it, with plug-ins in NumPy that are found as installed ones are."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from program import ROOT, alexbench, command, surroundings, workers_of

PLUGIN = ROOT / "tests" / "harness" / "evaluation" / "plugin"
FAULTS = ("nan", "sign", "memory", "raises", "killed", "slow", "hangs")


def installed(folder: Path) -> str:
    """PYTHONPATH on which the plug-ins are as if installed: an entry point is metadata of a distribution."""
    made = folder / "numpy_scores-0.1.dist-info"
    made.mkdir(parents=True, exist_ok=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy-scores\nVersion: 0.1\n")
    lines = ["numpy = numpy_scores:RIGHT", *(f"numpy-{fault} = numpy_scores:{fault.upper()}" for fault in FAULTS)]
    (made / "entry_points.txt").write_text("\n".join(["[alexbench.impls]", *lines, ""]))
    return os.pathsep.join([str(ROOT), str(PLUGIN), str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def left_nothing(out: Path) -> None:
    if out.is_dir():
        assert not list(out.glob(".work-*")) and not list(out.glob(".predictions*"))
        assert not workers_of(out)


def evaluate(
    *arguments: object, out: Path, plugins: Path, cache: Path, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, without anything left behind."""
    found = {"PYTHONPATH": installed(plugins), "ALEXBENCH_CACHE": str(cache), **environment}
    done = alexbench("evaluate", *arguments, "--tuning", "stock", "--out", out, timeout=300, cwd=cwd, **found)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    left_nothing(out)
    return done


@contextlib.contextmanager
def under_way(*arguments: object, out: Path, plugins: Path, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that is going on, ended whatever happens to the test."""
    process = subprocess.Popen(
        command("evaluate", *arguments, "--tuning", "stock", "--out", out, python=sys.executable),
        cwd=ROOT,
        env=surroundings(PYTHONPATH=installed(plugins), ALEXBENCH_CACHE=str(cache)),
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


def table(out: Path, kind: str = "evaluation", **wanted: str) -> list[dict[str, str]]:
    """Rows of a table's CSV with these values."""
    path = out / f"{kind}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[name] == value for name, value in wanted.items())]
