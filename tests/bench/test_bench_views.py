"""How many images a second become training batches: 256x256 bytes on the disk to 224x224 float32, as the paper crops.

Images per second of a run are BATCH or FEED_BATCHES * BATCH over the time; `copying` is the floor that memory sets.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.data import draws
from harness.data.feed import Feed
from harness.data.prepared import Part, Prepared
from harness.data.preprocessing import Preprocessing
from harness.data.stream import Stream
from harness.data.views import test_views as ten_views
from impls import catalog
from impls.spec import ColourNoise

IMAGES, SIDE, BATCH, FEED_BATCHES, THREADS = 256, 256, 128, 8, 2


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    file: Path = tmp_path_factory.mktemp("bench") / "train.images.npy"
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    np.save(file, pixels)
    part = Part("train", np.load(file, mmap_mode="r"), np.zeros(IMAGES, np.int32), file)
    mean = pixels.mean(axis=0, dtype=np.float32)
    return Prepared(file.parent, "made", SIDE, 3, ("a",), {"train": part}, mean, np.ones(3), np.eye(3), "")


def a_stream(prepared: Prepared, noise: ColourNoise = "none") -> Stream:
    network = replace(catalog.PAPER, recipe=replace(catalog.PAPER.recipe, colour_noise=noise))
    return Stream(prepared, network, Preprocessing.of(network, prepared), seed=0, batch_size=BATCH)


@pytest.mark.parametrize("noise", ["none", "original-2012"])
def test_random_crops_and_flips_in_one_thread(
    benchmark: BenchmarkFixture, prepared: Prepared, noise: ColourNoise
) -> None:
    batch = benchmark(a_stream(prepared, noise).batch, 0)
    assert batch.images.shape == (BATCH, 224, 224, 3)


def test_random_crops_and_flips_in_two_threads(benchmark: BenchmarkFixture, prepared: Prepared) -> None:
    with Feed(a_stream(prepared), 0, THREADS) as feed:
        for _ in range(THREADS + 1):
            feed.next()

        def some() -> int:
            return sum(len(feed.next().labels) for _ in range(FEED_BATCHES))

        assert benchmark(some) == FEED_BATCHES * BATCH


def test_copying_as_many_bytes(benchmark: BenchmarkFixture) -> None:
    source, target = (np.full((BATCH, 224, 224, 3), value, np.float32) for value in (1, 0))
    benchmark(np.copyto, target, source)
    assert target.all()


def test_ten_views_of_ten_images(benchmark: BenchmarkFixture, prepared: Prepared) -> None:
    images = prepared.part("train").images[:10]
    found = benchmark(ten_views, images, catalog.PAPER, Preprocessing.of(catalog.PAPER, prepared), 10)
    assert found.shape == (10, 10, 224, 224, 3)


@pytest.mark.parametrize("rate", [0.5, 0.4])
def test_dropout_masks_of_the_papers_two_layers(benchmark: BenchmarkFixture, rate: float) -> None:
    assert benchmark(draws.mask, 0, "dropout", 0, (BATCH, 8192), rate).shape == (BATCH, 8192)


def test_the_order_of_an_epoch_of_imagenet(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(draws.permutation, 0, "order", 0, 1_281_167)) == 1_281_167
