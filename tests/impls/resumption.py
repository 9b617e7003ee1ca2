"""Training that breaks off and goes on: what the checks of one and of several devices share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from impls.oracle import network as oracle
from impls.oracle import sgd
from impls.protocol import Array, Arrays, Batch, Implementation, UpdateRule
from impls.spec import Network

Build = Callable[[Mapping[str, Array]], Implementation]
Steps = Sequence[tuple[Batch, UpdateRule]]


def state_of(loop: Any) -> tuple[Arrays, Arrays]:
    """Weights and velocity after the last step."""
    found = loop.result()
    return tuple(
        {name.removeprefix(kind): array for name, array in found.items() if name.startswith(kind)}
        for kind in ("weights/", "velocity/")
    )  # type: ignore[return-value]


def trained(loop: Any, steps: Steps) -> list[float]:
    """Each step's loss."""
    losses = []
    for batch, rule in steps:
        loop.set_rule(rule)
        loop.load(batch)
        loop.step()
        losses.append(loop.loss())
    return losses


def near(found: Array, expected: Any, name: str) -> None:
    """float32, and within float32's rounding of the largest element."""
    assert found.dtype == np.float32 and found.shape == expected.shape, (name, found.dtype, found.shape)
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error < 5e-6, (name, error)


def goes_on_as_if_unbroken(build: Build, weights: Mapping[str, Array], steps: Steps, breaks: Sequence[int]) -> None:
    """Losses, weights and velocity equal an unbroken run's to the last bit, broken off after so many steps."""
    whole = build(weights).loop("train-step", steps[0][1])
    whole.load(steps[0][0])
    whole.compile()
    losses = trained(whole, steps)
    assert len(set(losses)) == len(steps), "nothing was trained"
    for broken in breaks:
        first = build(weights).loop("train-step", steps[0][1])
        assert trained(first, steps[:broken]) == losses[:broken]
        present, velocity = state_of(first)
        second = build(present).loop("train-step", steps[broken][1])
        second.start_from(velocity)
        if broken % 2:
            second.load(steps[broken][0])
            second.compile()
        assert trained(second, steps[broken:]) == losses[broken:], f"broken off after step {broken}"
        for ours, theirs in zip(state_of(whole), state_of(second), strict=True):
            for name in ours:
                np.testing.assert_array_equal(ours[name], theirs[name], f"{name}, broken off after step {broken}")


def split_training_is_one_devices(
    build: Build,
    network: Network,
    weights: Mapping[str, Array],
    steps: Steps,
    *,
    by_batch: bool,
    same_bits: bool = True,
) -> None:
    """Over several devices: rules with factors, losses, logits and velocity against float64; then the same resumed.

    `by_batch`: the devices share a batch, so that its images must be a multiple of them. `same_bits`: what is resumed
    equals an unbroken run to the last bit, and not only within rounding.
    """
    frozen = network.layers[0].name
    factors = ((f"{frozen}/weight", 0.0), (f"{frozen}/bias", 0.0), (f"{network.logits}/bias", 2.0))
    changing = [
        (batch, replace(rule, factors=factors if index else (), decay_biases=index != 1))
        for index, (batch, rule) in enumerate(steps)
    ]
    loop: Any = build(weights).loop("train-step", changing[0][1])
    images = steps[0][0].images
    exact = sgd.train(network, {name: array.astype(np.float64) for name, array in weights.items()}, changing)
    near(loop.logits(images), oracle.forward(network, weights, images)[network.logits], "logits before")
    np.testing.assert_allclose(trained(loop, changing), exact.losses, rtol=5e-6)
    near(loop.logits(images), oracle.forward(network, exact.weights, images)[network.logits], "logits after")
    if by_batch:
        with pytest.raises(ValueError, match="batch of 7 images cannot be shared"):
            loop.logits(images[:7])
    for found, expected in zip(state_of(loop), (exact.weights, exact.velocity), strict=True):
        assert list(found) == list(weights), "not in the order of the layers"
        for name, array in found.items():
            near(array, expected[name], name)
    with pytest.raises(ValueError, match=r"velocity for .* is missing"):
        loop.start_from({})
    if same_bits:
        goes_on_as_if_unbroken(build, weights, changing, (len(steps) - 1,))
    else:
        goes_on_within_rounding(build, weights, changing, exact)


def goes_on_within_rounding(build: Build, weights: Mapping[str, Array], steps: Steps, exact: sgd.TrainResult) -> None:
    """Broken off before the last step: loss, weights and velocity are float64's."""
    first: Any = build(weights).loop("train-step", steps[0][1])
    trained(first, steps[:-1])
    present, velocity = state_of(first)
    second: Any = build(present).loop("train-step", steps[0][1])
    second.start_from(velocity)
    np.testing.assert_allclose(trained(second, steps[-1:]), exact.losses[-1:], rtol=5e-6)
    for found, expected in zip(state_of(second), (exact.weights, exact.velocity), strict=True):
        for name, array in found.items():
            near(array, expected[name], name)
