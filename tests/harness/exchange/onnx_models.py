"""A network with a little of everything, as the ONNX model that this project exports."""

from __future__ import annotations

from typing import Any

from impls import onnx_graph, weights
from impls.spec import LRN, Conv, Dense, Dropout, MaxPool, Network, Padding, ReLU, SpatialNorm

TINY = Network(
    name="tiny",
    summary="a little of everything",
    source="this test",
    height=9,
    width=8,
    channels=2,
    classes=3,
    layers=(
        Conv(name="conv1", kernels=4, size=3, padding=Padding(0, 1, 0, 1), groups=2),
        ReLU(name="relu1"),
        LRN(name="norm1", size=3, alpha=1e-4, beta=0.75, k=2.0, groups=2),
        SpatialNorm(name="cnorm1", size=3, alpha=1e-4, beta=0.75, k=1.0),
        MaxPool(name="pool1", size=3, stride=3),
        Dropout(name="drop1", rate=0.5),
        Dense(name="fc2", units=3),
    ),
)


def made(network: Network = TINY, metadata: dict[str, str] | None = None) -> Any:
    return onnx_graph.model(network, weights.generate(network), metadata or {})
