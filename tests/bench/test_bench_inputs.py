"""How long our own preparation takes; `nox -s bench` keeps the times and compares them with the last run's."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.data import images
from impls import catalog, derive, weights


def test_deriving_every_count_of_the_catalog(benchmark: BenchmarkFixture) -> None:
    counts = benchmark(lambda: [derive.parameter_count(network) for network in catalog.NETWORKS.values()])
    assert counts[0] == 60_965_224


@pytest.mark.parametrize("recipe", ["scaled", "own"])
def test_drawing_weights(benchmark: BenchmarkFixture, recipe: str) -> None:
    arrays = benchmark(weights.generate, catalog.CIFAR_4LAYER, recipe, 0)
    assert len(arrays) == 8


def test_writing_and_checking_a_weights_file(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"

    def round_trip() -> str:
        weights.write(catalog.CIFAR_4LAYER, "scaled", 0, file)
        return weights.load(file, catalog.CIFAR_4LAYER).content_hash

    assert benchmark(round_trip) == weights.content_hash(weights.generate(catalog.CIFAR_4LAYER, "scaled", 0))


def test_preparing_two_photographs(benchmark: BenchmarkFixture) -> None:
    inputs = benchmark(images.parity_inputs, images.photographs(), catalog.PAPER)
    assert len(inputs.images) == 20
