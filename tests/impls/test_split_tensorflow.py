"""TensorFlow on several devices: against one device and against float64; processes that follow come and go.

The checks run in a process of their own, this file as a program: `python tests/impls/test_split_tensorflow.py`.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from impls.protocol import Arrays, Batch, Framework, Implementation, Phase, Settings, Unsupported, UpdateRule
from impls.spec import Dropout
from impls.split import Split

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ON_TWO: tuple[Split, ...] = ("model", "data", "hybrid")
CASES = (*(Settings(tuning="tuned", devices=2, split=split) for split in ON_TWO),)
LONG = (  # in the thorough session
    *(Settings(tuning="stock", devices=2, split=split) for split in ON_TWO),
    *(Settings(devices=4, split=split) for split in ON_TWO[1:]),
)
RULES = tuple(UpdateRule(rate, 0.9, 0.05) for rate in (0.1, 0.1, 0.01))

pytestmark = pytest.mark.needs("tensorflow")


def weights() -> Arrays:
    return {name: draw(shape, 20 + i, 0.4) for i, (name, shape) in enumerate(parameter_shapes(TOWERS).items())}


def batch(seed: int, count: int = 8) -> Batch:
    rows = [row for row in facts(TOWERS) if isinstance(row.layer, Dropout)]
    masks = {row.layer.name: draw_mask((count, *row.input_shape), 0.4, seed + i) for i, row in enumerate(rows)}
    labels = np.random.default_rng(seed).integers(0, TOWERS.classes, count)
    return Batch(draw((count, TOWERS.height, TOWERS.width, TOWERS.channels), seed), labels, masks)


STEPS = tuple(zip((batch(80), batch(90), batch(100)), RULES, strict=True))


@functools.cache
def framework() -> Framework:
    found: Framework = registry.load(registry.reference("tensorflow"))
    return found


@functools.cache
def built(settings: Settings) -> Implementation:
    """One for all checks that leave the weights as they are, since a graph is traced once for each."""
    return framework().build(TOWERS, weights(), settings)


@functools.cache
def one_device(tuning: str) -> dict[str, Any]:
    """What the same framework computes on one device: loss, gradients, losses of `STEPS` and weights after them."""
    model = framework().build(TOWERS, weights(), Settings(tuning=tuning))  # type: ignore[arg-type]
    loss, gradients = model.gradients(batch(60))
    losses = list(model.train(STEPS))
    return {"loss": loss, "gradients": gradients, "losses": losses, "weights": model.weights()}


@functools.cache
def exact() -> dict[str, Any]:
    """The same in float64, and after every step the loss before it, velocity and weights."""
    w = wide(weights())
    first = oracle.gradients(TOWERS, w, batch(60))
    v = {name: np.zeros_like(array) for name, array in w.items()}
    after = []
    for given, rule in STEPS:
        found = oracle.gradients(TOWERS, w, given)
        for name, gradient in found.gradients.items():
            decayed = np.asarray(gradient) + rule.weight_decay * w[name]
            v[name] = rule.momentum * v[name] - rule.learning_rate * decayed
        w = {name: array + v[name] for name, array in w.items()}
        after.append((found.loss, dict(v), w))
    return {"loss": first.loss, "gradients": first.gradients, "after": after}


def near(found: Mapping[str, NDArray[Any]], expected: Mapping[str, Any], tolerance: float = 3e-6) -> None:
    """Every array is there, in order, float32, and within the tolerance of the other's largest element."""
    assert list(found) == list(expected), (list(found), list(expected))
    for name, value in expected.items():
        array = np.asarray(value)
        assert found[name].dtype == np.float32 and found[name].shape == array.shape, (name, found[name].shape)
        error = np.abs(found[name] - array).max() / np.abs(array).max()
        assert error < tolerance, (name, error)


def activations_are_the_whole_networks(settings: Settings) -> None:
    given = batch(50)
    for masks in (None, given.masks):
        found = built(settings).activations(given.images, masks)
        near(found, oracle.forward(TOWERS, wide(weights()), given.images, masks))


def gradients_are_the_whole_batchs(settings: Settings) -> None:
    loss, gradients = built(settings).gradients(batch(60))
    alone = one_device(settings.tuning)
    assert abs(loss - exact()["loss"]) < 3e-6 and abs(loss - alone["loss"]) < 3e-6
    near(gradients, exact()["gradients"])
    near(gradients, alone["gradients"])


