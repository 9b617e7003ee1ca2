"""A network of the paper's kind of layers that a float64 reference computes in milliseconds, and pixels for it."""

from __future__ import annotations

import numpy as np

from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, MaxPool, Network, Padding, ReLU

SMALL = Network(
    name="small",
    summary="for tests",
    source="here",
    height=24,
    width=24,
    classes=12,
    preprocessing="mean-image",
    layers=(
        Conv(name="conv1", kernels=8, size=5, stride=2, padding=Padding(bottom=3, right=3)),
        ReLU(name="relu1"),
        LRN(name="norm1", size=5, alpha=1e-4, beta=0.75, k=2.0),
        MaxPool(name="pool1", size=3, stride=2),
        Conv(name="conv2", kernels=12, size=3, padding=Padding.same(1), groups=2, init_bias=1.0),
        ReLU(name="relu2"),
        MaxPool(name="pool2", size=3, stride=2),
        Dense(name="fc3", units=20),
        ReLU(name="relu3"),
        Dropout(name="drop3", rate=0.5, scaling=DropoutScaling.AT_TEST),
        Dense(name="fc4", units=12),
    ),
)


def pixels(height: int = 24, width: int = 24, count: int = 2) -> np.ndarray:
    """uint8 [count, height, width, 3]."""
    return np.random.default_rng(5).integers(0, 256, (count, height, width, 3)).astype(np.uint8)
