"""What every framework must do, checked in a process of its own: `python tests/impls/framework_contract.py torch`.

One JSON line per check and tuning on standard output: {"check", "tuning", "error"}, error null where it holds. Arrays
go in read-only, so that an implementation which writes to its caller's memory fails everywhere.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from contract_inputs import CASES, ODD, aligned, case_inputs, draw, odd_batch, odd_weights, plain_activations, wide
from loop_contract import LOOP_CHECKS
from numpy.typing import NDArray
from plain_formulas import cross_entropy, forward
from training_contract import TRAINING_CHECKS

from impls import registry
from impls.protocol import TUNINGS, Arrays, Framework, PrecisionName, Settings, Tuning, Unsupported, UpdateRule
from impls.spec import Layer, MaxPool, ReLU

Check = Callable[[Framework, Tuning], None]


def operators_agree_with_their_formulas(framework: Framework, tuning: Tuning) -> None:
    """Forward, with and without a mask."""
    operators = framework.operators(Settings(tuning=tuning))
    for layer, shape in CASES:
        x, parameters, mask = case_inputs(layer, shape)
        for given in (None, mask) if mask is not None else (None,):
            y = operators.forward(layer, x, parameters, given)
            assert y.dtype == np.float32, (layer.name, y.dtype)
            expected = forward(layer, x.astype(np.float64), wide(parameters), given)
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-6, err_msg=layer.name)


def vjps_agree_with_finite_differences(framework: Framework, tuning: Tuning) -> None:
    """<dy, f(x + h d) - f(x - h d)> / 2h = <vjp, d> along random directions d of the input and each parameter."""
    operators = framework.operators(Settings(tuning=tuning))
    for layer, shape in CASES:
        x, parameters, mask = case_inputs(layer, shape)
        dy = draw(forward(layer, x, parameters, mask).shape, 11)
        vjp = operators.vjp(layer, x, parameters, dy, mask)
        assert set(vjp.dparameters) == set(parameters), layer.name
        inputs = {"x": x, **parameters}
        for name, gradient in {"x": vjp.dx, **vjp.dparameters}.items():
            assert gradient.dtype == np.float32 and gradient.shape == inputs[name].shape, (layer.name, name)
            for seed in (13, 17):
                slope = _slope(layer, inputs, mask, dy, name, seed)
                found = float((gradient.astype(np.float64) * draw(gradient.shape, seed)).sum())
                assert abs(slope - found) < 1e-4 * max(1.0, abs(slope)), (layer.name, name, slope, found)


def _slope(layer: Layer, inputs: Arrays, mask: Any, dy: NDArray[Any], name: str, seed: int) -> float:
    h, ends = 1e-6, []
    for sign in (1, -1):
        moved = wide(inputs)
        moved[name] += sign * h * draw(moved[name].shape, seed)
        x = moved.pop("x")
        ends.append(float((forward(layer, x, moved, mask) * dy).sum()))
    return (ends[0] - ends[1]) / (2 * h)


def kinks_follow_the_conventions(framework: Framework, tuning: Tuning) -> None:
    """ReLU'(0) = 0; of equal maxima the first in row-major order gets the whole gradient."""
    operators = framework.operators(Settings(tuning=tuning))
    zeros = np.zeros((2, 3, 3, 4), np.float32)
    assert not operators.vjp(ReLU(name="relu"), zeros, {}, np.ones_like(zeros)).dx.any(), "ReLU'(0) is not 0"
    pool = MaxPool(name="pool", size=3, stride=2)
    dx = operators.vjp(pool, zeros, {}, np.ones((2, 1, 1, 4), np.float32)).dx
    expected = np.zeros_like(zeros)
    expected[:, 0, 0] = 1
    np.testing.assert_array_equal(dx, expected, "ties do not go to the first maximum")