def training_keeps_step_with_one_device(settings: Settings) -> None:
    model, alone = framework().build(TOWERS, weights(), settings), one_device(settings.tuning)
    near(model.weights(), weights(), 1e-12)
    losses = []
    for (exact_loss, _, exact_weights), loss in zip(exact()["after"], model.train(STEPS), strict=True):
        assert abs(loss - exact_loss) < 5e-6
        near(model.weights(), exact_weights, 5e-6)
        losses.append(loss)
    np.testing.assert_allclose(losses, alone["losses"], rtol=3e-6)
    near(model.weights(), alone["weights"])


def loops_are_the_same_computation(settings: Settings) -> None:
    given = batch(60)
    logits = oracle.forward(TOWERS, wide(weights()), given.images)[TOWERS.logits]
    near(looped(built(settings), "forward", [given]), {"logits": logits})
    both = [step for step, _ in STEPS[:2]]  # at the first rate
    _, (exact_loss, v, w), _ = exact()["after"]
    moved = looped(framework().build(TOWERS, weights(), settings), "train-step", both)
    names = [*(f"velocity/{name}" for name in v), *(f"weights/{name}" for name in w)]
    near(moved, {"loss": np.asarray([exact_loss]), **dict(zip(names, [*v.values(), *w.values()], strict=True))}, 5e-6)


def looped(model: Implementation, phase: Phase, batches: list[Batch]) -> Arrays:
    loop = model.loop(phase, RULES[0])
    for i, given in enumerate(batches):
        loop.load(given)
        if i == 0:
            loop.compile()
        loop.step()
    loop.wait()
    return loop.result()


def training_breaks_off_and_goes_on(settings: Settings) -> None:
    if settings.tuning == "tuned" or (settings.devices, settings.split) == (4, "data"):
        return  # seven traces of what the other cases show
    split_training_is_one_devices(
        lambda given: framework().build(TOWERS, given, settings),
        TOWERS,
        weights(),
        STEPS,
        by_batch=settings.split != "model",
        same_bits=settings.split != "hybrid",  # whose last bit has been seen to differ from build to build
    )


def masks_not_given_are_drawn_anew(settings: Settings) -> None:
    """Each step; given ones are used, by the same program; a device's own part of drawn ones is not another's."""
    given = batch(60)
    loop: Any = built(settings).loop("forward-backward", RULES[0])
    losses = set()
    for _ in range(3):
        loop.load(given._replace(masks={}))
        loop.step()
        losses.add(float(loop.result()["loss"][0]))
    assert len(losses) == 3, f"the same masks at every step: {losses}"
    loop.load(given)
    loop.step()
    gradients = {f"gradient/{name}": value for name, value in exact()["gradients"].items()}
    near(loop.result(), {"loss": np.asarray([exact()["loss"]]), **gradients})
    assert loop._program.experimental_get_tracing_count() == 1
    for stage in loop._net.dropouts:
        masks = [mask[stage.layer.name].numpy() for mask in loop._draw(64)]
        assert set(np.unique(masks)) == {0.0, 1.0}
        assert abs(np.mean(masks) - (1 - stage.layer.rate)) < 0.1, (stage.layer.name, np.mean(masks))
        assert not np.array_equal(masks[0], masks[1]), f"{stage.layer.name}: the same mask on two devices"


def work_lies_on_its_device(settings: Settings) -> None:
    """Every product, forward and backward, and as many of them on each device."""
    model: Any = built(settings)
    model.gradients(batch(60))
    (traced,) = model._loss_and_gradients._list_all_concrete_functions()
    products = [op for op in traced.graph.get_operations() if op.type.startswith(("Conv2D", "MatMul", "LRN"))]
    counts = {name: sum(op.device.endswith(name) for op in products) for name in model._net.devices.names}
    assert len(set(counts.values())) == 1 and sum(counts.values()) == len(products) > 0, (counts, len(products))


