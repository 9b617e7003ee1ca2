"""The frameworks on one stream: losses as near to float64 as float32 allows, on one device and on two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.obtain import obtain
from harness.data.prepared import Prepared
from harness.data.preprocessing import Preprocessing
from harness.data.stream import Stream
from harness.parity import reference
from harness.parity.compare import Expected, rms_difference
from harness.training import recipes, schedule
from harness.training.job import Job
from harness.training.rows import Row
from harness.training.run import train
from impls import catalog, derive, weights
from impls.oracle.rounding import PRECISIONS
from impls.split import Split

STEPS = 20
CIFAR = catalog.get("cifar-4layer")
NETWORK = replace(CIFAR, recipe=replace(recipes.DIGITS, batch_size=8))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALEXBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return obtain("digits", NETWORK)


@pytest.fixture(scope="module")
def expected(digits: Prepared) -> Expected:
    """Losses in float64, and how far float32 goes astray from weights one unit in the last place away."""
    preprocessing = Preprocessing.of(NETWORK, digits)
    stream = Stream(digits, NETWORK, preprocessing, seed=0, batch_size=NETWORK.recipe.batch_size)
    rule = schedule.rule(NETWORK, tuple(derive.parameter_shapes(NETWORK)), schedule.State())
    steps = [(stream.batch(step), rule) for step in range(STEPS)]
    found = reference.training(NETWORK, weights.generate(NETWORK, "own", 0), steps, PRECISIONS["float32"])
    return found.expected["losses"]


def losses(framework: str, digits: Prepared, folder: Path, devices: int = 1, split: Split = "none") -> list[float]:
    """Of the first steps, as the command keeps them."""
    kept: list[float] = []

    def keep(kind: str, row: Row) -> None:
        if kind == "loss":
            kept.append(row["loss"])

    job = Job(framework, NETWORK, digits.path, steps=STEPS, validate=False, devices=devices, split=split)
    done = train(job, folder, keep, lambda text: None)
    assert done.steps == STEPS
    return kept


def within_the_training_levels_bound(found: list[float], expected: Expected) -> None:
    assert expected.multiple == reference.TWIN_MULTIPLE and expected.yardstick_rms is not None
    assert abs(found[0] / expected.value[0] - 1) < 1e-6
    assert len(set(found)) == STEPS
    assert rms_difference(np.array(found), expected.value) <= expected.multiple * expected.yardstick_rms


@pytest.mark.parametrize(
    "framework", ["torch", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("tensorflow", "jax"))]
)
def test_the_first_losses_are_those_of_float64(
    framework: str, digits: Prepared, expected: Expected, tmp_path: Path
) -> None:
    within_the_training_levels_bound(losses(framework, digits, tmp_path), expected)


@pytest.mark.parametrize(
    "framework", ["torch", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("tensorflow", "jax"))]
)
def test_two_devices_train_as_one(framework: str, digits: Prepared, expected: Expected, tmp_path: Path) -> None:
    within_the_training_levels_bound(losses(framework, digits, tmp_path, devices=2, split="data"), expected)
