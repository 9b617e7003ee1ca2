"""What the contract feeds every framework: single layers, and a small network with every kind of layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from plain_formulas import forward

from impls.derive import facts, layer_facts, parameter_shapes
from impls.protocol import Arrays, Batch
from impls.spec import (
    LRN,
    Conv,
    Dense,
    Dropout,
    DropoutScaling,
    Layer,
    MaxPool,
    Network,
    Padding,
    ReLU,
    SpatialNorm,
    Tanh,
)

CASES: tuple[tuple[Layer, tuple[int, ...]], ...] = (
    (Conv(name="strided", kernels=6, size=3, stride=2, padding=Padding(bottom=1, right=2)), (2, 7, 8, 3)),
    (Conv(name="grouped", kernels=8, size=3, padding=Padding.same(1), groups=2), (3, 5, 6, 4)),
    (Conv(name="grouped-odd", kernels=6, size=2, stride=2, padding=Padding(1, 0, 0, 3), groups=3), (2, 5, 4, 9)),
    (Dense(name="flat", units=5), (3, 7)),
    (Dense(name="from-map", units=4), (2, 3, 5, 6)),
    (ReLU(name="relu"), (2, 3, 4, 5)),
    (Tanh(name="tanh"), (2, 6)),
    (LRN(name="lrn", size=5, alpha=0.3, beta=0.75, k=2.0), (2, 3, 4, 11)),
    (LRN(name="lrn-towers", size=5, alpha=0.3, beta=0.6, k=1.0, groups=2), (2, 3, 4, 8)),
    (LRN(name="lrn-narrow", size=5, alpha=0.5, beta=0.75, k=1.0), (1, 2, 3, 3)),
    (SpatialNorm(name="spatial", size=5, alpha=0.2, beta=0.75, k=1.0), (2, 7, 6, 3)),
    (SpatialNorm(name="spatial-small", size=5, alpha=0.2, beta=0.5, k=2.0), (2, 1, 3, 4)),
    (MaxPool(name="pool", size=3, stride=2), (2, 7, 9, 3)),
    (MaxPool(name="pool-ceil", size=3, stride=2, padding=Padding(bottom=1, right=1)), (2, 6, 8, 3)),
    (MaxPool(name="pool-wide", size=3, stride=2, padding=Padding(1, 2, 0, 1)), (2, 5, 4, 3)),
    (Dropout(name="drop", rate=0.4), (3, 7)),
    (Dropout(name="drop-inverted", rate=0.25, scaling=DropoutScaling.IN_TRAINING), (2, 3, 4, 5)),
)
ODD = Network(
    name="odd",
    summary="every kind of layer in an order of its own",
    source="this test",
    height=13,
    width=15,
    channels=2,
    classes=4,
    layers=(
        SpatialNorm(name="scale0", size=3, alpha=0.1, beta=0.75, k=1.0),
        Conv(name="conv1", kernels=8, size=3, stride=2, padding=Padding(bottom=1, right=2)),
        LRN(name="norm1", size=5, alpha=0.1, beta=0.75, k=2.0, groups=2),
        MaxPool(name="pool1", size=3, stride=1, padding=Padding(0, 1, 1, 0)),
        ReLU(name="relu1"),
        Conv(name="conv2", kernels=6, size=2, groups=2),
        Tanh(name="tanh2"),
        LRN(name="norm2", size=3, alpha=0.2, beta=0.6, k=1.0),
        Dropout(name="drop3", rate=0.25, scaling=DropoutScaling.IN_TRAINING),
        Dense(name="fc3", units=9),
        ReLU(name="relu3"),
        Dropout(name="drop4", rate=0.5),
        Dense(name="fc4", units=4),
    ),
)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A float32 array nobody can write to."""
    result = np.array(array, dtype=np.float32)
    result.flags.writeable = False
    return result


def draw(shape: tuple[int, ...], seed: int, scale: float = 1.0) -> NDArray[Any]:
    """Gaussian, float32, read-only."""
    return frozen(np.random.default_rng(seed).normal(size=shape) * scale)


def draw_mask(shape: tuple[int, ...], rate: float, seed: int) -> NDArray[Any]:
    """1 keeps a unit, 0 drops it."""
    return frozen(np.random.default_rng(seed).random(shape) >= rate)


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """A writable copy at an address divisible by 64, which invites a framework to share it."""
    room = np.empty(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    result = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    result[...] = array
    return result


def wide(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """The same in float64."""
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def case_inputs(layer: Layer, shape: tuple[int, ...]) -> tuple[NDArray[Any], Arrays, NDArray[Any] | None]:
    """An input, the layer's parameters and, for dropout, a mask."""
    shapes = layer_facts(layer, shape[1:]).parameters
    parameters = {name.rpartition("/")[2]: draw(sides, seed) for seed, (name, sides) in enumerate(shapes.items())}
    mask = draw_mask(shape, layer.rate, 5) if isinstance(layer, Dropout) else None
    return draw(shape, 7), parameters, mask


def odd_weights() -> Arrays:
    """Weights of `ODD` that keep its activations near 1."""
    return {name: draw(shape, 20 + i, 0.4) for i, (name, shape) in enumerate(parameter_shapes(ODD).items())}


def odd_batch(seed: int, count: int = 3) -> Batch:
    """Images, labels and dropout masks for `ODD`."""
    masks = {
        row.layer.name: draw_mask((count, *row.input_shape), row.layer.rate, seed + i)
        for i, row in enumerate(facts(ODD))
        if isinstance(row.layer, Dropout)
    }
    labels = np.random.default_rng(seed).integers(0, ODD.classes, count)
    return Batch(draw((count, ODD.height, ODD.width, ODD.channels), seed), labels, masks)


def plain_activations(weights: Arrays, images: NDArray[Any], masks: Arrays | None) -> dict[str, NDArray[Any]]:
    """`ODD` by the plain formulas."""
    x, found = images.astype(np.float64), {}
    for row in facts(ODD):
        own = {name.rpartition("/")[2]: weights[name] for name in row.parameters}
        x = found[row.layer.name] = forward(row.layer, x, own, (masks or {}).get(row.layer.name))
    return found
