"""JAX on several devices: against one device and against float64; its processes come, follow and go.

The checks run in a process of their own, this file as a program: `python tests/impls/test_split_jax.py`.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from contract_inputs import draw, draw_mask, wide
from numpy.typing import NDArray
from resumption import split_training_is_one_devices
from test_split_plan import TOWERS

from impls import registry
from impls.derive import facts, parameter_shapes
from impls.oracle import network as oracle
from impls.oracle import sgd
from impls.protocol import (
    Arrays,
    Batch,
    Framework,
    Implementation,
    Phase,
    PrecisionName,
    Settings,
    Unsupported,
    UpdateRule,
)
from impls.spec import Dense, Dropout, Network, Tanh
from impls.split import Split
from impls.with_jax.tuning import environment as environment_of

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ON: tuple[Split, ...] = ("model", "data", "hybrid")
CASES = (*(Settings(tuning="tuned", devices=2, split=split) for split in ON),)
LONG = (  # in the thorough session
    *(Settings(tuning="stock", devices=2, split=split) for split in ON),
    *(Settings(tuning="tuned", devices=4, split=split) for split in ("data", "hybrid")),
)
RULES = tuple(UpdateRule(rate, 0.9, 0.05, decay) for rate, decay in ((0.1, True), (0.1, False), (0.01, True)))
REDUCED: tuple[tuple[PrecisionName, float], ...] = (("bfloat16", 0.1), ("float16", 0.02))
DROPPING = Network(
    name="dropping",
    summary="no unit of fc1 is zero unless it was dropped",
    source="this test",
    height=2,
    width=3,
    channels=1,
    classes=4,
    layers=(
        Dense(name="fc1", units=400),
        Tanh(name="tanh1"),
        Dropout(name="drop1", rate=0.3),
        Dense(name="fc2", units=4),
    ),
)

pytestmark = pytest.mark.needs("jax")

Build = Callable[[], Implementation]
Check = Callable[[Build, Settings], None]


def framework() -> Framework:
    found: Framework = registry.load(registry.reference("jax"))
    return found


def weights(network: Network = TOWERS) -> Arrays:
    return {name: draw(shape, 20 + i, 0.4) for i, (name, shape) in enumerate(parameter_shapes(network).items())}


def batch(seed: int, count: int = 8) -> Batch:
    dropouts = [(row, row.layer.rate) for row in facts(TOWERS) if isinstance(row.layer, Dropout)]
    masks = {
        row.layer.name: draw_mask((count, *row.input_shape), rate, seed + i) for i, (row, rate) in enumerate(dropouts)
    }
    labels = np.random.default_rng(seed).integers(0, TOWERS.classes, count)
    return Batch(draw((count, TOWERS.height, TOWERS.width, TOWERS.channels), seed), labels, masks)


STEPS = tuple(zip((batch(80), batch(90), batch(100)), RULES, strict=True))


@functools.cache
def exact(count: int) -> sgd.TrainResult:
    """So many of `STEPS` in float64."""
    return sgd.train(TOWERS, wide(weights()), STEPS[:count])


@functools.cache
def exact_gradients() -> oracle.GradientResult:
    return oracle.gradients(TOWERS, wide(weights()), batch(60))


@functools.cache
def one_device(tuning: Any) -> tuple[tuple[float, Arrays], list[float], Arrays]:
    """What the same framework makes of the batch and of the steps on one device."""
    settings = Settings(tuning=tuning)
    trained = framework().build(TOWERS, weights(), settings)
    losses = list(trained.train(STEPS))
    return framework().build(TOWERS, weights(), settings).gradients(batch(60)), losses, trained.weights()


def near(found: Mapping[str, NDArray[Any]], expected: Mapping[str, Any], tolerance: float = 2e-6) -> None:
    """Every array is there, in order, float32, and within the tolerance of the other's largest element."""
    assert list(found) == list(expected), (list(found), list(expected))
    for name, value in expected.items():
        array = np.asarray(value)
        assert found[name].dtype == np.float32 and found[name].shape == array.shape, (name, found[name].shape)
        error = np.abs(found[name] - array).max() / np.abs(array).max()
        assert error <= tolerance, (name, error)


