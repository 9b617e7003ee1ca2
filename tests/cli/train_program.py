"""`alexbench train` as its users run it, on a few digits, with plug-ins in NumPy found as installed ones are."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from program import ROOT, alexbench, command, surroundings, workers_of

from harness.data.prepared import open_prepared
from impls import catalog, weights

PLUGIN = ROOT / "tests" / "harness" / "training" / "plugin"
NAMES = {
    "numpy": "RIGHT",
    "numpy-nan": "NAN",
    "numpy-overflow": "OVERFLOW",
    "numpy-killed": "KILLED",
    "numpy-silent": "SILENT",
    "numpy-timed": "TIMED",
}
NETWORK = "cifar-4layer"
TIMES = ("images_per_s", "seconds")  # columns that no two runs share


def small_data(folder: Path, train: int = 24, val: int = 16) -> Path:
    """A prepared folder of the embedded digits' first images."""
    whole = folder / "whole"
    done = alexbench("prepare", "--data", "digits", "--side", "32", "--out", whole)
    assert done.returncode == 0, done.stderr
    opened, small = open_prepared(whole), folder / "digits"
    small.mkdir()
    facts = json.loads((whole / "prepared.json").read_text())
    for name, count in (("train", train), ("val", val)):
        part = opened.part(name)
        np.save(small / f"{name}.images.npy", np.asarray(part.images[:count]))
        np.save(small / f"{name}.labels.npy", np.asarray(part.labels[:count]))
        names = "".join(json.dumps(text) + "\n" for text in part.names()[:count])
        (small / f"{name}.names.jsonl").write_text(names)
    np.save(small / "mean.npy", np.asarray(opened.mean))
    parts = {"train": {**facts["parts"]["train"], "images": train}, "val": {**facts["parts"]["val"], "images": val}}
    (small / "prepared.json").write_text(json.dumps({**facts, "parts": parts}))
    return small


def installed(folder: Path) -> Mapping[str, str]:
    """Environment in which the plug-ins are as if installed: an entry point is metadata of a distribution."""
    made = folder / "numpy_train-0.1.dist-info"
    made.mkdir(parents=True, exist_ok=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy-train\nVersion: 0.1\n")
    lines = [f"{name} = numpy_train:{attribute}" for name, attribute in NAMES.items()]
    (made / "entry_points.txt").write_text("\n".join(["[alexbench.impls]", *lines, ""]))
    path = os.pathsep.join([str(ROOT), str(PLUGIN), str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}


def train(
    *arguments: object, data: Path | str | None = None, out: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, without anything left behind."""
    more: list[object] = ["--network", NETWORK, "--data", data] if data is not None else []
    more += ["--out", out] if out is not None else []
    done = alexbench("train", *more, *arguments, timeout=300, **environment)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    if out is not None and out.is_dir():
        left_nothing(out)
    return done


def left_nothing(out: Path) -> None:
    assert not [
        path for path in out.rglob(".*") if "partial" in path.name or "work" in path.name or "rows" in path.name
    ]
    assert not workers_of(out)


@contextlib.contextmanager
def under_way(*arguments: object, out: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A training that is going on, ended whatever happens to the test."""
    process = subprocess.Popen(
        command("train", *arguments, python=sys.executable),
        cwd=ROOT,
        env=surroundings(**environment),
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


def table(out: Path, kind: str = "training") -> list[dict[str, str]]:
    with (out / f"{kind}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def timeless(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows without what depends on the clock."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def hash_of(path: Path) -> str:
    """Of a weights file's content; the file itself holds its time nowhere, but metadata beside the weights."""
    return weights.load(path, catalog.get(NETWORK)).content_hash


def recipe_file(folder: Path, **fields: Any) -> Path:
    """The recipe for digits, a few epochs of it, with changes on the way."""
    path = folder / "recipe.json"
    made = {"batch_size": 8, "learning_rate": 0.001, "weight_decay": 0.004, "epochs": 4, "drop_epochs": [3]}
    path.write_text(json.dumps({**made, "crop": "centre", "flip": False, **fields}))
    return path
