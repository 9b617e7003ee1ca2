"""The whole network: gradients against finite differences, precisions, masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from impls.oracle import network as oracle
from impls.oracle import operators
from impls.oracle.product import OuterProduct
from impls.oracle.rounding import PRECISIONS
from impls.protocol import Batch
from impls.spec import Network

Weights = dict[str, NDArray[Any]]


def loss_at(network: Network, weights: Weights, batch: Batch) -> float:
    logits = oracle.forward(network, weights, batch.images, batch.masks)[network.logits]
    return float(operators.cross_entropy(logits, batch.labels)[0])


def test_gradients_equal_finite_differences_for_every_tensor(network: Network, weights: Weights, batch: Batch) -> None:
    exact = {name: weight.astype(np.float64) for name, weight in weights.items()}
    result = oracle.gradients(network, exact, batch)
    assert list(result.gradients) == list(weights)
    assert result.loss == pytest.approx(loss_at(network, exact, batch), rel=1e-14)
    random, h = np.random.default_rng(3), 1e-6
    for name, weight in exact.items():
        direction = random.standard_normal(weight.shape)
        above = loss_at(network, {**exact, name: weight + h * direction}, batch)
        below = loss_at(network, {**exact, name: weight - h * direction}, batch)
        gradient = np.asarray(result.gradients[name])
        assert gradient.shape == weight.shape and np.abs(gradient).max() > 1e-4
        assert (above - below) / (2 * h) == pytest.approx((gradient * direction).sum(), rel=1e-6, abs=1e-9)


def test_dense_gradients_stay_factored_and_upstream_is_each_outputs(
    network: Network, weights: Weights, batch: Batch
) -> None:
    result = oracle.gradients(network, weights, batch)
    assert isinstance(result.gradients["fc3/weight"], OuterProduct)
    assert list(result.upstream) == list(result.activations) == [layer.name for layer in network.layers]
    for name, gradient in result.upstream.items():
        assert gradient.shape == result.activations[name].shape
    assert np.allclose(result.upstream["fc3"].sum(axis=0), result.gradients["fc3/bias"])
    assert np.allclose(result.upstream["conv2"].sum(axis=(0, 1, 2)), result.gradients["conv2/bias"])


def test_activations_are_the_operators_in_order(network: Network, weights: Weights, batch: Batch) -> None:
    found = oracle.forward(network, weights, batch.images)
    x = batch.images.astype(np.float64)
    for layer in network.layers:
        x = operators.forward(layer, x, oracle.layer_parameters(layer, weights))
        assert np.array_equal(found[layer.name], x) and x.dtype == np.float64
    assert found["fc4"].shape == (4, 3)


def test_masks_switch_dropout_to_training(network: Network, weights: Weights, batch: Batch) -> None:
    tested = oracle.forward(network, weights, batch.images)
    trained = oracle.forward(network, weights, batch.images, batch.masks)
    assert np.array_equal(tested["norm2"], trained["norm2"])
    assert np.array_equal(trained["drop2"] == 0, (batch.masks["drop2"] == 0) | (trained["norm2"] == 0))
    assert not np.array_equal(tested["fc4"], trained["fc4"])
    with pytest.raises(ValueError, match="mask for dropout layer 'drop3'"):
        oracle.forward(network, weights, batch.images, {"drop2": batch.masks["drop2"]})


def test_float32_is_close_to_float64_but_not_equal(network: Network, weights: Weights, batch: Batch) -> None:
    exact = oracle.gradients(network, weights, batch)
    single = oracle.gradients(network, weights, batch, dtype=np.float32, precision=PRECISIONS["float32"])
    assert single.activations["fc4"].dtype == np.float32
    for name, gradient in exact.gradients.items():
        other = np.asarray(single.gradients[name])
        assert other.dtype == np.float32
        assert 0 < np.abs(other - gradient).max() < 1e-5 * np.abs(gradient).max()


def relative(found: Any, exact: Any) -> float:
    return float(np.linalg.norm(np.asarray(found, np.float64) - exact) / np.linalg.norm(exact))


@pytest.mark.parametrize(
    ("name", "low", "high"), [("tf32", 1e-5, 3e-3), ("bfloat16", 3e-4, 5e-2), ("float16", 3e-5, 5e-3)]
)
def test_low_precisions_err_by_their_own_unit(
    network: Network, weights: Weights, batch: Batch, name: str, low: float, high: float
) -> None:
    precision = PRECISIONS[name]
    exact = oracle.gradients(network, weights, batch)
    rounded = oracle.gradients(network, weights, batch, dtype=np.float32, precision=precision)
    for layer in ("conv1", "norm2", "fc4"):
        activation = rounded.activations[layer]
        assert low < relative(activation, exact.activations[layer]) < high
        assert np.array_equal(precision.round(activation), activation)
    for gradient in rounded.upstream.values():
        assert np.array_equal(precision.round(gradient), gradient)
    for tensor in ("conv1/weight", "fc3/weight", "fc3/bias"):
        gradient = np.asarray(rounded.gradients[tensor])
        assert low / 10 < relative(gradient, np.asarray(exact.gradients[tensor])) < 4 * high
        assert np.array_equal(precision.round(gradient), gradient)


def test_tf32_rounds_operands_but_neither_biases_nor_results(network: Network, weights: Weights, batch: Batch) -> None:
    precision = PRECISIONS["tf32"]
    found = oracle.forward(network, weights, batch.images, dtype=np.float32, precision=precision)
    parameters = {"weight": precision.operand(weights["fc4/weight"]), "bias": weights["fc4/bias"]}
    layer, x = network.layers[-1], found["drop3"]
    assert not np.array_equal(precision.operand(x), x)
    assert np.allclose(found["fc4"], operators.forward(layer, precision.operand(x), parameters), rtol=1e-6, atol=1e-7)
