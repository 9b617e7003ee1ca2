"""What every framework's training loops must do; run by framework_contract.py in its process."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract_inputs import ODD, aligned, odd_batch, odd_weights, wide
from resumption import goes_on_as_if_unbroken, near, state_of

from impls.oracle import sgd
from impls.protocol import Framework, Settings, TrainingLoop, Tuning, UpdateRule

FROZEN = ("conv1/weight", "conv1/bias")
FACTORS = ((FROZEN[0], 0.0), (FROZEN[1], 0.0), ("fc3/bias", 2.0), ("conv2/weight", 0.25))
RULES = (
    UpdateRule(0.1, 0.9, 0.05),
    UpdateRule(0.1, 0.8, 0.02, decay_biases=False),
    UpdateRule(0.02, 0.9, 0.05, factors=FACTORS),
    UpdateRule(0.01, 0.9, 0.05, decay_biases=False, factors=FACTORS),
)
STEPS = tuple((odd_batch(200 + 10 * i, 6), rule) for i, rule in enumerate(RULES))


def begun(framework: Framework, tuning: Tuning, rule: UpdateRule = RULES[0]) -> Any:
    """A training loop from the canonical weights, compiled for six images, nothing done yet."""
    loop = framework.build(ODD, odd_weights(), Settings(tuning=tuning)).loop("train-step", rule)
    loop.load(odd_batch(0, 6))
    loop.compile()
    return loop


def rules_may_change_from_step_to_step(framework: Framework, tuning: Tuning) -> None:
    """Factors, rates, momentum and decay: loss, velocity and weights are float64's after every step."""
    loop = begun(framework, tuning)
    for count, (batch, rule) in enumerate(STEPS, 1):
        loop.set_rule(rule)
        loop.load(batch)
        loop.step()
        exact = sgd.train(ODD, wide(odd_weights()), STEPS[:count])
        assert abs(loop.loss() - exact.losses[-1]) < 5e-6 * exact.losses[-1]
        weights, velocity = state_of(loop)
        assert list(weights) == list(velocity) == list(odd_weights()), "not in the order of the layers"
        for name in weights:
            near(weights[name], exact.weights[name], name)
            near(velocity[name], exact.velocity[name], name)


def steps_in_a_list_follow_their_rules_too(framework: Framework, tuning: Tuning) -> None:
    """`train`, with factors: losses and weights are float64's."""
    model = framework.build(ODD, odd_weights(), Settings(tuning=tuning))
    losses = list(model.train(STEPS))
    exact = sgd.train(ODD, wide(odd_weights()), STEPS)
    np.testing.assert_allclose(losses, exact.losses, rtol=5e-6)
    assert list(model.weights()) == list(odd_weights()), "not in the order of the layers"
    for name, found in model.weights().items():
        near(found, exact.weights[name], name)


def a_frozen_layer_stays_to_the_last_bit(framework: Framework, tuning: Tuning) -> None:
    """From zero velocity, in all steps; the others move."""
    loop = begun(framework, tuning, RULES[2])
    for batch, _ in STEPS:
        loop.load(batch)
        loop.step()
    weights, velocity = state_of(loop)
    for name, start in odd_weights().items():
        assert np.array_equal(weights[name], start) == (name in FROZEN), name
        assert velocity[name].any() == (name not in FROZEN), name


def another_rule_compiles_nothing(framework: Framework, tuning: Tuning) -> None:
    """Nor does another batch: after the first step the count of what was compiled or traced stands still."""
    loop = begun(framework, tuning)
    count = compilations(framework, loop)
    loop.step()
    before = count()
    for batch, rule in STEPS:
        loop.set_rule(rule)
        loop.load(batch)
        loop.step()
        loop.wait()
    assert count() == before, (before, count())


