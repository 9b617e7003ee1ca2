"""A small network with every kind of layer, on which the self-test plants its faults."""

from __future__ import annotations

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

MINIATURE = Network(
    name="miniature",
    summary="every kind of layer at a size that runs in milliseconds; no two sides alike",
    source="this project",
    height=104,
    width=88,
    classes=11,
    layers=(
        Conv(name="conv1", kernels=16, size=11, stride=4, padding=Padding(bottom=3, right=3)),
        ReLU(name="relu1"),
        # alpha is larger than the paper's, so that a wrong window moves the result at any size of activation
        LRN(name="norm1", size=5, alpha=1e-3, beta=0.75, k=2.0),
        MaxPool(name="pool1", size=3, stride=2, padding=Padding(bottom=1, right=1)),
        Conv(name="conv2", kernels=20, size=5, padding=Padding.same(2), groups=2, init_bias=1.0),
        ReLU(name="relu2"),
        LRN(name="norm2", size=5, alpha=1e-3, beta=0.75, k=2.0, groups=2),
        SpatialNorm(name="cnorm2", size=5, alpha=1e-3, beta=0.75, k=1.0),
        MaxPool(name="pool2", size=3, stride=2),
        Conv(name="conv3", kernels=24, size=3, padding=Padding.same(1)),
        MaxPool(name="pool3", size=3, stride=2, padding=Padding.same(1)),
        Dense(name="fc4", units=40, init_bias=1.0),
        Tanh(name="tanh4"),
        Dense(name="fc6", units=30, init_bias=1.0),
        ReLU(name="relu6"),
        Dropout(name="drop6", rate=0.4),
        Dense(name="fc7", units=26, init_bias=1.0),
        ReLU(name="relu7"),
        Dropout(name="drop7", rate=0.3, scaling=DropoutScaling.IN_TRAINING),
        Dense(name="fc8", units=11),
    ),
)