def activations_are_the_whole_networks(build: Build, settings: Settings) -> None:
    model, given = build(), batch(50)
    alone = framework().build(TOWERS, weights(), Settings(tuning=settings.tuning))
    for masks in (None, given.masks):
        found = model.activations(given.images, masks)
        near(found, oracle.forward(TOWERS, wide(weights()), given.images, masks))
        near(found, alone.activations(given.images, masks))


def gradients_are_the_whole_batchs(build: Build, settings: Settings) -> None:
    loss, gradients = build().gradients(batch(60))
    loss_alone, gradients_alone = one_device(settings.tuning)[0]
    np.testing.assert_allclose([loss, loss], [exact_gradients().loss, loss_alone], rtol=2e-6)
    near(gradients, exact_gradients().gradients)
    near(gradients, gradients_alone)


def training_keeps_step_with_one_device(build: Build, settings: Settings) -> None:
    model = build()
    near(model.weights(), weights(), 0)
    losses = []
    for loss in model.train(STEPS):
        losses.append(loss)
        near(model.weights(), exact(len(losses)).weights)
    _, losses_alone, weights_alone = one_device(settings.tuning)
    np.testing.assert_allclose(losses, exact(3).losses, rtol=2e-6)
    np.testing.assert_allclose(losses, losses_alone, rtol=2e-6)
    near(model.weights(), {name: weights_alone[name] for name in weights()})
    near(model.activations(batch(60).images), oracle.forward(TOWERS, exact(3).weights, batch(60).images), 5e-6)


def loops_are_the_same_computation(build: Build, settings: Settings) -> None:
    given, model = batch(60), build()
    loss, gradients = model.gradients(given)
    logits = model.activations(given.images)[TOWERS.logits]
    near(looped(build(), "forward", given), {"logits": logits}, 1e-6)
    expected = {"loss": np.array([loss]), **{f"gradient/{name}": value for name, value in gradients.items()}}
    near(looped(build(), "forward-backward", given), expected, 1e-6)
    loop = build().loop("train-step", RULES[0])
    for first, (step, _) in zip((True, False), STEPS[:2], strict=True):
        loop.load(step)
        if first:
            loop.compile()
        loop.step()
    loop.wait()
    trained = sgd.train(TOWERS, wide(weights()), [(step, RULES[0]) for step, _ in STEPS[:2]])
    moved = {f"weights/{name}": value for name, value in trained.weights.items()}
    moved |= {f"velocity/{name}": value for name, value in trained.velocity.items()}
    near(loop.result(), {"loss": np.array([trained.losses[1]]), **moved})


def looped(model: Implementation, phase: Phase, given: Batch) -> Arrays:
    loop = model.loop(phase, RULES[0])
    loop.load(given)
    loop.step()
    loop.wait()
    return loop.result()


def training_breaks_off_and_goes_on(build: Build, settings: Settings) -> None:
    split_training_is_one_devices(
        lambda given: framework().build(TOWERS, given, settings),
        TOWERS,
        weights(),
        STEPS,
        by_batch=settings.split != "model",
    )


def masks_not_given_are_drawn_anew(build: Build, settings: Settings) -> None:
    """At each step, and on each device its own: a row of fc2's gradient is zero where every image dropped the unit."""
    count, rate = settings.devices, 0.3
    images = np.repeat(draw((1, 2, 3, 1), 7), count, axis=0)
    loop = framework().build(DROPPING, weights(DROPPING), settings).loop("forward-backward", RULES[0])
    loop.load(Batch(images, np.zeros(count, np.int64), {}))
    loop.compile()
    dropped = []
    for _ in range(3):
        loop.step()
        dropped.append(~loop.result()["gradient/fc2/weight"].any(axis=1))
    for found in dropped:
        assert 0.2 < found.mean() / rate**count < 2.5, (found.mean(), rate**count)
    assert (dropped[0] != dropped[1]).any() and (dropped[1] != dropped[2]).any(), "the same masks at every step"
    if settings.split == "hybrid":
        halves = np.stack(np.split(np.stack(dropped), settings.devices, axis=1))
        assert (halves[0] != halves[1]).any(), "the same masks on every device"


