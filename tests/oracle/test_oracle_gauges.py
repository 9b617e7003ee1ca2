"""Gauges are sound (correct float32 lies inside) and sharp (a small fault lies outside)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from impls.derive import layer_facts
from impls.oracle import gauges, operators
from impls.oracle.rounding import PRECISIONS
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, Padding, ReLU, SpatialNorm, Tanh

FLOAT32 = PRECISIONS["float32"]
INVERTED = DropoutScaling.IN_TRAINING

CASES: list[tuple[Layer, tuple[int, ...]]] = [
    (Conv(name="c", kernels=6, size=3, stride=2, padding=Padding(1, 0, 2, 1), groups=2), (3, 7, 5, 14)),
    (Conv(name="c", kernels=4, size=1), (2, 1, 1, 3)),
    (Dense(name="d", units=11), (3, 5, 4, 7)),
    (ReLU(name="r"), (2, 3, 4)),
    (Tanh(name="t"), (2, 3, 40)),
    (LRN(name="n", size=5, alpha=1e-4, beta=0.75, k=2.0), (2, 3, 4, 9)),
    (LRN(name="n", size=5, alpha=0.3, beta=0.75, k=1.0, groups=2), (2, 1, 1, 6)),
    (SpatialNorm(name="s", size=5, alpha=0.01, beta=0.75, k=1.0), (2, 7, 3, 2)),
    (MaxPool(name="p", size=3, stride=2), (2, 7, 9, 3)),
    (MaxPool(name="p", size=3, stride=1), (2, 5, 4, 3)),
    (Dropout(name="o", rate=0.3, scaling=INVERTED), (3, 9)),
]


def case(layer: Layer, shape: tuple[int, ...], seed: int, size: float = 1.0):  # type: ignore[no-untyped-def]
    random = np.random.default_rng(seed)
    x = (size * random.standard_normal(shape)).astype(np.float32)
    parameters = {
        name.split("/")[1]: random.standard_normal(wanted).astype(np.float32)
        for name, wanted in layer_facts(layer, shape[1:]).parameters.items()
    }
    mask = (random.random(shape) < 0.7).astype(np.float32) if isinstance(layer, Dropout) else None
    dy = random.standard_normal((shape[0], *layer_facts(layer, shape[1:]).output_shape)).astype(np.float32)
    return x, parameters, mask, dy


def results(layer: Layer, dtype: type, x, parameters, mask, dy):  # type: ignore[no-untyped-def]
    x, dy = x.astype(dtype), dy.astype(dtype)
    step = operators.vjp(layer, x, parameters, dy, mask)
    return {"y": operators.forward(layer, x, parameters, mask), "dx": step.dx, **step.dparameters}


def ratios(layer: Layer, found, x, parameters, mask, dy) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Largest error over limit, by result."""
    exact = results(layer, np.float64, x, parameters, mask, dy)
    rulers = {"y": gauges.forward(layer, x, parameters, mask), **gauges.vjp(layer, x, parameters, dy, mask)}
    assert rulers.keys() == exact.keys()
    worst = {}
    for name, ruler in rulers.items():
        scale = np.asarray(ruler.scale)
        assert scale.shape == np.asarray(exact[name]).shape and (scale >= 0).all() and ruler.spread_rms > 0
        limit = ruler.limit(scale, FLOAT32.unit, FLOAT32.smallest)
        worst[name] = float((np.abs(np.asarray(found[name], np.float64) - np.asarray(exact[name])) / limit).max())
    return worst


@pytest.mark.parametrize(("layer", "shape"), CASES)
@pytest.mark.parametrize("size", [1.0, 1e3, 1e-4])
def test_float32_lies_within_the_gauge(layer: Layer, shape: tuple[int, ...], size: float) -> None:
    for seed in range(6):
        inputs = case(layer, shape, seed, size)
        worst = ratios(layer, results(layer, np.float32, *inputs), *inputs)
        assert max(worst.values()) <= 1, worst


@pytest.mark.parametrize(("layer", "shape"), [row for row in CASES if not isinstance(row[0], ReLU | MaxPool | Dropout)])
def test_a_fault_of_one_in_ten_thousand_lies_outside(layer: Layer, shape: tuple[int, ...]) -> None:
    inputs = case(layer, shape, 0)
    found = {name: np.asarray(value) * (1 + 1e-4) for name, value in results(layer, np.float64, *inputs).items()}
    worst = ratios(layer, found, *inputs)
    assert min(worst.values()) > 1, worst


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_sequential_summation_in_float32_lies_within_the_gauge_and_near_its_spread(mean: float) -> None:
    layer, length = Dense(name="d", units=6), 3000
    for seed in range(5):
        random = np.random.default_rng(seed)
        x = (random.standard_normal((4, length)) + mean).astype(np.float32)
        weight, bias = random.standard_normal((length, 6)).astype(np.float32), np.zeros(6, np.float32)
        parameters = {"weight": weight, "bias": bias}
        terms = x[:, :, None] * weight[None]
        summed = np.add.accumulate(terms, axis=1, dtype=np.float32)[:, -1]
        ruler = gauges.forward(layer, x, parameters)
        assert ruler.terms == length + 1
        error = np.abs(summed - operators.forward(layer, x.astype(np.float64), parameters))
        assert (error <= ruler.limit(ruler.scale, FLOAT32.unit, FLOAT32.smallest)).all()
        assert 0.2 < np.sqrt((error**2).mean()) / (FLOAT32.unit * ruler.spread_rms) < 1.5


