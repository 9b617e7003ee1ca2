"""The scores of an ImageNet-shaped folder equal those of a computation that shares no line with this project."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import imagenet_shaped
import numpy as np
import plain_scoring
import pytest
from safetensors.numpy import load_file

from impls import catalog, registry, weights

ROOT = Path(__file__).resolve().parents[3]
SIDE, IMAGES = 40, 60


class Case(NamedTuple):
    prepared: Path
    weights: list[Path]
    labels: list[int]
    expected: dict[tuple[str, int], tuple[float, float]]  # file or ensemble, crops -> top-1 and top-5 error


def alexbench(*arguments: object, cwd: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def seen_by_hand(root: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """The validation images, resized, and the mean of the training images."""
    images = [plain_scoring.read_image(path, SIDE) for path in imagenet_shaped.validation_files(root, IMAGES)]
    return images, plain_scoring.mean_image(imagenet_shaped.training_files(root), SIDE)


def weights_that_tell(path: Path, seed: int, images: list[np.ndarray], mean: np.ndarray) -> Path:
    """Random weights whose answers depend on the image: no class is favoured over all images, and none is sure."""
    arrays = weights.generate(catalog.get("cifar-4layer"), "scaled", seed)
    found = plain_scoring.logits(images, mean, arrays, 1)[:, 0]
    factor = 1 / found.std(axis=0).mean()
    arrays["fc4/weight"] = (arrays["fc4/weight"] * factor).astype(np.float32)
    arrays["fc4/bias"] = ((arrays["fc4/bias"] - found.mean(axis=0)) * factor).astype(np.float32)
    weights.save(path, "cifar-4layer", arrays)
    return path


def answers_by_hand(images: list[np.ndarray], mean: np.ndarray, files: list[Path]) -> dict[tuple[str, int], np.ndarray]:
    """Probabilities [images, 10] of each file and of both, with the centre crop and with ten."""
    found = {
        (path.name, crops): plain_scoring.probabilities(images, mean, load_file(path), crops)
        for path in files
        for crops in (1, 10)
    }
    for crops in (1, 10):
        found["ensemble", crops] = (found[files[0].name, crops] + found[files[1].name, crops]) / 2
    return found


def labels_that_tell(answers: dict[tuple[str, int], np.ndarray]) -> list[int]:
    """Labels that some of the answers get right, at places from first to seventh, and others wrong."""
    ways, rng = list(answers.values()), np.random.default_rng(5)
    places = (0, 0, 0, 1, 4, 5, 6)
    return [int(np.argsort(-ways[i % len(ways)][i])[places[rng.integers(len(places))]]) for i in range(IMAGES)]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    root = tmp_path_factory.mktemp("imagenet")
    imagenet_shaped.images(root, IMAGES)
    images, mean = seen_by_hand(root)
    files = [weights_that_tell(root.parent / f"net{seed}.safetensors", seed, images, mean) for seed in range(2)]
    answers = answers_by_hand(images, mean, files)
    labels = labels_that_tell(answers)
    imagenet_shaped.development_kit(root, labels)
    prepared = root.parent / "prepared"
    alexbench("prepare", "--data", f"imagenet:{root}", "--side", SIDE, "--out", prepared, cwd=root)
    expected = {
        key: (plain_scoring.error(found, labels, 1), plain_scoring.error(found, labels, 5))
        for key, found in answers.items()
    }
    assert len(set(expected.values())) == len(expected), (
        "crops, weights and ensemble must be told apart by their errors"
    )
    return Case(prepared, files, labels, expected)


def test_labels_are_the_development_kits_ids_in_either_part(case: Case) -> None:
    assert np.load(case.prepared / "val.labels.npy").tolist() == case.labels
    names = [json.loads(line) for line in (case.prepared / "train.names.jsonl").read_text().splitlines()]
    ids = dict(zip(imagenet_shaped.WNIDS, imagenet_shaped.IDS, strict=True))
    assert len(names) == 3 * len(ids)
    found = np.load(case.prepared / "train.labels.npy").tolist()
    assert found == [ids[name.partition("/")[0]] - 1 for name in names]


@pytest.mark.parametrize(
    "framework", [pytest.param(name, marks=[] if name == "jax" else pytest.mark.thorough) for name in registry.BUILT_IN]
)
def test_errors_equal_to_the_last_digit(framework: str, case: Case, tmp_path: Path) -> None:
    out = tmp_path / "out"
    alexbench(
        "evaluate", "--weights", *case.weights, "--data", case.prepared, "--crops", "1,10", "--frameworks", framework,
        "--tuning", "stock", "--batch-size", 40, "--out", out, cwd=tmp_path,
    )  # fmt: skip
    with (out / "evaluation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = {str(path): path.name for path in case.weights}
    found = {
        (names.get(row["file"], "ensemble"), int(row["crops"])): (float(row["top1_error"]), float(row["top5_error"]))
        for row in rows
    }
    assert found == case.expected
    assert {row["images"] for row in rows} == {str(IMAGES)}
