"""The miniature network with its weights and references, made once: they are the same for every test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.parity.bench import Bench, Material
from harness.parity.miniature import MINIATURE
from impls import weights
from impls.oracle.rounding import PRECISIONS


@pytest.fixture(scope="session")
def arrays() -> dict[str, NDArray[Any]]:
    """The miniature's weights."""
    return weights.generate(MINIATURE, "scaled", 0)


@pytest.fixture(scope="session")
def bench(arrays: dict[str, NDArray[Any]], tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The miniature on noise, as the self-test has it."""
    folder = tmp_path_factory.mktemp("bench")
    weights.save(folder / "weights.safetensors", MINIATURE.name, arrays)
    shape = (6, MINIATURE.height, MINIATURE.width, MINIATURE.channels)
    return Bench(
        Material(
            network=MINIATURE,
            weights=arrays,
            weights_file=folder / "weights.safetensors",
            images=np.round(np.random.default_rng(5).normal(0, 60, shape)).astype(np.float32),
            photographs=("noise",),
            centres=(0, 1, 2, 3),
            precision=PRECISIONS["float32"],
            seed=0,
            folder=folder,
        )
    )


@pytest.fixture(scope="session")
def plugin() -> str:
    """A full framework in NumPy, as --impl takes it."""
    return f"{Path(__file__).parent / 'numpy_framework.py'}:FRAMEWORK"
