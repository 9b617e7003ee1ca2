"""How long the operators take that AlexNet is known for, at the paper's shapes and a batch of 32.

Run by `run_operators.py`, one process for each framework and tuning.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from impls import catalog, registry
from impls.derive import facts
from impls.protocol import TUNINGS, Settings, Tuning, Work

BATCH = 32
LAYERS = ("norm2", "pool1", "conv2")  # LRN [32, 27, 27, 256], pooling [32, 55, 55, 96], convolution in two groups
ROUNDS, WARM_UP = 7, 3


@functools.cache
def loaded(framework: str) -> Any:
    return registry.load(registry.reference(framework))


def work_of(framework: str, tuning: Tuning, name: str, *, backward: bool) -> Work:
    """The layer of the paper's network on random maps that a ReLU has been over."""
    row = next(row for row in facts(catalog.PAPER) if row.layer.name == name)
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((BATCH, *row.input_shape), dtype=np.float32), 0)
    parameters = {
        tensor.rpartition("/")[2]: rng.standard_normal(shape, dtype=np.float32) * np.float32(0.01)
        for tensor, shape in row.parameters.items()
    }
    work: Work = loaded(framework).layer_work(row.layer, x, parameters, Settings(tuning=tuning), backward=backward)
    return work


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("framework", registry.BUILT_IN)
def test_an_operator(benchmark: BenchmarkFixture, framework: str, tuning: Tuning, layer: str, backward: bool) -> None:
    work = work_of(framework, tuning, layer, backward=backward)

    def once() -> None:
        work.step()
        work.wait()

    benchmark.group = f"{layer} {'forward and backward' if backward else 'forward'}"
    benchmark.extra_info |= {"framework": framework, "tuning": tuning, "layer": layer, "backward": backward}
    benchmark.pedantic(once, rounds=ROUNDS, warmup_rounds=WARM_UP)
