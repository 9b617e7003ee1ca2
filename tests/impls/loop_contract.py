"""What every framework's loops, single works and probes must do; run by framework_contract.py in its process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from contract_inputs import CASES, ODD, case_inputs, draw, odd_batch, odd_weights, wide

from impls import registry
from impls.derive import parameter_shapes
from impls.protocol import Arrays, Batch, Framework, Phase, Probe, Settings, Tuning, UpdateRule
from impls.spec import Dense, Dropout, Network, Tanh

RULE = UpdateRule(0.1, 0.9, 0.05)
DROPPING = Network(
    name="dropping",
    summary="no unit of fc1 is zero unless it was dropped",
    source="this test",
    height=2,
    width=3,
    channels=1,
    classes=4,
    layers=(
        Dense(name="fc1", units=40),
        Tanh(name="tanh1"),
        Dropout(name="drop1", rate=0.3),
        Dense(name="fc2", units=4),
    ),
)


def started(framework: Framework, tuning: Tuning, phase: Phase, batch: Batch, *, compiled: bool) -> Arrays:
    """The result of one step from the canonical weights."""
    loop = framework.build(ODD, odd_weights(), Settings(tuning=tuning)).loop(phase, RULE)
    loop.load(batch)
    if compiled:
        eager = framework.name == "torch" and tuning == "stock"
        assert loop.compile() is not eager, "what is compiled has a time, and nothing else"
    loop.step()
    loop.wait()
    return loop.result()


def close(found: Arrays, expected: Arrays, prefix: str = "") -> None:
    """Every expected tensor is there and near."""
    for name, value in expected.items():
        given = found[f"{prefix}{name}"]
        assert given.dtype == np.float32 and given.shape == value.shape, (name, given.dtype, given.shape)
        np.testing.assert_allclose(given, value, rtol=2e-4, atol=2e-6, err_msg=name)


def a_forward_loop_gives_the_logits(framework: Framework, tuning: Tuning) -> None:
    """As at test time, whatever masks the batch has."""
    batch = odd_batch(110, 6)
    expected = framework.build(ODD, odd_weights(), Settings(tuning=tuning)).activations(batch.images)[ODD.logits]
    for compiled in (True, False):
        found = started(framework, tuning, "forward", batch, compiled=compiled)
        assert set(found) == {"logits"}
        np.testing.assert_allclose(found["logits"], expected, rtol=2e-4, atol=2e-6)


def a_backward_loop_gives_the_gradients(framework: Framework, tuning: Tuning) -> None:
    """Loss and gradients of the loaded batch with its masks, with and without compiling beforehand."""
    batch = odd_batch(120, 6)
    loss, gradients = framework.build(ODD, odd_weights(), Settings(tuning=tuning)).gradients(batch)
    for compiled in (True, False):
        found = started(framework, tuning, "forward-backward", batch, compiled=compiled)
        assert set(found) == {"loss", *(f"gradient/{name}" for name in gradients)}
        close(found, gradients, "gradient/")
        np.testing.assert_allclose(found["loss"], [loss], rtol=1e-5)


def a_training_loop_takes_the_papers_steps(framework: Framework, tuning: Tuning) -> None:
    """Two steps on two batches: loss, velocity and weights are NumPy's from the framework's own gradients."""
    settings = Settings(tuning=tuning)
    loop = framework.build(ODD, odd_weights(), settings).loop("train-step", RULE)
    w = wide(odd_weights())
    v = {name: np.zeros_like(array) for name, array in w.items()}
    for index, batch in enumerate((odd_batch(130, 6), odd_batch(140, 6))):
        loop.load(batch)
        if index == 0:
            loop.compile()
        loop.step()
        loop.wait()
        narrow = {name: array.astype(np.float32) for name, array in w.items()}
        loss, gradients = framework.build(ODD, narrow, settings).gradients(batch)
        for name in w:
            v[name] = RULE.momentum * v[name] - RULE.learning_rate * (gradients[name] + RULE.weight_decay * w[name])
            w[name] = w[name] + v[name]
        found = loop.result()
        assert len(found) == 1 + 2 * len(w), list(found)
        np.testing.assert_allclose(found["loss"], [loss], rtol=1e-4)
        close(found, v, "velocity/")
        close(found, w, "weights/")


def biases_keep_out_of_decay_where_the_rule_says_so(framework: Framework, tuning: Tuning) -> None:
    """Nothing but the decay tells the two velocities apart."""
    weights, batch = odd_weights(), odd_batch(150, 6)
    velocities = []
    for decay_biases in (True, False):
        rule = UpdateRule(0.1, 0.9, 0.5, decay_biases)
        loop = framework.build(ODD, weights, Settings(tuning=tuning)).loop("train-step", rule)
        loop.load(batch)
        loop.step()
        loop.wait()
        velocities.append(loop.result())
    for name in weights:
        difference = velocities[1][f"velocity/{name}"] - velocities[0][f"velocity/{name}"]
        expected = 0.05 * weights[name] if name.endswith("bias") else np.zeros_like(weights[name])
        np.testing.assert_allclose(difference, expected, rtol=1e-3, atol=1e-6, err_msg=name)


def masks_are_drawn_afresh_every_step(framework: Framework, tuning: Tuning) -> None:
    """A batch without masks: the share of units dropped is the layer's rate, and no two steps drop the same."""
    weights = {name: draw(shape, i) for i, (name, shape) in enumerate(parameter_shapes(DROPPING).items())}
    loop = framework.build(DROPPING, weights, Settings(tuning=tuning)).loop("forward-backward", RULE)
    loop.load(Batch(draw((1, 2, 3, 1), 9), np.array([2]), {}))
    loop.compile()
    dropped = []
    for _ in range(25):
        loop.step()
        loop.wait()
        dropped.append(~loop.result()["gradient/fc2/weight"].any(axis=1))
    share = np.mean(dropped)
    assert 0.24 < share < 0.36, f"{share:.2f} of the units were dropped, the rate is 0.3"
    assert len({row.tobytes() for row in dropped}) > 20, "steps share their masks"


