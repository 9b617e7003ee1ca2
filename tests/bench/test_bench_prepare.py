"""`prepare` against what it cannot beat: Pillow decoding and resizing on all cores, with nothing kept of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from harness.data.prepare import prepare
from harness.data.sources.opening import open_source

SIDE = 256
DIFFERENT = 50


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """JPEGs of ImageNet's usual size and weight: enough of them that starting processes does not count."""
    timed = pytestconfig.getoption("benchmark_enable") or not pytestconfig.getoption("benchmark_disable")
    count = 3000 if timed else 60
    root = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for index in range(count):
        path = root / f"class{index % 2}" / f"{index:05d}.jpg"
        path.parent.mkdir(exist_ok=True)
        if index < DIFFERENT:
            coarse = Image.fromarray(random.integers(0, 256, (75, 100, 3)).astype(np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=92)
        else:
            path.hardlink_to(root / f"class{index % DIFFERENT % 2}" / f"{index % DIFFERENT:05d}.jpg")
    return root


def decode_and_resize(path: Path) -> int:
    """The shorter side to 256, then the centre square."""
    with Image.open(path) as image:
        scale = SIDE / min(image.size)
        width, height = (max(SIDE, round(length * scale)) for length in image.size)
        resized = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE))).nbytes


@pytest.fixture
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as executor:
        yield executor


@pytest.mark.benchmark(group="prepare")
def test_a_bare_loop(benchmark: BenchmarkFixture, photographs: Path, pool: ProcessPoolExecutor) -> None:
    files = sorted(photographs.rglob("*.jpg"))
    sizes = benchmark.pedantic(
        lambda: list(pool.map(decode_and_resize, files, chunksize=32)), rounds=3, warmup_rounds=1
    )
    assert set(sizes) == {SIDE * SIDE * 3}


@pytest.mark.benchmark(group="prepare")
def test_preparing(benchmark: BenchmarkFixture, photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def once() -> int:
        shutil.rmtree(out, ignore_errors=True)
        return prepare(open_source(f"imagefolder:{photographs}"), out, SIDE).images

    assert benchmark.pedantic(once, rounds=3, warmup_rounds=1) == len(list(photographs.rglob("*.jpg")))