def reduced_precision_stays_near(settings: Settings) -> None:
    if settings.devices > 2 or settings.tuning == "tuned":  # it takes long, and the operators have tests of their own
        return
    alone = one_device(settings.tuning)["gradients"]
    for precision, tolerance in (("bfloat16", 0.1), ("float16", 0.02)):
        chosen = Settings(settings.tuning, precision, "cpu", settings.devices, settings.split)  # type: ignore[arg-type]
        _, gradients = framework().build(TOWERS, weights(), chosen).gradients(batch(60))
        for name, gradient in alone.items():
            error = np.linalg.norm(gradients[name] - gradient) / np.linalg.norm(gradient)
            assert 0 < error < tolerance, (precision, name, error)


def what_cannot_be_is_said(settings: Settings) -> None:
    given = batch(50)
    with pytest.raises(ValueError, match="no mask for dropout layer 'drop4'"):
        built(settings).gradients(given._replace(masks={"drop3": given.masks["drop3"]}))
    if settings.split != "model":
        with pytest.raises(ValueError, match="batch of 7 images cannot be shared"):
            built(settings).activations(given.images[:7])
    with pytest.raises(ValueError, match="'conv1/bias' is missing"):
        framework().build(TOWERS, {"conv1/weight": weights()["conv1/weight"]}, settings)
    there = os.environ["ALEXBENCH_TF_CPU_DEVICES"]
    for wrong, words in (
        (Settings(device="cuda", devices=77, split="data"), "77 GPU devices asked for, TensorFlow .* found 0"),
        (Settings(devices=8, split="data"), f"8 CPU devices asked for, TensorFlow .* found {there} "),
        (Settings(device="cuda:1", devices=2, split="data"), "device 'cuda:1' is one"),
        (Settings(precision="tf32", devices=2, split="data"), "NVIDIA GPU"),
    ):
        with pytest.raises(Unsupported, match=words):
            framework().build(TOWERS, weights(), wrong)


def a_strange_cluster_is_refused(settings: Settings) -> None:
    def asked(words: str, do: Callable[[], object], **config: Any) -> None:
        os.environ["TF_CONFIG"] = config.get("text", json.dumps(config))
        try:
            with pytest.raises(Unsupported, match=words):
                do()
        finally:
            del os.environ["TF_CONFIG"]

    def build() -> object:
        return framework().build(TOWERS, weights(), settings)

    addresses = ["localhost:1", "localhost:2"]
    asked("TF_CONFIG cannot be read", build, text="{")
    asked("can follow only, and chief 0 builds", build, **tf_config(addresses, 0, chief="localhost:3"))
    asked("nobody to follow", framework().follow, **tf_config(addresses, 0))
    asked("chief and workers do", build, **tf_config(addresses, 0, ps="localhost:3"))
    with pytest.raises(Unsupported, match="nobody to follow"):
        framework().follow()


CHECKS = (
    activations_are_the_whole_networks,
    gradients_are_the_whole_batchs,
    training_keeps_step_with_one_device,
    loops_are_the_same_computation,
    training_breaks_off_and_goes_on,
    masks_not_given_are_drawn_anew,
    work_lies_on_its_device,
    reduced_precision_stays_near,
    what_cannot_be_is_said,
    a_strange_cluster_is_refused,
)


def case_name(settings: Settings) -> str:
    return f"{settings.split}-{settings.devices}-{settings.tuning}"


def main() -> None:
    """Every check in every case; a failure is a line, not an exit."""
    for settings in LONG if "long" in sys.argv else CASES:
        for check in CHECKS:
            error = None
            try:
                check(settings)
            except Exception:
                error = traceback.format_exc()
            print(json.dumps({"check": check.__name__, "case": case_name(settings), "error": error}), flush=True)
        built.cache_clear()