def cross_entropy_agrees_with_its_formula(framework: Framework, tuning: Tuning) -> None:
    """Value, and gradient (softmax - one-hot) / N; large logits do not overflow."""
    operators = framework.operators(Settings(tuning=tuning))
    logits, labels = draw((5, 7), 3, 40.0), np.array([0, 6, 3, 3, 1])
    loss, gradient = operators.cross_entropy(logits, labels)
    assert abs(loss - cross_entropy(logits.astype(np.float64), labels)) < 1e-5 * loss
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    expected = (powers / powers.sum(axis=1, keepdims=True) - np.eye(7)[labels]) / 5
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def activations_cover_every_layer(framework: Framework, tuning: Tuning) -> None:
    """Keys, order, shapes and values, at test time and with masks."""
    weights, batch = odd_weights(), odd_batch(50)
    model = framework.build(ODD, weights, Settings(tuning=tuning))
    for masks in (None, batch.masks):
        found = model.activations(batch.images, masks)
        expected = plain_activations(weights, batch.images, masks)
        assert list(found) == list(expected), list(found)
        for name, y in found.items():
            assert y.dtype == np.float32, (name, y.dtype)
            np.testing.assert_allclose(y, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def gradients_agree_with_finite_differences(framework: Framework, tuning: Tuning) -> None:
    """Loss, and every canonical tensor's gradient along a random direction."""
    weights, batch = odd_weights(), odd_batch(60)
    loss, gradients = framework.build(ODD, weights, Settings(tuning=tuning)).gradients(batch)

    def plain_loss(name: str, step: float) -> float:
        moved = wide(weights)
        moved[name] += step * draw(moved[name].shape, 70)
        return cross_entropy(plain_activations(moved, batch.images, batch.masks)[ODD.logits], batch.labels)

    assert abs(loss - plain_loss("fc4/bias", 0.0)) < 1e-5
    assert list(gradients) == list(weights), list(gradients)
    for name, gradient in gradients.items():
        assert gradient.dtype == np.float32 and gradient.shape == weights[name].shape, name
        slope = (plain_loss(name, 1e-6) - plain_loss(name, -1e-6)) / 2e-6
        found = float((gradient * draw(gradient.shape, 70)).sum())
        assert abs(slope - found) < 1e-4 * max(0.1, abs(slope)), (name, slope, found)


def training_is_the_papers_update(framework: Framework, tuning: Tuning) -> None:
    """Three steps with a drop of the rate equal NumPy's update from the framework's own gradients."""
    settings = Settings(tuning=tuning)
    for decay_biases in (True, False):
        rules = [UpdateRule(rate, 0.9, 0.05, decay_biases) for rate in (0.1, 0.1, 0.01)]
        steps = [(odd_batch(80 + 10 * i), rule) for i, rule in enumerate(rules)]
        model = framework.build(ODD, odd_weights(), settings)
        losses = list(model.train(steps))
        w = wide(odd_weights())
        v = {name: np.zeros_like(array) for name, array in w.items()}
        for (batch, rule), seen in zip(steps, losses, strict=True):
            loss, gradients = framework.build(ODD, {n: a.astype(np.float32) for n, a in w.items()}, settings).gradients(
                batch
            )
            assert abs(loss - seen) < 1e-4, (loss, seen)
            for name in w:
                decay = rule.weight_decay if decay_biases or name.endswith("weight") else 0.0
                v[name] = rule.momentum * v[name] - rule.learning_rate * (gradients[name] + decay * w[name])
                w[name] = w[name] + v[name]
        for name, found in model.weights().items():
            np.testing.assert_allclose(found, w[name], rtol=1e-4, atol=2e-6, err_msg=name)


def weights_are_a_copy_of_its_own(framework: Framework, tuning: Tuning) -> None:
    """Out as they went in; neither training nor a caller's write reaches the other's arrays."""
    given = {name: aligned(array) for name, array in odd_weights().items()}
    model = framework.build(ODD, given, Settings(tuning=tuning))
    for name, array in given.items():
        array[...] = 0
        np.testing.assert_array_equal(model.weights()[name], odd_weights()[name], "it shares the caller's weights")
        array[...] = odd_weights()[name]
    before = model.weights()
    list(model.train([(odd_batch(90), UpdateRule(0.1))]))
    after = model.weights()
    assert list(before) == list(given)
    for name, array in odd_weights().items():
        np.testing.assert_array_equal(given[name], array, "training wrote to the caller's weights")
        np.testing.assert_array_equal(before[name], array, "weights changed on the way in and out")
        assert not np.array_equal(after[name], array), f"training left {name} as it was"


def reduced_precision_is_near_or_refused(framework: Framework, tuning: Tuning) -> None:
    """bfloat16 and float16 on the CPU stay near float32 but do not equal it, or raise Unsupported."""
    precisions: tuple[tuple[PrecisionName, float], ...] = (("bfloat16", 0.1), ("float16", 0.02))
    exact = _one_step(framework, Settings(tuning=tuning))
    for precision, tolerance in precisions:
        settings = Settings(tuning=tuning, precision=precision)
        try:
            moved = _one_step(framework, settings)
        except Unsupported as reason:
            assert precision in str(reason), reason
            continue
        for name, change in moved.items():
            error = np.linalg.norm(change - exact[name]) / np.linalg.norm(exact[name])
            assert 0 < error < tolerance, (precision, name, error)
        operators = framework.operators(settings)
        for layer, shape in CASES[1::3]:
            x, parameters, mask = case_inputs(layer, shape)
            y, expected = operators.forward(layer, x, parameters, mask), forward(layer, x, parameters, mask)
            assert operators.vjp(layer, x, parameters, y, mask).dx.dtype == np.float32
            assert np.linalg.norm(y - expected) < tolerance * np.linalg.norm(expected), (precision, layer.name)


def _one_step(framework: Framework, settings: Settings) -> Arrays:
    """By how much one step without decay moves each tensor: the gradient in float32, times a constant."""
    model = framework.build(ODD, odd_weights(), settings)
    before = model.weights()
    list(model.train([(odd_batch(60), UpdateRule(1.0, weight_decay=0.0))]))
    return {name: after - before[name] for name, after in model.weights().items()}


def what_is_missing_is_unsupported(framework: Framework, tuning: Tuning) -> None:
    """tf32 on the CPU and absent devices raise Unsupported with a reason."""
    for settings, words in (
        (Settings(tuning=tuning, precision="tf32"), "NVIDIA GPU"),
        (Settings(tuning=tuning, device="cuda:77"), "cuda:77"),
        (Settings(tuning=tuning, device="abacus"), "abacus"),
    ):
        try:
            framework.operators(settings)
        except Unsupported as reason:
            assert words in str(reason), reason
        else:
            raise AssertionError(f"{settings} was accepted")


def it_describes_itself(framework: Framework, tuning: Tuning) -> None:
    """At least a version and the device, all strings."""
    found = framework.describe("cpu")
    assert {"version", "device"} <= set(found) and all(isinstance(value, str) for value in found.values()), found


CHECKS: tuple[Check, ...] = (
    operators_agree_with_their_formulas,
    vjps_agree_with_finite_differences,
    kinks_follow_the_conventions,
    cross_entropy_agrees_with_its_formula,
    activations_cover_every_layer,
    gradients_agree_with_finite_differences,
    training_is_the_papers_update,
    weights_are_a_copy_of_its_own,
    reduced_precision_is_near_or_refused,
    what_is_missing_is_unsupported,
    it_describes_itself,
    *LOOP_CHECKS,
    *TRAINING_CHECKS,
)


def main(name: str) -> None:
    """Run every check for both tunings; a failure is a line, not an exit."""
    framework = registry.load(registry.reference(name))
    for tuning in TUNINGS:
        for check in CHECKS:
            error = None
            try:
                check(framework, tuning)
            except Exception:
                error = traceback.format_exc()
            print(json.dumps({"check": check.__name__, "tuning": tuning, "error": error}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
