"""The paper's update, by hand and against a plain loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from impls.oracle import network as oracle
from impls.oracle.network import GradientResult
from impls.oracle.product import OuterProduct
from impls.oracle.rounding import PRECISIONS
from impls.oracle.sgd import train, update
from impls.protocol import Batch, UpdateRule
from impls.spec import Dense, Network

Weights = dict[str, NDArray[Any]]


def test_three_steps_with_a_rate_drop_keep_the_rate_inside_the_velocity() -> None:
    weight, velocity = np.array([1.0]), np.array([0.0])
    for rate, gradient, v, w in (
        (0.1, 1.0, -0.11, 0.89),
        (0.1, 2.0, -0.2639, 0.6261),
        (0.01, -1.0, -0.1225761, 0.5035239),  # the old velocity is not divided by ten
    ):
        rule = UpdateRule(learning_rate=rate, momentum=0.5, weight_decay=0.1)
        update(weight, velocity, np.array([gradient]), rule, rule.weight_decay)
        assert velocity[0] == pytest.approx(v, rel=1e-14) and weight[0] == pytest.approx(w, rel=1e-14)


def test_one_step_from_zero_weights_worked_by_hand() -> None:
    network = Network(
        name="one", summary="", source="tests", height=1, width=1, channels=1, classes=2,
        layers=(Dense(name="d", units=2),),
    )  # fmt: skip
    weights = {"d/weight": np.zeros((1, 2), np.float32), "d/bias": np.zeros(2, np.float32)}
    batch = Batch(np.array([3.0, 1.0], np.float32).reshape(2, 1, 1, 1), np.array([0, 1]), {})
    result = train(network, weights, [(batch, UpdateRule(0.1))])
    assert result.losses == [pytest.approx(np.log(2))]
    # gradient of the weight: (3 * (-.5, .5) + 1 * (.5, -.5)) / 2 = (-.5, .5); the bias' halves cancel
    assert np.allclose(result.weights["d/weight"], [[0.05, -0.05]], rtol=1e-14)
    assert np.allclose(result.weights["d/bias"], 0)
    assert not weights["d/weight"].any()


@pytest.fixture
def steps(batch: Batch) -> list[tuple[Batch, UpdateRule]]:
    other = batch._replace(images=batch.images[::-1].copy(), labels=np.array([0, 0, 2, 1]))
    return [(batch, UpdateRule(0.05)), (other, UpdateRule(0.05)), (batch, UpdateRule(0.005))]


@pytest.mark.parametrize("decay_biases", [True, False])
def test_training_equals_a_plain_loop(
    network: Network, weights: Weights, steps: list[tuple[Batch, UpdateRule]], decay_biases: bool
) -> None:
    steps = [(batch, UpdateRule(rule.learning_rate, 0.9, 0.02, decay_biases)) for batch, rule in steps]
    result = train(network, weights, steps)
    w = {name: weight.astype(np.float64) for name, weight in weights.items()}
    v = {name: 0 * weight for name, weight in w.items()}
    for number, (batch, rule) in enumerate(steps):
        found = oracle.gradients(network, w, batch)
        assert result.losses[number] == pytest.approx(found.loss, rel=1e-13)
        for name, gradient in found.gradients.items():
            decay = rule.weight_decay if decay_biases or name.endswith("/weight") else 0
            rate = rule.learning_rate
            v[name] = rule.momentum * v[name] - decay * rate * w[name] - rate * np.asarray(gradient)
            w[name] = w[name] + v[name]
    for name, weight in w.items():
        assert np.allclose(result.weights[name], weight, rtol=1e-12, atol=1e-14)
        assert np.allclose(result.velocity[name], v[name], rtol=1e-12, atol=1e-14)


def test_a_tensor_with_a_factor_has_a_rate_of_its_own(
    network: Network, weights: Weights, steps: list[tuple[Batch, UpdateRule]]
) -> None:
    """Doubled and frozen; the weight decay goes with the tensor's own rate."""
    batch, _ = steps[0]
    rule = UpdateRule(0.05, 0.9, 0.5, factors=(("d/bias", 2.0), ("conv1/weight", 0.0)))
    plain = train(network, weights, [(batch, UpdateRule(0.05, 0.9, 0.5))])
    result = train(network, weights, [(batch, rule)])
    for name, velocity in plain.velocity.items():
        assert velocity.any(), name
        factor = {"d/bias": 2.0, "conv1/weight": 0.0}.get(name, 1.0)
        assert np.allclose(result.velocity[name], factor * velocity, rtol=1e-13, atol=0), name
    assert np.array_equal(result.weights["conv1/weight"], weights["conv1/weight"])
    thawed = train(network, weights, [(batch, rule), (batch, UpdateRule(0.05, 0.9, 0.5))])
    assert not np.array_equal(thawed.weights["conv1/weight"], weights["conv1/weight"])


def test_float32_training_stays_float32_and_near_the_reference(
    network: Network, weights: Weights, steps: list[tuple[Batch, UpdateRule]]
) -> None:
    exact = train(network, weights, steps)
    single = train(network, weights, steps, dtype=np.float32, precision=PRECISIONS["float32"])
    coarse = train(network, weights, steps, dtype=np.float32, precision=PRECISIONS["bfloat16"])
    for name, weight in exact.weights.items():
        assert single.weights[name].dtype == single.velocity[name].dtype == np.float32
        moved = np.abs(weight - weights[name]).max()
        assert 0 < np.abs(single.weights[name] - weight).max() < 1e-4 * moved
        assert 1e-4 * moved < np.abs(coarse.weights[name] - weight).max() < 0.5 * moved


def test_on_step_sees_every_step_before_its_update(
    network: Network, weights: Weights, steps: list[tuple[Batch, UpdateRule]]
) -> None:
    seen: list[tuple[int, GradientResult]] = []
    result = train(network, weights, steps, on_step=lambda number, step: seen.append((number, step)))
    assert [number for number, _ in seen] == [0, 1, 2]
    assert [step.loss for _, step in seen] == result.losses
    first = oracle.gradients(network, weights, steps[0][0])
    assert np.array_equal(seen[0][1].gradients["conv1/weight"], first.gradients["conv1/weight"])


def test_a_factored_gradient_updates_in_several_blocks() -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, 900)), random.standard_normal((2, 1300))  # more than 2**20 elements
    weight, velocity = np.ones((900, 1300)), np.ones((900, 1300))
    update(weight, velocity, OuterProduct(a, b), UpdateRule(0.1), 0.5)
    expected = 0.9 - 0.05 - 0.1 * a.T @ b
    assert np.allclose(velocity, expected, atol=1e-13) and np.allclose(weight, 1 + expected, atol=1e-13)
