"""Predicted rounding errors against the errors that are really made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from impls.oracle import network as oracle
from impls.oracle.propagation import deviations
from impls.oracle.rounding import PRECISIONS
from impls.protocol import Batch
from impls.spec import Dense, Network, ReLU

Weights = dict[str, NDArray[Any]]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", PRECISIONS)
def test_errors_lie_within_eight_deviations_that_are_not_loose(
    network: Network, weights: Weights, batch: Batch, name: str, training: bool
) -> None:
    precision, masks = PRECISIONS[name], batch.masks if training else None
    for seed in range(3):
        images = np.random.default_rng(seed).standard_normal(batch.images.shape).astype(np.float32)
        exact = oracle.forward(network, weights, images, masks)
        sigma = deviations(network, weights, images, exact, precision, masks)
        made = oracle.forward(network, weights, images, masks, dtype=np.float32, precision=precision)
        assert sigma.keys() == exact.keys()
        for layer, error in ((layer, np.abs(made[layer] - exact[layer])) for layer in exact):
            assert sigma[layer].shape == error.shape
            assert (error <= 8 * sigma[layer]).all(), layer
            assert np.sqrt((sigma[layer].astype(float) ** 2).mean()) < 30 * np.sqrt((error**2).mean()), layer


def test_sequential_sums_with_large_results_lie_within_six_deviations() -> None:
    """All partial sums are large where the result is: there the plain K / 6 is too small."""
    random, length = np.random.default_rng(0), 2000
    network = Network(
        name="sum", summary="", source="tests", height=1, width=1, channels=length, classes=50,
        layers=(Dense(name="d", units=50),),
    )  # fmt: skip
    weight = np.abs(random.standard_normal((length, 50))).astype(np.float32)
    images = np.abs(random.standard_normal((6, 1, 1, length))).astype(np.float32)
    weights = {"d/weight": weight, "d/bias": np.zeros(50, np.float32)}
    exact = oracle.forward(network, weights, images)
    sigma = deviations(network, weights, images, exact, PRECISIONS["float32"])["d"]
    terms = images.reshape(6, length, 1) * weight
    error = np.abs(np.add.accumulate(terms, axis=1, dtype=np.float32)[:, -1] - exact["d"])
    assert (error <= 6 * sigma).all()


def test_a_relu_far_below_zero_passes_no_error() -> None:
    network = Network(
        name="two", summary="", source="tests", height=1, width=1, channels=1, classes=2,
        layers=(Dense(name="d", units=2), ReLU(name="r")),
    )  # fmt: skip
    weights = {"d/weight": np.array([[1.0, -1.0]], np.float32), "d/bias": np.zeros(2, np.float32)}
    images = np.full((1, 1, 1, 1), 0.3, np.float32)
    exact = oracle.forward(network, weights, images)
    sigma = deviations(network, weights, images, exact, PRECISIONS["float32"])["r"]
    assert sigma[0, 0] > 0 and sigma[0, 1] == 0


def test_magnitudes_whose_squares_leave_float32_are_carried_in_float64(
    network: Network, weights: Weights, batch: Batch
) -> None:
    plain = oracle.forward(network, weights, batch.images)
    assert deviations(network, weights, batch.images, plain, PRECISIONS["float32"])["fc4"].dtype == np.float32
    images = batch.images * np.float32(1e25)
    exact = oracle.forward(network, weights, images)
    sigma = deviations(network, weights, images, exact, PRECISIONS["float32"])
    assert sigma["conv1"].dtype == np.float64
    assert all(np.isfinite(value).all() for value in sigma.values())
    assert sigma["conv1"].max() > 1e15
