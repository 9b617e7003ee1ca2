"""Single-operator cases: shapes with all sides distinct, and data that separates meaning from rounding.

Sizes include fewer channels than the LRN window, one pixel, odd sides, strides that leave a rest, padding on some sides
only, extreme magnitudes, NaN, exact zeros and ties.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from impls.derive import layer_facts
from impls.oracle.rounding import Precision
from impls.protocol import Array, Arrays
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, Padding, ReLU, SpatialNorm, Tanh

ALPHA = 1e-3  # larger than the paper's, so that a wrong window is seen at any size of activation


@dataclass(frozen=True)
class Case:
    """One layer with its data. `parameters` is empty for a layer that takes them from the network's weights."""

    name: str
    layer: Layer
    x: Array
    dy: Array | None = None
    parameters: Arrays = field(default_factory=dict)
    mask: Array | None = None
    exact: bool = False


@dataclass(frozen=True)
class LossCase:
    """Logits and labels for the softmax cross-entropy."""

    name: str
    logits: Array
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class _Shape:
    """A case before it has data: a label, the layer, its input [N, H, W, C] or [N, features]."""

    label: str
    layer: Layer
    shape: tuple[int, ...]


def _conv(size: int, kernels: int, stride: int = 1, pad: Padding = Padding(), groups: int = 1) -> Conv:
    return Conv(name="case:conv", kernels=kernels, size=size, stride=stride, padding=pad, groups=groups)


def _lrn(size: int = 5, alpha: float = ALPHA, k: float = 2.0, groups: int = 1, beta: float = 0.75) -> LRN:
    return LRN(name="case:lrn", size=size, alpha=alpha, beta=beta, k=k, groups=groups)


def _pool(size: int, stride: int, pad: Padding = Padding()) -> MaxPool:
    return MaxPool(name="case:pool", size=size, stride=stride, padding=pad)


CONVOLUTIONS = (
    _Shape("11x11 stride 4, right and bottom", _conv(11, 6, 4, Padding(0, 3, 0, 3)), (2, 24, 20, 3)),
    _Shape("5x5 pad 2, 2 groups", _conv(5, 8, 1, Padding.same(2), groups=2), (3, 9, 7, 4)),
    _Shape("3x3 pad 1", _conv(3, 7, 1, Padding.same(1)), (2, 6, 5, 4)),
    _Shape("3x3, 3 groups, one image", _conv(3, 9, 1, Padding.same(1), groups=3), (1, 5, 7, 6)),
    _Shape("4x4 stride 3 with a rest, top and left", _conv(4, 5, 3, Padding(1, 0, 2, 0)), (2, 12, 10, 3)),
    _Shape("1x1", _conv(1, 5), (3, 4, 6, 2)),
    _Shape("one pixel out", _conv(3, 4), (7, 3, 3, 5)),
    _Shape("one pixel in", _conv(3, 5, 1, Padding.same(1)), (3, 1, 1, 2)),
)
DENSES = (
    _Shape("from a map", Dense(name="case:dense", units=7), (3, 4, 5, 6)),
    _Shape("from a vector", Dense(name="case:dense", units=5), (3, 11)),
)
NORMS = (
    _Shape("paper, n = 5", LRN(name="case:lrn", size=5, alpha=1e-4, beta=0.75, k=2.0), (2, 5, 4, 12)),
    _Shape("n = 5, alpha 1e-3", _lrn(), (2, 4, 5, 13)),
    _Shape("k = 1, beta 0.5", _lrn(k=1.0, beta=0.5), (2, 4, 3, 9)),
    _Shape("2 groups", _lrn(groups=2), (3, 4, 5, 16)),
    _Shape("fewer channels than n", _lrn(), (2, 5, 4, 3)),
    _Shape("one channel, one pixel", _lrn(), (3, 1, 1, 1)),
    _Shape("n = 3", _lrn(size=3), (2, 3, 5, 7)),
)
SPATIAL = (
    _Shape("5x5", SpatialNorm(name="case:spatial", size=5, alpha=ALPHA, beta=0.75, k=1.0), (2, 8, 7, 3)),
    _Shape(
        "5x5 on a smaller map", SpatialNorm(name="case:spatial", size=5, alpha=ALPHA, beta=0.75, k=1.0), (5, 3, 2, 4)
    ),
    _Shape("3x3 on one pixel", SpatialNorm(name="case:spatial", size=3, alpha=ALPHA, beta=0.75, k=1.0), (3, 1, 1, 5)),
)
POOLS = (
    _Shape("3 stride 2", _pool(3, 2), (2, 9, 7, 4)),
    _Shape("3 stride 2 with a rest", _pool(3, 2), (2, 8, 10, 3)),
    _Shape("3 stride 1", _pool(3, 1), (2, 5, 6, 3)),
    _Shape("2 stride 2", _pool(2, 2), (3, 6, 4, 5)),
    _Shape("3 stride 2, right and bottom", _pool(3, 2, Padding(0, 1, 0, 1)), (2, 8, 6, 3)),
    _Shape("3 stride 2, all sides", _pool(3, 2, Padding.same(1)), (2, 7, 5, 4)),
    _Shape("one window", _pool(3, 2), (2, 3, 3, 5)),
)
DROPOUTS = (
    _Shape("at test", Dropout(name="case:dropout", rate=0.4), (3, 17)),
    _Shape("in training", Dropout(name="case:dropout", rate=0.25, scaling=DropoutScaling.IN_TRAINING), (3, 4, 2, 5)),
)


