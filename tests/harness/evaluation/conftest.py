"""A prepared folder written by hand, weights, and plug-ins in NumPy that scoring runs on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.evaluation.job import Job
from impls import catalog, weights

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PLUGIN = HERE / "plugin"
FAULTS = ("nan", "sign", "memory", "raises", "killed", "slow", "hangs")
NETWORK = catalog.get("cifar-4layer")
SIDE, IMAGES = 36, 23

MakeFolder = Callable[..., Path]
MakeJob = Callable[..., Job]


def prepared_folder(path: Path, *, images: int = IMAGES, side: int = SIDE, classes: int = 10) -> Path:
    """Random pixels as `alexbench prepare` lays them down."""
    path.mkdir(parents=True)
    rng = np.random.default_rng(3)
    parts = {}
    for part, count in (("train", 4), ("val", images)):
        np.save(path / f"{part}.images.npy", rng.integers(0, 256, (count, side, side, 3), np.uint8))
        np.save(path / f"{part}.labels.npy", rng.integers(0, classes, count).astype(np.int32))
        names = "".join(json.dumps(f"image{index}.png") + "\n" for index in range(count))
        (path / f"{part}.names.jsonl").write_text(names)
        parts[part] = {"images": count}
    np.save(path / "mean.npy", rng.uniform(100, 150, (side, side, 3)).astype(np.float32))
    facts = {
        "format": 1,
        "source": "imagefolder:made",
        "side": side,
        "channels": 3,
        "classes": [f"class-{index}" for index in range(classes)],
        "parts": parts,
        "colour": {"eigenvalues": [3, 2, 1], "eigenvectors": np.eye(3).tolist()},
        "hash": "5" * 64,
    }
    (path / "prepared.json").write_text(json.dumps(facts))
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_folder(tmp_path_factory.mktemp("data") / "made")


@pytest.fixture(scope="session")
def weights_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three networks; the second bears the mark that some faults look for."""
    made = []
    for seed in range(3):
        arrays = weights.generate(NETWORK, "scaled", seed)
        if seed == 1:
            arrays["fc4/bias"][0] = 0.5
        made.append(tmp_path_factory.mktemp("weights") / f"w{seed}.safetensors")
        weights.save(made[-1], NETWORK.name, arrays)
    return made


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-ins, found as installed ones are, here and in workers."""
    made = tmp_path / "plugins" / "numpy_scores-0.1.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy-scores\nVersion: 0.1\n")
    lines = ["numpy = numpy_scores:RIGHT", *(f"numpy-{fault} = numpy_scores:{fault.upper()}" for fault in FAULTS)]
    (made / "entry_points.txt").write_text("\n".join(["[alexbench.impls]", *lines, ""]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGIN), str(made.parent)]))
    monkeypatch.syspath_prepend(str(made.parent))


@pytest.fixture
def job(folder: Path, weights_files: list[Path]) -> MakeJob:
    def make(framework: str = "numpy", file: int = 0, **changes: object) -> Job:
        settings: dict[str, object] = {"batch_size": 8, "tuning": "stock", "data": folder, **changes}
        return Job(framework, NETWORK, weights_files[file], **settings)  # type: ignore[arg-type]

    return make
