"""A small network with every kind of layer, all dimensions distinct where they can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from impls.derive import parameter_shapes
from impls.protocol import Batch
from impls.spec import (
    LRN,
    Conv,
    Dense,
    Dropout,
    DropoutScaling,
    MaxPool,
    Network,
    Padding,
    ReLU,
    SpatialNorm,
    Tanh,
)


@pytest.fixture(scope="session")
def network() -> Network:
    return Network(
        name="tiny",
        summary="every layer kind",
        source="tests",
        height=11,
        width=8,
        channels=2,
        classes=3,
        layers=(
            Conv(name="conv1", kernels=6, size=3, stride=2, padding=Padding(bottom=1, left=1), groups=2),
            ReLU(name="relu1"),
            LRN(name="norm1", size=5, alpha=0.3, beta=0.75, k=2.0, groups=2),
            MaxPool(name="pool1", size=3, stride=2, padding=Padding(bottom=1, right=1)),
            Conv(name="conv2", kernels=5, size=2, padding=Padding.same(1)),
            Tanh(name="tanh2"),
            SpatialNorm(name="norm2", size=3, alpha=0.2, beta=0.5, k=1.0),
            Dropout(name="drop2", rate=0.5),
            Dense(name="fc3", units=7),
            ReLU(name="relu3"),
            Dropout(name="drop3", rate=0.25, scaling=DropoutScaling.IN_TRAINING),
            Dense(name="fc4", units=3),
        ),
    )


@pytest.fixture(scope="session")
def weights(network: Network) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(0)
    return {
        name: (random.standard_normal(shape) * (0.4 if name.endswith("/weight") else 0.1)).astype(np.float32)
        for name, shape in parameter_shapes(network).items()
    }


@pytest.fixture(scope="session")
def batch() -> Batch:
    random = np.random.default_rng(1)
    masks = {"drop2": random.random((4, 3, 3, 5)) < 0.5, "drop3": random.random((4, 7)) < 0.75}
    return Batch(
        images=random.standard_normal((4, 11, 8, 2)).astype(np.float32),
        labels=np.array([2, 0, 1, 1]),
        masks={name: mask.astype(np.float32) for name, mask in masks.items()},
    )