def operator_cases(precision: Precision, seed: int) -> Iterator[Case]:
    """All cases with data drawn from the seed. Exact ones hold integers whose sums the precision represents exactly."""
    rng = np.random.default_rng([seed, 0])
    products = [("conv", shape) for shape in CONVOLUTIONS] + [("dense", shape) for shape in DENSES]
    others = [("lrn", s) for s in NORMS] + [("spatial norm", s) for s in SPATIAL] + [("max-pool", s) for s in POOLS]
    for kind, shape in products:
        yield _integers(kind, shape, precision, rng)
        yield _gaussian(kind, shape, precision, rng)
    for kind, shape in others:
        yield _gaussian(kind, shape, precision, rng)
    for shape in POOLS:
        yield _distinct_integers(shape, precision, rng)
    yield from _elementwise(precision, rng)
    yield from _magnitudes(precision, rng)
    yield from _dropout(precision, rng)


def loss_cases(precision: Precision, seed: int) -> Iterator[LossCase]:
    """Logits of ordinary, extreme and equal size, as the precision stores them."""
    rng = np.random.default_rng([seed, 1])
    for name, batch, classes, scale in (
        ("ordinary", 4, 11, 2.0),
        ("confident", 3, 7, 60.0),
        ("shifted by 1e4", 5, 6, 1.0),
    ):
        logits = rng.standard_normal((batch, classes)) * scale + (1e4 if "shifted" in name else 0)
        rounded = precision.round(logits.astype(np.float32))
        yield LossCase(f"cross-entropy, {name}", rounded, rng.integers(0, classes, batch))
    yield LossCase("cross-entropy, all equal", np.zeros((2, 5), np.float32), np.array([0, 4]))


def _parameters(layer: Layer, shape: tuple[int, ...], draw: object, scale: float = 1.0) -> Arrays:
    facts = layer_facts(layer, shape[1:])
    found = {name.split("/")[-1]: draw(side) for name, side in facts.parameters.items()}  # type: ignore[operator]
    return {name: (value * (scale if name == "weight" else 1.0)).astype(np.float32) for name, value in found.items()}


def _gaussian(kind: str, shape: _Shape, precision: Precision, rng: np.random.Generator, scale: float = 1.0) -> Case:
    out = layer_facts(shape.layer, shape.shape[1:]).output_shape
    draw = rng.standard_normal
    x = precision.round((draw(shape.shape) * 10 * scale).astype(np.float32))
    dy = precision.round(draw((shape.shape[0], *out)).astype(np.float32))
    parameters = {name: precision.round(v) for name, v in _parameters(shape.layer, shape.shape, draw, 0.1).items()}
    return Case(f"{kind} {shape.label}", shape.layer, x, dy, parameters)