def given_and_drawn_masks_share_one_program(build: Build, settings: Settings) -> None:
    """A batch with its masks, then without, then with them again: drawn ones are other ones, given ones are used."""
    loop, losses = build().loop("forward-backward", RULES[0]), []
    for masks in (batch(60).masks, {}, batch(60).masks):
        loop.load(batch(60)._replace(masks=masks))
        if not losses:
            loop.compile()  # runs for one set of shapes: a second program could not be called
        loop.step()
        losses.append(float(loop.result()["loss"][0]))
    assert losses[0] == losses[2] != losses[1]


def reduced_precision_stays_near(build: Build, settings: Settings) -> None:
    precision, tolerance = REDUCED[settings.split == "data"]
    loss, gradients = framework().build(TOWERS, weights(), replace(settings, precision=precision)).gradients(batch(60))
    assert abs(loss - exact_gradients().loss) < tolerance
    for name, value in exact_gradients().gradients.items():
        expected = np.asarray(value)
        error = np.linalg.norm(gradients[name] - expected) / np.linalg.norm(expected)
        assert 0 < error < tolerance, (precision, name, error)


def what_cannot_be_is_said_in_one_line(build: Build, settings: Settings) -> None:
    model, given = build(), batch(50)
    unmasked = given._replace(masks={"drop3": given.masks["drop3"]})
    refuses(ValueError, "no mask for dropout layer 'drop4'", lambda: model.gradients(unmasked))
    if settings.split != "model":
        expected = f"7 images cannot be shared equally by {settings.devices} devices"
        refuses(ValueError, expected, lambda: model.activations(given.images[:7]))
    for impossible, expected in (
        (Settings(devices=8, split="data"), r"8 devices 'cpu' are not there: JAX \S+ found 4: .*"),
        (Settings(devices=4, split="model"), "they cannot be 4 towers"),
        (Settings(devices=1, split="data"), "a split needs two devices"),
        (Settings(devices=2, split="data", device="cuda"), "device 'cuda' is not there"),
        (Settings(devices=2, split="data", precision="tf32"), "NVIDIA GPU"),
    ):
        refuses(Unsupported, expected, functools.partial(framework().build, TOWERS, weights(), impossible))
    some = {"conv1/weight": weights()["conv1/weight"]}
    refuses(ValueError, "'conv1/bias' is missing", lambda: framework().build(TOWERS, some, settings))


def refuses(kind: type[Exception], words: str, what: Callable[[], object]) -> None:
    with pytest.raises(kind, match=words) as found:
        what()
    assert "\n" not in str(found.value)


def inputs_and_weights_are_copies(build: Build, settings: Settings) -> None:
    own = {name: np.array(array) for name, array in weights().items()}
    model = framework().build(TOWERS, own, settings)
    for array in own.values():
        array[...] = 0
    near(model.weights(), weights(), 0)
    images = np.array(batch(60).images)
    loop = model.loop("train-step", RULES[0])
    loop.load(batch(60)._replace(images=images))
    images[...] = 0
    loop.step()
    first = loop.result()
    kept = {name: np.array(array) for name, array in first.items()}
    loop.step()
    loop.wait()
    assert abs(first["loss"][0] - exact_gradients().loss) < 1e-5
    near(first, kept, 0)


SAME: tuple[Check, ...] = (
    activations_are_the_whole_networks,
    gradients_are_the_whole_batchs,
    training_keeps_step_with_one_device,
    loops_are_the_same_computation,
)
STOCK: tuple[Check, ...] = (*SAME, training_breaks_off_and_goes_on)
MORE: tuple[Check, ...] = (
    given_and_drawn_masks_share_one_program,
    reduced_precision_stays_near,
    what_cannot_be_is_said_in_one_line,
    inputs_and_weights_are_copies,
)
ON_FOUR: tuple[Check, ...] = (
    gradients_are_the_whole_batchs,
    masks_not_given_are_drawn_anew,
    training_breaks_off_and_goes_on,
)