def environment(settings: Settings, **more: str) -> dict[str, str]:
    asked = registry.environment("tensorflow", settings)
    own = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    path = os.pathsep.join([str(ROOT), str(HERE)])
    return {**own, **asked, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", **more}


@functools.cache
def outcomes(*which: str) -> dict[tuple[str, str], str | None]:
    """(check, case) -> None where it held, else the traceback; one process for all of them."""
    most = max(LONG if which else CASES, key=lambda settings: settings.devices)
    command = [sys.executable, str(Path(__file__)), *which]
    done = subprocess.run(command, env=environment(most), capture_output=True, text=True, timeout=900)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"check"')]
    assert done.returncode == 0, done.stderr[-4000:]
    return {(line["check"], line["case"]): line["error"] for line in lines}


@pytest.mark.parametrize("case", [case_name(settings) for settings in CASES])
@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_several_devices_are_one_network(check: str, case: str) -> None:
    error = outcomes()[check, case]
    assert error is None, error


@pytest.mark.thorough
@pytest.mark.parametrize("case", [case_name(settings) for settings in LONG])
@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_more_devices_and_tunings_are_one_network(check: str, case: str) -> None:
    error = outcomes("long")[check, case]
    assert error is None, error


# A leading process in the tests below: the loss of every split, then that of the last one line by line.
LEADER = """
    import os, sys
    from test_split_tensorflow import *
    tuning, devices, *splits = sys.argv[1:]
    asked = [Settings(tuning, devices=int(devices), split=split) for split in splits]
    models = [framework().build(TOWERS, weights(), settings) for settings in asked]
    for model in models:
        loss, gradients = model.gradients(batch(60, 12))
        near(gradients, oracle.gradients(TOWERS, wide(weights()), batch(60, 12)).gradients)
        list(model.train([(batch(60, 12), RULES[0])]))
        loop = model.loop("train-step", RULES[0])
        loop.load(batch(60, 12)._replace(masks={}))
        loop.compile()
        loop.step()
        loop.wait()
        assert loop.result()["loss"] > 0
        print("loss", loss, flush=True)
    for line in sys.stdin:
        try:
            print("loss", model.gradients(batch(60, 12))[0], flush=True)
        except Exception as error:
            print(type(error).__name__, flush=True)
    os._exit(0)
"""
FOLLOWER = """
    import os
    from impls import registry
    registry.load(registry.reference("tensorflow")).follow()
    print("ended", flush=True)
    os._exit(0)
"""


def tf_config(workers: list[str], index: int, **others: str) -> dict[str, Any]:
    cluster = {"worker": workers, **{job: [address] for job, address in others.items()}}
    return {"cluster": cluster, "task": {"type": "worker", "index": index}}


def free_addresses(count: int) -> list[str]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return found


@contextmanager
def running(program: str, place: dict[str, Any], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One process of a run, ended whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env=environment(Settings(), TF_CONFIG=json.dumps(place)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None and process.stderr is not None
    found = process.stdout.readline()
    assert found, process.stderr.read()[-3000:]
    return found.strip()


def tell(process: subprocess.Popen[str], what: str) -> None:
    assert process.stdin is not None
    process.stdin.write(what + "\n")
    process.stdin.flush()


def the_loss() -> Any:
    return pytest.approx(oracle.gradients(TOWERS, wide(weights()), batch(60, 12)).loss, rel=1e-5)


def test_a_run_spans_processes_until_the_leading_one_ends() -> None:
    addresses = free_addresses(2)
    with (
        running(FOLLOWER, tf_config(addresses, 1)) as follower,
        running(LEADER, tf_config(addresses, 0), "tuned", "2", *ON_TWO) as leader,
    ):
        for _ in ON_TWO:
            assert float(line_of(leader).split()[1]) == the_loss()
        assert follower.poll() is None
        assert psutil.Process(follower.pid).cpu_times().user > 0 and not psutil.Process(leader.pid).children()
        assert leader.stdin is not None
        leader.stdin.close()
        assert leader.wait(30) == 0
        leader.stdin = None  # communicate() would flush it
        assert line_of(follower) == "ended"
        assert follower.wait(30) == 0


@pytest.mark.thorough
def test_who_is_killed_ends_the_run_for_the_others() -> None:
    """A follower: the leading process says so. The leading process: the other follower ends by itself."""
    addresses = free_addresses(3)
    with (
        running(FOLLOWER, tf_config(addresses, 1)) as lost,
        running(FOLLOWER, tf_config(addresses, 2)) as follower,
        running(LEADER, tf_config(addresses, 0), "stock", "3", "data") as leader,
    ):
        assert float(line_of(leader).split()[1]) == the_loss()
        lost.kill()
        lost.wait(30)
        began = time.monotonic()
        tell(leader, "again")
        assert line_of(leader) == "UnavailableError"
        assert time.monotonic() - began < 60
        assert follower.poll() is None
        leader.kill()
        assert line_of(follower) == "ended"
        assert follower.wait(30) == 0


if __name__ == "__main__":
    main()