def _integers(kind: str, shape: _Shape, precision: Precision, rng: np.random.Generator) -> Case:
    """Integers so small that every partial sum, in any order, is exact in the precision.

    Largest sum here: 363 products forward (11x11x3). bfloat16 holds integers to 256: entries -1 and 1, and zeros among
    them only where the sums are longer than that, since the smallest cases would be left with nothing but zeros.
    """
    unit = max(precision.unit, precision.unit_product)
    wide = unit <= 2.0**-24
    fits = math.prod(layer_facts(shape.layer, shape.shape[1:]).parameters[f"{shape.layer.name}/weight"][:-1]) < 1 / unit
    density = 0.9 if wide else 1.0 if fits else 0.6

    def draw(side: tuple[int, ...]) -> Array:
        values = rng.integers(-8, 9, side) if wide else rng.choice((-1, 1), side)
        return np.where(rng.random(side) < density, values, 0).astype(np.float32)

    out = layer_facts(shape.layer, shape.shape[1:]).output_shape
    x, dy = draw(shape.shape).astype(np.float32), draw((shape.shape[0], *out)).astype(np.float32)
    return Case(
        f"{kind} {shape.label}, integers", shape.layer, x, dy, _parameters(shape.layer, shape.shape, draw), exact=True
    )


def _distinct_integers(shape: _Shape, precision: Precision, rng: np.random.Generator) -> Case:
    """No two equal within any window, so that a max-pool's gradient has one right answer."""
    n, h, w, c = shape.shape
    area = h * w
    planes = [rng.permutation(area) - area // 2 for _ in range(n * c)]
    x = np.stack(planes).reshape(n, c, h, w).transpose(0, 2, 3, 1).astype(np.float32)
    out = layer_facts(shape.layer, shape.shape[1:]).output_shape
    dy = rng.integers(-4, 5, (n, *out)).astype(np.float32)
    return Case(f"max-pool {shape.label}, integers", shape.layer, np.ascontiguousarray(x), dy, exact=True)


def _elementwise(precision: Precision, rng: np.random.Generator) -> Iterator[Case]:
    relu, tanh = ReLU(name="case:relu"), Tanh(name="case:tanh")
    x = rng.integers(-3, 4, (3, 4, 5, 2)).astype(np.float32)  # a seventh of them 0, where the derivative is 0
    yield Case("relu, with zeros", relu, x, rng.integers(1, 9, x.shape).astype(np.float32), exact=True)
    holes = x.copy()
    holes[1, 2, 3, 1] = np.nan
    yield Case("relu, with a NaN", relu, holes)
    for name, scale in (("ordinary", 1.0), ("saturated", 30.0), ("small", 1e-4)):
        x = precision.round((rng.standard_normal((3, 5, 4, 7)) * scale).astype(np.float32))
        dy = precision.round(rng.standard_normal(x.shape).astype(np.float32))
        yield Case(f"tanh, {name}", tanh, x, dy)
    ties = rng.integers(0, 2, (2, 9, 7, 4)).astype(np.float32)  # what a ReLU leaves: many windows with equal maxima
    yield Case("max-pool 3 stride 2, ties", _pool(3, 2), ties, exact=True)


def _magnitudes(precision: Precision, rng: np.random.Generator) -> Iterator[Case]:
    """Activations whose squares still fit the precision: beyond, no implementation of LRN is defined."""
    large = 4e1 if precision.name == "float16" else 1e8
    shape = _Shape("large values", _lrn(), (2, 3, 4, 9))
    yield _gaussian("lrn", shape, precision, rng, scale=large / 10)
    yield _gaussian("lrn", replace(shape, label="small values"), precision, rng, scale=1e-3)
    yield _gaussian(
        "dense", _Shape("large values", Dense(name="case:dense", units=4), (3, 7)), precision, rng, large / 10
    )
    yield _gaussian("relu", _Shape("large values", ReLU(name="case:relu"), (3, 4, 5, 2)), precision, rng, large / 10)
    below = _gaussian(
        "max-pool", _Shape("far below 0", _pool(3, 2, Padding.same(1)), (2, 7, 5, 4)), precision, rng, large / 10
    )
    yield replace(below, x=precision.round(-np.abs(below.x) - np.float32(large)))
    for label, scale in (("large values", large / 10), ("small values", 1e-3)):
        yield _gaussian("conv", _Shape(f"3x3, {label}", _conv(3, 5), (2, 5, 6, 4)), precision, rng, scale)


def _dropout(precision: Precision, rng: np.random.Generator) -> Iterator[Case]:
    for shape in DROPOUTS:
        base = _gaussian("dropout scaled", shape, precision, rng)
        mask = (rng.random(shape.shape) < 0.6).astype(np.float32)
        yield replace(base, name=f"{base.name}, test time")
        yield replace(base, name=f"{base.name}, with a mask", mask=mask)