def compilations(framework: Framework, loop: Any) -> Callable[[], int]:
    """How many programs the framework has compiled, by its own count."""
    if framework.name == "torch":
        counters = importlib.import_module("torch._dynamo.utils").counters
        return lambda: int(counters["stats"]["unique_graphs"])
    if framework.name == "tensorflow":
        return lambda: int(loop._program.experimental_get_tracing_count())
    return lambda: len(_compiled_by_jax())


@functools.cache
def _compiled_by_jax() -> list[str]:
    found: list[str] = []
    monitoring = importlib.import_module("jax").monitoring
    monitoring.register_event_duration_secs_listener(
        lambda event, _, **__: found.append(event) if "backend_compile" in event else None
    )
    return found


def a_run_that_broke_off_goes_on_as_if_unbroken(framework: Framework, tuning: Tuning) -> None:
    """To the last bit, from weights and velocity, whether or not it is compiled before the first step."""
    settings = Settings(tuning=tuning)
    goes_on_as_if_unbroken(lambda weights: framework.build(ODD, weights, settings), odd_weights(), STEPS, (1, 2))


def logits_are_of_the_present_weights(framework: Framework, tuning: Tuning) -> None:
    """Of any number of images, before the first step and between steps, whose bits they leave as they are."""
    quiet, asked = begun(framework, tuning), begun(framework, tuning)
    for index, (batch, rule) in enumerate(STEPS):
        weights = odd_weights() if index == 0 else state_of(asked)[0]
        expected = framework.build(ODD, weights, Settings(tuning=tuning)).activations(batch.images)[ODD.logits]
        for count in (6, 2, 6):
            found = asked.logits(batch.images[:count])
            assert found.dtype == np.float32 and found.shape == (count, ODD.classes)
            np.testing.assert_allclose(found, expected[:count], rtol=2e-4, atol=2e-6)
        kept = found.copy()
        for loop in (quiet, asked):
            loop.set_rule(rule)
            loop.load(batch)
            loop.step()
        assert np.array_equal(found, kept), "a later step wrote to the logits handed out"
    for one, other in zip(state_of(quiet), state_of(asked), strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], name)


def a_loaded_batch_is_the_loops_own(framework: Framework, tuning: Tuning) -> None:
    """What the caller writes to its arrays afterwards, aligned or not, reaches no step."""
    batch = odd_batch(0, 6)
    expected = begun(framework, tuning)
    expected.step()
    loop = begun(framework, tuning)
    images, labels = aligned(batch.images), np.array(batch.labels)
    masks = {name: aligned(mask) for name, mask in batch.masks.items()}
    loop.load(batch._replace(images=images, labels=labels, masks=masks))
    for array in (images, labels, *masks.values()):
        array[...] = 0
    loop.step()
    assert loop.loss() == expected.loss()


def a_velocity_that_does_not_fit_is_refused(framework: Framework, tuning: Tuning) -> None:
    """A missing and a misshapen tensor, in one line that names it; the loop stays usable."""
    loop: TrainingLoop = begun(framework, tuning)
    fitting = odd_weights()
    short = {name: array for name, array in fitting.items() if name != "fc3/bias"}
    for given, words in (
        (short, r"velocity for 'odd': tensor 'fc3/bias' is missing, expected \(9,\)"),
        (short | {"fc3/bias": np.zeros(8, np.float32)}, r"tensor 'fc3/bias' is \(8,\), expected \(9,\)"),
    ):
        with pytest.raises(ValueError, match=words):
            loop.start_from(given)
    loop.step()
    assert loop.loss() > 0


TRAINING_CHECKS: tuple[Callable[[Framework, Tuning], None], ...] = (
    rules_may_change_from_step_to_step,
    steps_in_a_list_follow_their_rules_too,
    a_frozen_layer_stays_to_the_last_bit,
    another_rule_compiles_nothing,
    a_run_that_broke_off_goes_on_as_if_unbroken,
    logits_are_of_the_present_weights,
    a_loaded_batch_is_the_loops_own,
    a_velocity_that_does_not_fit_is_refused,
)
