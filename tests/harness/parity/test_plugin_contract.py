"""What `impls.protocol` asks of a full framework, of any plug-in: here of the one in NumPy beside this file.

A plug-in of your own runs through the same tests with ALEXBENCH_PLUGIN=./mine.py:FRAMEWORK (or module:attribute).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.parity.bench import Bench
from harness.parity.cases import operator_cases
from harness.parity.miniature import MINIATURE
from impls import registry
from impls.oracle import network
from impls.oracle.rounding import PRECISIONS
from impls.protocol import Framework, Implementation, Settings, Unsupported, UpdateRule

Array = NDArray[Any]
SETTINGS = [Settings(tuning="stock"), Settings(tuning="tuned")]


@pytest.fixture(scope="module")
def framework(plugin: str) -> Framework:
    return registry.load(os.environ.get("ALEXBENCH_PLUGIN", plugin))


@pytest.fixture(params=SETTINGS, ids=lambda settings: settings.tuning)
def implementation(framework: Framework, request: pytest.FixtureRequest, arrays: dict[str, Array]) -> Implementation:
    return framework.build(MINIATURE, {name: frozen(value) for name, value in arrays.items()}, request.param)


def frozen(array: Array) -> Array:
    """A copy nobody can write to."""
    made = np.array(array)
    made.flags.writeable = False
    return made


def test_it_has_a_name_and_describes_itself_in_strings(framework: Framework) -> None:
    assert isinstance(framework.name, str) and framework.name
    facts = framework.describe("cpu")
    assert {"version", "device"} <= set(facts)
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in facts.items())


def test_a_device_that_is_not_there_is_unsupported(framework: Framework) -> None:
    with pytest.raises(Unsupported, match="abacus"):
        framework.describe("abacus")
    for make in (framework.operators, lambda settings: framework.build(MINIATURE, {}, settings)):
        with pytest.raises(Unsupported, match="abacus"):
            make(Settings(device="abacus"))


def test_a_precision_is_computed_or_unsupported(framework: Framework) -> None:
    for precision in PRECISIONS:
        try:
            framework.operators(Settings(precision=precision))
        except Unsupported as reason:
            assert precision in str(reason)
        else:
            continue
    framework.operators(Settings())  # float32 is always there


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.tuning)
def test_operators_return_float32_in_the_shapes_of_what_they_got(framework: Framework, settings: Settings) -> None:
    operators = framework.operators(settings)
    for case in operator_cases(PRECISIONS["float32"], 0):
        parameters = {name: frozen(value) for name, value in case.parameters.items()}
        mask = None if case.mask is None else frozen(case.mask)
        y = operators.forward(case.layer, frozen(case.x), parameters, mask)
        assert isinstance(y, np.ndarray) and y.dtype == np.float32, case.name
        if case.dy is None:
            continue
        assert y.shape == case.dy.shape, case.name
        result = operators.vjp(case.layer, frozen(case.x), parameters, frozen(case.dy), mask)
        assert result.dx.shape == case.x.shape and result.dx.dtype == np.float32, case.name
        assert set(result.dparameters) == set(parameters), case.name
        for name, value in result.dparameters.items():
            assert value.shape == parameters[name].shape and value.dtype == np.float32, (case.name, name)


def test_an_output_is_no_view_of_the_input(framework: Framework) -> None:
    operators = framework.operators(Settings())
    for case in operator_cases(PRECISIONS["float32"], 0):
        y = operators.forward(case.layer, case.x, case.parameters, case.mask)
        assert not np.shares_memory(y, case.x), case.name


def test_cross_entropy_returns_a_number_and_a_gradient_that_sums_to_nothing(framework: Framework) -> None:
    logits, labels = frozen(np.random.default_rng(0).normal(0, 3, (4, 7)).astype(np.float32)), np.array([0, 6, 3, 3])
    loss, gradient = framework.operators(Settings()).cross_entropy(logits, labels)
    assert isinstance(float(loss), float) and loss > 0
    assert gradient.shape == (4, 7) and gradient.dtype == np.float32
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-6)
    assert np.all(gradient[np.arange(4), labels] < 0)


def test_activations_are_every_layers_in_order(bench: Bench, implementation: Implementation) -> None:
    images = frozen(bench.batch.images)
    for masks in (None, {name: frozen(mask) for name, mask in bench.batch.masks.items()}):
        found = implementation.activations(images, masks)
        assert list(found) == [layer.name for layer in MINIATURE.layers]
        wanted = bench.gradient.result.activations
        for name, value in found.items():
            assert value.shape == wanted[name].shape and value.dtype == np.float32, name


def test_masks_make_the_difference_between_training_and_test(bench: Bench, implementation: Implementation) -> None:
    tested = implementation.activations(bench.batch.images)
    trained = implementation.activations(bench.batch.images, bench.batch.masks)
    np.testing.assert_array_equal(tested["relu6"], trained["relu6"])
    assert np.all(trained["drop6"][bench.batch.masks["drop6"] == 0] == 0)
    assert not np.array_equal(tested["drop6"], trained["drop6"])
    np.testing.assert_array_equal(tested["drop7"], tested["relu7"])


def test_gradients_are_those_of_every_tensor(
    bench: Bench, implementation: Implementation, arrays: dict[str, Array]
) -> None:
    loss, gradients = implementation.gradients(bench.batch)
    assert float(loss) == pytest.approx(bench.gradient.result.loss, rel=1e-4)
    assert set(gradients) == set(arrays)
    for name, value in gradients.items():
        assert value.shape == arrays[name].shape and value.dtype == np.float32, name


def test_the_weights_come_back_as_they_went_in_and_are_the_implementations_own(
    implementation: Implementation, arrays: dict[str, Array]
) -> None:
    found = implementation.weights()
    assert list(found) == list(arrays)
    for name, value in found.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, arrays[name])


def test_a_training_step_is_done_when_its_loss_is_there(
    bench: Bench, implementation: Implementation, arrays: dict[str, Array]
) -> None:
    steps = [(batch, UpdateRule(3e-4)) for batch, _ in bench.steps[:2]]
    trajectory = implementation.train(steps)
    before = {name: np.array(value) for name, value in implementation.weights().items()}
    for name, value in before.items():
        np.testing.assert_array_equal(value, arrays[name], "training began before it was asked for a step")
    first = next(trajectory)
    after = {name: np.array(value) for name, value in implementation.weights().items()}
    assert float(first) == pytest.approx(network.gradients(bench.network, arrays, steps[0][0]).loss, rel=1e-4)
    assert all(not np.array_equal(after[name], before[name]) for name in before)
    assert len(list(trajectory)) == 1
    assert all(not np.array_equal(implementation.weights()[name], after[name]) for name in before)