def checks(cases: Sequence[Settings]) -> list[tuple[Settings, Check]]:
    """What is checked of each case."""
    return [
        (settings, check)
        for settings in cases
        for check in (ON_FOUR if settings.devices == 4 else STOCK if settings.tuning == "stock" else SAME + MORE)
    ]


def case_name(settings: Settings) -> str:
    return f"{settings.split}-{settings.devices}-{settings.tuning}"


def main() -> None:
    """Every check in every case; a failure is a line, not an exit."""
    for settings, check in checks(LONG if "long" in sys.argv else CASES):
        error = None
        try:
            check(functools.partial(framework().build, TOWERS, weights(), settings), settings)
        except Exception:
            error = traceback.format_exc()
        print(json.dumps({"check": check.__name__, "case": case_name(settings), "error": error}), flush=True)


def environment(devices: int, **more: str) -> dict[str, str]:
    """Ours, with what several emulated devices need."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), "JAX_PLATFORMS": "cpu"}
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # compiling takes most of the time, and the exchanges are the same
    return {**own, **environment_of(Settings(devices=devices, split="data")), **path, **quick, **more}


@functools.cache
def outcomes(*which: str) -> tuple[dict[tuple[str, str], str | None], str]:
    """(check, case) -> None where it held, else the traceback; and how the process that runs them all ended."""
    command = [sys.executable, str(Path(__file__)), *which]
    with subprocess.Popen(
        command, env=environment(4), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, err = process.communicate(timeout=400)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
    lines = [json.loads(line) for line in out.splitlines() if line.startswith('{"check"')]
    ended = f"ended with {process.returncode}\n{err[-4000:]}"
    return {(line["check"], line["case"]): line["error"] for line in lines}, ended


def names(cases: Sequence[Settings]) -> list[tuple[str, str]]:
    return [(check.__name__, case_name(settings)) for settings, check in checks(cases)]


@pytest.mark.parametrize(("check", "case"), names(CASES))
def test_several_devices_are_one_network(check: str, case: str) -> None:
    holds_for(check, case, *outcomes())


@pytest.mark.thorough
@pytest.mark.parametrize(("check", "case"), names(LONG))
def test_more_devices_and_tunings_are_one_network(check: str, case: str) -> None:
    holds_for(check, case, *outcomes("long"))


def holds_for(check: str, case: str, found: Mapping[tuple[str, str], str | None], ended: str) -> None:
    error = found.get((check, case), f"not come to: the process {ended}")
    assert error is None, error


# What a leading process does in the tests below, as it is told line by line.
LEADER = """
    import sys
    from test_split_jax import RULES, STEPS, TOWERS, Settings, batch, framework, json, looped, weights
    made = framework()
    made.describe()
    def answer(split):
        model = made.build(TOWERS, weights(), Settings(devices=2, split=split))
        loss, gradients = model.gradients(batch(60))
        logits = model.activations(batch(60).images)[TOWERS.logits]
        losses = list(model.train(STEPS))
        loop = model.loop("train-step", RULES[0])
        loop.load(batch(60)._replace(masks={}))
        loop.compile()
        for _ in range(3):
            loop.step()
        loop.wait()
        return {"loss": loss, "logits": float(abs(logits).sum()), "losses": losses,
                "gradients": {name: float(abs(value).sum()) for name, value in gradients.items()},
                "last": float(loop.result()["loss"][0])}
    for line in sys.stdin:
        if line.strip() == "end":
            break
        try:
            print(json.dumps(answer(line.strip())), flush=True)
        except Exception as error:
            print(type(error).__name__, str(error), flush=True)
"""
FOLLOWER = """
    from test_split_jax import framework
    framework().follow()
    print("ended", flush=True)
