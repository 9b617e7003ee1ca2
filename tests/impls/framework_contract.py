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
from numpy.typing import NDArray
from plain_formulas import cross_entropy, forward

from impls import registry
from impls.derive import facts, layer_facts, parameter_shapes
from impls.protocol import TUNINGS, Arrays, Batch, Framework, PrecisionName, Settings, Tuning, Unsupported, UpdateRule
from impls.spec import (
    LRN,
    Conv,
    Dense,
    Dropout,
    DropoutScaling,
    Layer,
    MaxPool,
    Network,
    Padding,
    ReLU,
    SpatialNorm,
    Tanh,
)

Check = Callable[[Framework, Tuning], None]
CASES: tuple[tuple[Layer, tuple[int, ...]], ...] = (
    (Conv(name="strided", kernels=6, size=3, stride=2, padding=Padding(bottom=1, right=2)), (2, 7, 8, 3)),
    (Conv(name="grouped", kernels=8, size=3, padding=Padding.same(1), groups=2), (3, 5, 6, 4)),
    (Conv(name="grouped-odd", kernels=6, size=2, stride=2, padding=Padding(1, 0, 0, 3), groups=3), (2, 5, 4, 9)),
    (Dense(name="flat", units=5), (3, 7)),
    (Dense(name="from-map", units=4), (2, 3, 5, 6)),
    (ReLU(name="relu"), (2, 3, 4, 5)),
    (Tanh(name="tanh"), (2, 6)),
    (LRN(name="lrn", size=5, alpha=0.3, beta=0.75, k=2.0), (2, 3, 4, 11)),
    (LRN(name="lrn-towers", size=5, alpha=0.3, beta=0.6, k=1.0, groups=2), (2, 3, 4, 8)),
    (LRN(name="lrn-narrow", size=5, alpha=0.5, beta=0.75, k=1.0), (1, 2, 3, 3)),
    (SpatialNorm(name="spatial", size=5, alpha=0.2, beta=0.75, k=1.0), (2, 7, 6, 3)),
    (SpatialNorm(name="spatial-small", size=5, alpha=0.2, beta=0.5, k=2.0), (2, 1, 3, 4)),
    (MaxPool(name="pool", size=3, stride=2), (2, 7, 9, 3)),
    (MaxPool(name="pool-ceil", size=3, stride=2, padding=Padding(bottom=1, right=1)), (2, 6, 8, 3)),
    (MaxPool(name="pool-wide", size=3, stride=2, padding=Padding(1, 2, 0, 1)), (2, 5, 4, 3)),
    (Dropout(name="drop", rate=0.4), (3, 7)),
    (Dropout(name="drop-inverted", rate=0.25, scaling=DropoutScaling.IN_TRAINING), (2, 3, 4, 5)),
)
ODD = Network(
    name="odd",
    summary="every kind of layer in an order of its own",
    source="this test",
    height=13,
    width=15,
    channels=2,
    classes=4,
    layers=(
        SpatialNorm(name="scale0", size=3, alpha=0.1, beta=0.75, k=1.0),
        Conv(name="conv1", kernels=8, size=3, stride=2, padding=Padding(bottom=1, right=2)),
        LRN(name="norm1", size=5, alpha=0.1, beta=0.75, k=2.0, groups=2),
        MaxPool(name="pool1", size=3, stride=1, padding=Padding(0, 1, 1, 0)),
        ReLU(name="relu1"),
        Conv(name="conv2", kernels=6, size=2, groups=2),
        Tanh(name="tanh2"),
        LRN(name="norm2", size=3, alpha=0.2, beta=0.6, k=1.0),
        Dropout(name="drop3", rate=0.25, scaling=DropoutScaling.IN_TRAINING),
        Dense(name="fc3", units=9),
        ReLU(name="relu3"),
        Dropout(name="drop4", rate=0.5),
        Dense(name="fc4", units=4),
    ),
)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A float32 array nobody can write to."""
    result = np.array(array, dtype=np.float32)
    result.flags.writeable = False
    return result


def draw(shape: tuple[int, ...], seed: int, scale: float = 1.0) -> NDArray[Any]:
    """Gaussian, float32, read-only."""
    return frozen(np.random.default_rng(seed).normal(size=shape) * scale)


def draw_mask(shape: tuple[int, ...], rate: float, seed: int) -> NDArray[Any]:
    """1 keeps a unit, 0 drops it."""
    return frozen(np.random.default_rng(seed).random(shape) >= rate)


def wide(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """The same in float64."""
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def case_inputs(layer: Layer, shape: tuple[int, ...]) -> tuple[NDArray[Any], Arrays, NDArray[Any] | None]:
    """An input, the layer's parameters and, for dropout, a mask."""
    shapes = layer_facts(layer, shape[1:]).parameters
    parameters = {name.rpartition("/")[2]: draw(sides, seed) for seed, (name, sides) in enumerate(shapes.items())}
    mask = draw_mask(shape, layer.rate, 5) if isinstance(layer, Dropout) else None
    return draw(shape, 7), parameters, mask


def odd_weights() -> Arrays:
    """Weights of `ODD` that keep its activations near 1."""
    return {name: draw(shape, 20 + i, 0.4) for i, (name, shape) in enumerate(parameter_shapes(ODD).items())}


def odd_batch(seed: int, count: int = 3) -> Batch:
    """Images, labels and dropout masks for `ODD`."""
    masks = {
        row.layer.name: draw_mask((count, *row.input_shape), row.layer.rate, seed + i)
        for i, row in enumerate(facts(ODD))
        if isinstance(row.layer, Dropout)
    }
    labels = np.random.default_rng(seed).integers(0, ODD.classes, count)
    return Batch(draw((count, ODD.height, ODD.width, ODD.channels), seed), labels, masks)


def plain_activations(weights: Arrays, images: NDArray[Any], masks: Arrays | None) -> dict[str, NDArray[Any]]:
    """`ODD` by the plain formulas."""
    x, found = images.astype(np.float64), {}
    for row in facts(ODD):
        own = {name.rpartition("/")[2]: weights[name] for name in row.parameters}
        x = found[row.layer.name] = forward(row.layer, x, own, (masks or {}).get(row.layer.name))
    return found


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
    given = {name: np.array(array) for name, array in odd_weights().items()}
    model = framework.build(ODD, given, Settings(tuning=tuning))
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