def steps_in_a_row_need_no_wait(framework: Framework, tuning: Tuning) -> None:
    """Ten steps without a wait between them train: the loss of the one batch falls."""
    batch = odd_batch(160, 6)
    loop = framework.build(ODD, odd_weights(), Settings(tuning=tuning)).loop("train-step", UpdateRule(0.05))
    loop.load(batch)
    loop.compile()
    losses = []
    for count in (1, 10):
        for _ in range(count):
            loop.step()
        loop.wait()
        losses.append(float(loop.result()["loss"][0]))
    assert losses[1] < 0.9 * losses[0], losses


def every_layer_and_probe_can_be_timed(framework: Framework, tuning: Tuning) -> None:
    """One layer at a time, forward and backward, and what shows the device's peak."""
    settings = Settings(tuning=tuning)
    for layer, shape in CASES:
        x, parameters, _ = case_inputs(layer, shape)
        for backward, of_input in ((False, True), (True, True), (True, False)):
            if not (parameters or of_input):
                continue  # nothing to differentiate by
            work = framework.layer_work(layer, x, parameters, settings, backward=backward, of_input=of_input)
            work.step()
            work.step()
            work.wait()
    for probe in (Probe("matmul", 64), Probe("convolution", 2), Probe("copy", 4096)):
        work = framework.probe(probe, settings)
        work.step()
        work.wait()
    assert framework.device_memory_mb(settings) is None, "on the CPU the process's own count tells"


def its_environment_is_text(framework: Framework, tuning: Tuning) -> None:
    """Names and values, for every kind of device."""
    for settings in (Settings(tuning=tuning), Settings(tuning=tuning, device="cuda"), Settings(tuning, devices=2)):
        found = registry.environment(framework.name, settings)
        assert all(isinstance(text, str) for pair in found.items() for text in pair), found


LOOP_CHECKS: tuple[Callable[[Framework, Tuning], None], ...] = (
    a_forward_loop_gives_the_logits,
    a_backward_loop_gives_the_gradients,
    a_training_loop_takes_the_papers_steps,
    biases_keep_out_of_decay_where_the_rule_says_so,
    masks_are_drawn_afresh_every_step,
    steps_in_a_row_need_no_wait,
    every_layer_and_probe_can_be_timed,
    its_environment_is_text,
)