def test_terms_and_scales_of_conv_are_counted() -> None:
    layer = Conv(name="c", kernels=6, size=3, stride=2, groups=2)
    x, dy = -np.ones((2, 7, 5, 4)), np.ones((2, 3, 2, 6))
    parameters = {"weight": -np.ones((3, 3, 2, 6)), "bias": -np.ones(6)}
    forward = gauges.forward(layer, x, parameters)
    assert forward.terms == 19 and np.all(forward.scale == 19)
    assert forward.spread_rms == pytest.approx(math.sqrt((19 / 6 + 2) * 19))
    backward = gauges.vjp(layer, x, parameters, -dy)
    assert backward["dx"].terms == 4 * 3 and np.asarray(backward["dx"].scale).max() == 12
    assert backward["weight"].terms == 12 and np.all(np.asarray(backward["weight"].scale) == 12)
    assert backward["bias"].terms == 12 and backward["bias"].spread_rms == pytest.approx(math.sqrt((12 / 6 + 2) * 12))
    assert gauges.vjp(layer, x, parameters, dy, need_dx=False).keys() == {"weight", "bias"}


def test_spread_of_a_dense_weight_needs_no_matrix_and_is_right() -> None:
    random = np.random.default_rng(0)
    x, dy = random.standard_normal((4, 5)), random.standard_normal((4, 3))
    ruler = gauges.vjp(Dense(name="d", units=3), x, {"weight": np.ones((5, 3)), "bias": np.ones(3)}, dy)["weight"]
    squares = np.mean((x.T**2) @ dy**2)
    assert ruler.spread_rms == pytest.approx(math.sqrt((4 / 6 + 2) * squares), rel=1e-12)
    assert np.allclose(np.asarray(ruler.scale), np.abs(x).T @ np.abs(dy))


@pytest.mark.parametrize("size", [1.0, 40.0])
def test_cross_entropy_in_float32_lies_within_its_gauges_however_it_is_written(size: float) -> None:
    for seed in range(10):
        random = np.random.default_rng(seed)
        logits, labels = (size * random.standard_normal((5, 13))).astype(np.float32), random.integers(0, 13, 5)
        loss, gradient = operators.cross_entropy(logits.astype(np.float64), labels)
        ruler, rulers = gauges.cross_entropy(logits, labels)
        plain = operators.cross_entropy(logits, labels)
        top = logits.max(axis=1, keepdims=True)
        normaliser = top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        direct = np.exp(logits - normaliser)
        direct[np.arange(5), labels] -= 1
        fused = float((normaliser[:, 0] - logits[np.arange(5), labels]).mean()), direct / np.float32(5)
        for other_loss, other_gradient in (plain, fused):
            assert abs(other_loss - loss) <= ruler.limit(np.asarray(ruler.scale), FLOAT32.unit, FLOAT32.smallest)
            limit = rulers.limit(np.asarray(rulers.scale), FLOAT32.unit, FLOAT32.smallest)
            assert (np.abs(other_gradient - gradient) <= limit).all()


def test_c_is_eight_for_short_sums_and_grows_as_the_square_root() -> None:
    assert [gauges.c(1), gauges.c(64), gauges.c(400)] == [8, 8, 20]


@pytest.mark.parametrize("name", ["tf32", "bfloat16", "float16"])
def test_rounded_operands_lie_within_their_own_unit_and_outside_float32s(name: str) -> None:
    layer, precision = Dense(name="d", units=11), PRECISIONS[name]
    x, parameters, _, _ = case(layer, (3, 5, 4, 7), 0)
    emulated = operators.forward(layer, precision.operand(x), parameters, on_weight=precision.operand)
    error = np.abs(emulated - operators.forward(layer, x.astype(np.float64), parameters))
    ruler = gauges.forward(layer, x, parameters)
    assert (error <= ruler.limit(ruler.scale, gauges.unit(layer, precision), precision.smallest)).all()
    assert (error > ruler.limit(ruler.scale, FLOAT32.unit, FLOAT32.smallest)).any()
    assert gauges.unit(Tanh(name="t"), PRECISIONS["tf32"]) == 2.0**-24


def test_one_nan_leaves_the_spread_of_the_others() -> None:
    x = np.ones((1, 4))
    x[0, 1] = np.nan
    ruler = gauges.forward(ReLU(name="r"), x, {})
    assert ruler.spread_rms == pytest.approx(math.sqrt(1 / 6 + 2)) and np.isnan(np.asarray(ruler.scale)[0, 1])
