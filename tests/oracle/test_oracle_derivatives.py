"""Every vector-Jacobian product against a derivative that knows nothing of it.

Analytic layers: one complex step, Im f(x + i h v) / h, exact to rounding (Squire, Trapp, SIAM Review 40(1), 1998).
ReLU and max-pool: central differences away from ties.
"""

from __future__ import annotations

import numpy as np
import pytest

from impls.derive import layer_facts
from impls.oracle import operators
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, Padding, ReLU, SpatialNorm, Tanh

STEP = 1e-30
INVERTED = DropoutScaling.IN_TRAINING

ANALYTIC: list[tuple[Layer, tuple[int, ...]]] = [
    (Conv(name="c", kernels=6, size=3, stride=2, padding=Padding(1, 0, 2, 1), groups=2), (3, 7, 5, 4)),
    (Conv(name="c", kernels=3, size=2, stride=3, groups=3), (2, 9, 5, 6)),
    (Conv(name="c", kernels=5, size=1), (2, 1, 1, 3)),
    (Dense(name="d", units=5), (2, 3, 1, 4)),
    (Tanh(name="t"), (2, 3, 4)),
    (LRN(name="n", size=5, alpha=0.4, beta=0.75, k=2.0), (2, 3, 1, 7)),
    (LRN(name="n", size=5, alpha=0.4, beta=0.75, k=2.0, groups=2), (2, 1, 3, 6)),
    (LRN(name="n", size=9, alpha=0.4, beta=0.6, k=1.0), (2, 1, 3, 4)),  # fewer channels than the window
    (SpatialNorm(name="s", size=3, alpha=0.4, beta=0.75, k=1.0), (2, 4, 5, 3)),
    (SpatialNorm(name="s", size=5, alpha=0.4, beta=0.75, k=1.0), (2, 1, 1, 3)),
    (Dropout(name="o", rate=0.3), (2, 5)),
    (Dropout(name="o", rate=0.3, scaling=INVERTED), (2, 5)),
]


def make_parameters(layer: Layer, shape: tuple[int, ...], random: np.random.Generator) -> dict[str, np.ndarray]:
    found = layer_facts(layer, shape[1:]).parameters
    return {name.split("/")[1]: random.standard_normal(size) for name, size in found.items()}


def assert_equal_products(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> None:
    """<a, b> equals <c, d> to rounding, relative to the size of their terms."""
    assert abs((a * b).sum() - (c * d).sum()) <= 1e-12 * max(np.abs(a * b).sum(), np.abs(c * d).sum())


@pytest.mark.parametrize(("layer", "shape"), ANALYTIC)
@pytest.mark.parametrize("training", [False, True])
def test_gradient_equals_a_complex_step(layer: Layer, shape: tuple[int, ...], training: bool) -> None:
    random = np.random.default_rng(5)
    x, v = random.standard_normal(shape), random.standard_normal(shape)
    parameters = make_parameters(layer, shape, random)
    mask = (random.random(shape) < 0.6).astype(float) if training and isinstance(layer, Dropout) else None
    y = operators.forward(layer, x + 1j * STEP * v, parameters, mask)
    dy = random.standard_normal(y.shape)
    step = operators.vjp(layer, x, parameters, dy, mask)
    assert_equal_products(dy, y.imag / STEP, step.dx, v)
    for name, weight in parameters.items():
        w = random.standard_normal(weight.shape)
        moved = {**parameters, name: weight + 1j * STEP * w}
        y = operators.forward(layer, x.astype(complex), moved, mask)
        assert_equal_products(dy, y.imag / STEP, np.asarray(step.dparameters[name]), w)


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_cross_entropy_gradient_equals_a_complex_step(size: float) -> None:
    random = np.random.default_rng(6)
    logits, labels = size * random.standard_normal((4, 7)), np.array([0, 6, 3, 3])
    _, gradient = operators.cross_entropy(logits, labels)
    for i, j in np.ndindex(4, 7):
        moved = logits.astype(complex)
        moved[i, j] += 1j * STEP
        loss, _ = operators.cross_entropy(moved, labels)
        assert loss.imag / STEP == pytest.approx(gradient[i, j], rel=1e-12, abs=1e-16)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (ReLU(name="r"), (2, 3, 4)),
        (MaxPool(name="p", size=3, stride=2, padding=Padding(1, 0, 0, 2)), (2, 6, 5, 3)),
        (MaxPool(name="p", size=2, stride=3), (1, 8, 5, 2)),
        (MaxPool(name="p", size=3, stride=1), (2, 4, 7, 1)),
    ],
)
def test_gradient_equals_central_differences_away_from_ties(layer: Layer, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(7)
    # all values at least 0.1 apart and none at zero
    x = (random.permutation(np.prod(shape)).reshape(shape) - np.prod(shape) / 2 + 0.5) * 0.1
    dy = random.standard_normal(operators.forward(layer, x, {}).shape)
    v, h = random.standard_normal(shape), 1e-4
    slope = (operators.forward(layer, x + h * v, {}) - operators.forward(layer, x - h * v, {})) / (2 * h)
    dx = operators.vjp(layer, x, {}, dy).dx
    assert (dy * slope).sum() == pytest.approx((dx * v).sum(), rel=1e-9)
    assert np.abs(dx).sum() > 0