"""


@contextmanager
def running(program: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A process, ended whatever happens."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, env=environment(1, **more), text=True, **pipes)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


@contextmanager
def two_processes() -> Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str]]]:
    """A leading process and one that follows it, as on two machines."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    names = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": "2"}
    with (
        running(FOLLOWER, **names, JAX_PROCESS_ID="1") as follower,
        running(LEADER, **names, JAX_PROCESS_ID="0") as leader,
    ):
        yield leader, follower


def ask(process: subprocess.Popen[str], what: str) -> str:
    """Its answer: one line, frameworks' own left out."""
    tell(process, what)
    assert process.stdout is not None and process.stderr is not None
    while (found := process.stdout.readline()).startswith("[Gloo]"):
        pass
    assert found, process.stderr.read()[-3000:]
    return found.strip()


def tell(process: subprocess.Popen[str], what: str) -> None:
    assert process.stdin is not None
    process.stdin.write(what + "\n")
    process.stdin.flush()


def holds(answer: dict[str, Any]) -> None:
    """What the two processes computed is float64's."""
    given = exact_gradients()
    assert answer["loss"] == pytest.approx(given.loss, rel=2e-6)
    logits = oracle.forward(TOWERS, wide(weights()), batch(60).images)[TOWERS.logits]
    assert answer["logits"] == pytest.approx(np.abs(logits).sum(), rel=2e-6)
    assert answer["losses"] == pytest.approx(exact(3).losses, rel=2e-6)
    sums = {name: np.abs(np.asarray(value)).sum() for name, value in given.gradients.items()}
    assert answer["gradients"] == pytest.approx(sums, rel=5e-6)
    assert answer["last"] != pytest.approx(exact(3).losses[-1], rel=1e-3) and np.isfinite(answer["last"])


def test_two_processes_are_one_network_and_end_together() -> None:
    with two_processes() as (leader, follower):
        for split in ("model", "hybrid"):
            holds(json.loads(ask(leader, split)))
        assert follower.poll() is None
        tell(leader, "end")
        assert leader.wait(30) == 0
        assert follower.wait(30) == 0
        assert follower.stdout is not None
        assert follower.stdout.read().splitlines()[-1] == "ended"


@pytest.mark.thorough
def test_a_process_that_follows_ends_when_the_leading_one_is_killed() -> None:
    with two_processes() as (leader, follower):
        holds(json.loads(ask(leader, "hybrid")))
        leader.kill()
        assert follower.wait(30) == 0
        assert follower.stdout is not None
        assert follower.stdout.read().splitlines()[-1] == "ended"


def test_a_leading_process_whose_follower_dies_gets_an_error() -> None:
    with two_processes() as (leader, follower):
        holds(json.loads(ask(leader, "data")))
        (serving,) = psutil.Process(follower.pid).children()
        follower.kill()
        serving.wait(10)  # it ends with the process that started it
        for _ in range(2):  # and it stays so
            began = time.monotonic()
            assert ask(leader, "data").startswith("DeviceLost")
            assert time.monotonic() - began < 20


def test_nobody_follows_where_nobody_leads() -> None:
    with running(FOLLOWER) as follower:
        assert follower.stderr is not None
        assert "nobody to follow" in follower.stderr.read()


def test_the_environment_emulates_devices_and_keeps_one_device_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
    assert environment_of(Settings(devices=4, split="data"))["JAX_NUM_CPU_DEVICES"] == "4"
    assert "JAX_NUM_CPU_DEVICES" not in environment_of(Settings(devices=4, split="data", device="cuda"))
    assert not {"JAX_NUM_CPU_DEVICES", "JAX_COORDINATOR_ADDRESS"} & set(environment_of(Settings()))
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "10.0.0.1:1234")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    assert environment_of(Settings(devices=4, split="data"))["JAX_NUM_CPU_DEVICES"] == "2"
    assert environment_of(Settings())["JAX_COORDINATOR_ADDRESS"] == ""


if __name__ == "__main__":
    main()
