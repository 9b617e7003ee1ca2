"""PyTorch on several devices: against one device and against float64; its processes come, follow and go.

The checks run in a process of their own, this file as a program: `python tests/impls/test_split_torch.py`.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
from impls.protocol import Arrays, Batch, Framework, Implementation, Settings, Unsupported, UpdateRule
from impls.spec import Dropout
from impls.split import Split

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TWO: tuple[Split, ...] = ("model", "data", "hybrid")
CASES = (*(Settings(tuning="tuned", devices=2, split=split) for split in TWO),)
LONG = (  # in the thorough session
    *(Settings(tuning="stock", devices=2, split=split) for split in TWO),
    Settings(tuning="stock", devices=4, split="data"),
    Settings(tuning="tuned", devices=4, split="hybrid"),
)
LIMIT_S = 200.0  # for a process of these tests, whose own work takes seconds
RULES = tuple(UpdateRule(rate, 0.9, 0.05) for rate in (0.1, 0.1, 0.01))

pytestmark = pytest.mark.needs("torch")


def weights() -> Arrays:
    return {name: draw(shape, 20 + i, 0.4) for i, (name, shape) in enumerate(parameter_shapes(TOWERS).items())}


def batch(seed: int, count: int = 8) -> Batch:
    rows = [row for row in facts(TOWERS) if isinstance(row.layer, Dropout)]
    masks = {row.layer.name: draw_mask((count, *row.input_shape), 0.4, seed + i) for i, row in enumerate(rows)}
    labels = np.random.default_rng(seed).integers(0, TOWERS.classes, count)
    return Batch(draw((count, TOWERS.height, TOWERS.width, TOWERS.channels), seed), labels, masks)


STEPS = tuple(zip((batch(80), batch(90), batch(100)), RULES, strict=True))


@functools.cache
def exact_training() -> tuple[list[float], Arrays, Arrays]:
    """Losses, weights and velocity of `STEPS` in float64."""
    w = wide(weights())
    v = {name: np.zeros_like(array) for name, array in w.items()}
    losses = []
    for given, rule in STEPS:
        found = oracle.gradients(TOWERS, w, given)
        losses.append(found.loss)
        for name, gradient in found.gradients.items():
            decayed = np.asarray(gradient) + rule.weight_decay * w[name]
            v[name] = rule.momentum * v[name] - rule.learning_rate * decayed
            w[name] = w[name] + v[name]
    return losses, w, v


@functools.cache
def one_device(tuning: str) -> dict[str, Any]:
    """What the same framework computes on one device."""
    framework, settings = registry.load(registry.reference("torch")), Settings(tuning=tuning)  # type: ignore[arg-type]
    loss, gradients = framework.build(TOWERS, weights(), settings).gradients(batch(60))
    trained = framework.build(TOWERS, weights(), settings)
    losses = list(trained.train(STEPS))
    activations = trained.activations(batch(60).images, batch(60).masks)
    return {
        "loss": loss,
        "gradients": gradients,
        "losses": losses,
        "trained": trained.weights(),
        "activations": activations,
    }


def near(found: Mapping[str, NDArray[Any]], expected: Mapping[str, Any], tolerance: float = 2e-6) -> None:
    """Every array is there, in order, float32, and within the tolerance of the other's largest element."""
    assert list(found) == list(expected), (list(found), list(expected))
    for name, value in expected.items():
        array = np.asarray(value)
        assert found[name].dtype == np.float32 and found[name].shape == array.shape, (name, found[name].shape)
        error = np.abs(found[name] - array).max() / np.abs(array).max()
        assert error < tolerance, (name, error)


def activations_are_the_whole_networks(build: Callable[[], Implementation], settings: Settings) -> None:
    model, given = build(), batch(50)
    for masks in (None, given.masks):
        near(model.activations(given.images, masks), oracle.forward(TOWERS, wide(weights()), given.images, masks))


def gradients_are_the_whole_batchs(build: Callable[[], Implementation], settings: Settings) -> None:
    loss, gradients = build().gradients(batch(60))
    alone = one_device(settings.tuning)
    exact = oracle.gradients(TOWERS, wide(weights()), batch(60))
    assert abs(loss - exact.loss) < 2e-6 and abs(loss - alone["loss"]) < 2e-6
    near(gradients, exact.gradients)
    near(gradients, alone["gradients"])


def training_keeps_step_with_one_device(build: Callable[[], Implementation], settings: Settings) -> None:
    model, alone = build(), one_device(settings.tuning)
    near(model.weights(), weights(), 1e-12)
    losses = []
    for loss in model.train(STEPS):
        losses.append(loss)
        assert all(np.any(array != weights()[name]) for name, array in model.weights().items()), "not updated yet"
    exact_losses, exact_weights, _ = exact_training()
    np.testing.assert_allclose(losses, exact_losses, rtol=2e-6)
    np.testing.assert_allclose(losses, alone["losses"], rtol=2e-6)
    near(model.weights(), exact_weights)
    near(model.weights(), alone["trained"])
    near(model.activations(batch(60).images, batch(60).masks), alone["activations"], 1e-5)


def the_loop_is_the_same_computation(build: Callable[[], Implementation], settings: Settings) -> None:
    given, model = batch(60), build()
    loss, gradients = model.gradients(given)
    logits = model.activations(given.images)[TOWERS.logits]
    found = looped(model, "forward-backward", [given])
    near(found, {"loss": np.asarray([loss]), **{f"gradient/{name}": value for name, value in gradients.items()}}, 1e-6)
    near(looped(model, "forward", [given]), {"logits": logits}, 1e-6)
    losses, w, v = exact_training()
    loop = build().loop("train-step", RULES[0])
    for i, (step, _) in enumerate(STEPS[:2]):  # both at the first rate
        loop.load(step)
        if i == 0:
            loop.compile()
        loop.step()
    loop.wait()
    moved = loop.result()
    assert abs(moved["loss"][0] - losses[1]) < 5e-6
    assert set(moved) == {"loss", *(f"velocity/{name}" for name in v), *(f"weights/{name}" for name in w)}
    twice = build()
    list(twice.train(STEPS[:2]))
    near({name: moved[f"weights/{name}"] for name in w}, twice.weights(), 1e-6)


def looped(model: Implementation, phase: Any, batches: list[Batch]) -> Arrays:
    loop = model.loop(phase, UpdateRule(0.1))
    for given in batches:
        loop.load(given)
        loop.step()
    loop.wait()
    return loop.result()


def training_breaks_off_and_goes_on(build: Callable[[], Implementation], settings: Settings) -> None:
    def again(given: Mapping[str, NDArray[Any]]) -> Implementation:
        return registry.load(registry.reference("torch")).build(TOWERS, given, settings)

    split_training_is_one_devices(again, TOWERS, weights(), STEPS, by_batch=settings.split != "model")


def masks_not_given_are_drawn_anew(build: Callable[[], Implementation], settings: Settings) -> None:
    """Every step again, and not alike on the devices: the halves of a batch or layer that are alike get unlike ones."""
    one, count = batch(60, 1), 8
    alike = weights()
    half = TOWERS.layer("fc4").units // 2  # type: ignore[union-attr]
    for name in ("fc4/weight", "fc4/bias"):
        alike[name] = np.concatenate([alike[name][..., :half]] * 2, axis=-1)
    framework = registry.load(registry.reference("torch"))
    loop = framework.build(TOWERS, alike, settings).loop("forward-backward", UpdateRule(0.1))
    loop.load(Batch(np.repeat(one.images, count, axis=0), np.repeat(one.labels, count), {}))
    found = []
    for _ in range(3):
        loop.step()
        found.append(loop.result())
    losses = {float(result["loss"][0]) for result in found}
    assert len(losses) == 3, f"the same masks at every step: {losses}"
    # fc5's inputs are fc4's units after dropout: the halves' gradients are equal where their masks are.
    gradient = found[0]["gradient/fc5/weight"]
    kept = gradient.any(axis=1)
    assert kept.any(), "everything is dropped"
    if settings.split != "data":  # in a batch of equal images the rows' masks are seen in one sum only
        assert np.abs(gradient[:half] - gradient[half:]).max() > 0.1 * np.abs(gradient).max(), "devices draw alike"
    loop = build().loop("forward-backward", UpdateRule(0.1))
    for given in (batch(90)._replace(masks={}), batch(60)):
        loop.load(given)
        loop.step()
    near({"loss": loop.result()["loss"]}, {"loss": np.asarray([one_device(settings.tuning)["loss"]])})


def reduced_precision_stays_near(build: Callable[[], Implementation], settings: Settings) -> None:
    framework = registry.load(registry.reference("torch"))
    alone = one_device(settings.tuning)
    for precision, tolerance in (("bfloat16", 0.1), ("float16", 0.02)):
        chosen = Settings(settings.tuning, precision, "cpu", settings.devices, settings.split)  # type: ignore[arg-type]
        _, gradients = framework.build(TOWERS, weights(), chosen).gradients(batch(60))
        for name, exact in alone["gradients"].items():
            error = np.linalg.norm(gradients[name] - exact) / np.linalg.norm(exact)
            assert 0 < error < tolerance, (precision, name, error)


def what_cannot_be_is_said_before_anything_is_sent(build: Callable[[], Implementation], settings: Settings) -> None:
    model, given = build(), batch(50)
    with pytest.raises(ValueError, match="no mask for dropout layer 'drop4'"):
        model.gradients(given._replace(masks={"drop3": given.masks["drop3"]}))
    if settings.split != "model":
        with pytest.raises(ValueError, match=f"7 images cannot be shared equally by {settings.devices} devices"):
            model.activations(given.images[:7])
    framework = registry.load(registry.reference("torch"))
    with pytest.raises(Unsupported, match="2 GPUs asked for"):
        framework.build(TOWERS, weights(), Settings(device="cuda", devices=2, split="data"))
    with pytest.raises(Unsupported, match="'cuda:1' is one; 2 are called cpu"):
        framework.build(TOWERS, weights(), Settings(device="cuda:1", devices=2, split="data"))
    with pytest.raises(Unsupported, match="NVIDIA GPU"):
        framework.build(TOWERS, weights(), Settings(precision="tf32", devices=settings.devices, split="data"))
    with pytest.raises(ValueError, match="'conv1/bias' is missing"):
        framework.build(TOWERS, {"conv1/weight": weights()["conv1/weight"]}, settings)
    assert model.gradients(given)[0] > 0, "a refusal ended the devices"


def who_leads_and_who_follows_is_torchruns_to_say(build: Callable[[], Implementation], settings: Settings) -> None:
    fresh = type(registry.load(registry.reference("torch")))()
    with pytest.raises(Unsupported, match="nobody to follow"):
        fresh.follow()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in torchrun_environment(0, 1).items():
            patch.setenv(name, value)
        with pytest.raises(Unsupported, match="nobody to follow"):
            fresh.follow()
        with pytest.raises(Unsupported, match="4 devices asked for, and torchrun started 2 processes"):
            fresh.build(TOWERS, weights(), Settings(devices=4, split="data"))
        patch.setenv("RANK", "1")
        with pytest.raises(Unsupported, match="rank 1 of 2: it can follow only"):
            fresh.build(TOWERS, weights(), Settings(devices=2, split="data"))


CHECKS = (
    activations_are_the_whole_networks,
    gradients_are_the_whole_batchs,
    training_keeps_step_with_one_device,
    the_loop_is_the_same_computation,
    training_breaks_off_and_goes_on,
    masks_not_given_are_drawn_anew,
    reduced_precision_stays_near,
    what_cannot_be_is_said_before_anything_is_sent,
    who_leads_and_who_follows_is_torchruns_to_say,
)


def case_name(settings: Settings) -> str:
    return f"{settings.split}-{settings.devices}-{settings.tuning}"


def main() -> None:
    """Every check in every case; a failure is a line, not an exit."""
    framework: Framework = registry.load(registry.reference("torch"))
    for settings in LONG if "long" in sys.argv else CASES:
        for check in CHECKS:
            error = None
            try:
                check(lambda case=settings: framework.build(TOWERS, weights(), case), settings)  # type: ignore[misc]
            except Exception:
                error = traceback.format_exc()
            print(json.dumps({"check": check.__name__, "case": case_name(settings), "error": error}), flush=True)


def environment(**more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return {**own, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), **more}


@functools.cache
def outcomes(*which: str) -> dict[tuple[str, str], str | None]:
    """(check, case) -> None where it held, else the traceback; one process for all of them."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), *which], env=environment(), capture_output=True, text=True, timeout=900
    )
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


# What a leading process does in the tests below: one loss, then as it is told line by line.
LEADER = """
    import sys
    from test_split_torch import Settings, TOWERS, batch, registry, weights
    framework = registry.load(registry.reference("torch"))
    def loss():
        model = framework.build(TOWERS, weights(), Settings(devices=2, split="hybrid"))
        return model.gradients(batch(60))[0]
    print("loss", loss(), flush=True)
    for line in sys.stdin:
        if line.strip() == "again":
            try:
                print("loss", loss(), flush=True)
            except Exception as error:
                print(type(error).__name__, error, flush=True)
"""
FOLLOWER = """
    from impls import registry
    registry.load(registry.reference("torch")).follow()
    print("ended", flush=True)
"""


FAILING = """
    import time
    from impls import registry
    from impls.with_torch import split
    def fails(*_): raise ValueError("a fault of this device alone")
    split.Share.perform = fails
    try:
        registry.load(registry.reference("torch")).follow()
    except ValueError as error:
        print(error, flush=True)
    time.sleep(600)
"""


@contextmanager
def running(program: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A process, ended with everything it started whatever happens, and after a while in any case."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment(**more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    limit = threading.Timer(LIMIT_S, end_family, [process])
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        end_family(process)
        process.communicate(timeout=30)


def end_family(process: subprocess.Popen[str]) -> None:
    for member in [psutil.Process(process.pid), *children(process)] if process.poll() is None else []:
        with suppress(psutil.NoSuchProcess):
            member.kill()


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None and process.stderr is not None
    found = process.stdout.readline()
    assert found, process.stderr.read()[-3000:]
    return found.strip()


def tell(process: subprocess.Popen[str], what: str) -> None:
    assert process.stdin is not None
    process.stdin.write(what + "\n")
    process.stdin.flush()


def the_loss() -> float:
    return oracle.gradients(TOWERS, wide(weights()), batch(60)).loss


def gone(processes: list[psutil.Process], limit_s: float = 30.0) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=limit_s)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_no_process_is_left_when_the_one_that_started_it_is_killed() -> None:
    with running(LEADER) as leader:
        assert float(line_of(leader).split()[1]) == pytest.approx(the_loss(), rel=1e-5)
        started = children(leader)
        assert len(started) == 1
        leader.kill()
        assert gone(started)


def test_a_device_that_is_lost_is_an_error_and_not_a_hang() -> None:
    with running(LEADER) as leader:
        line_of(leader)
        children(leader)[0].kill()
        tell(leader, "again")
        error = line_of(leader)
        assert error.startswith("DeviceLost") and "the process of device 1 ended with exit status -9" in error, error
        tell(leader, "again")
        assert float(line_of(leader).split()[1]) == pytest.approx(the_loss(), rel=1e-5), "new processes take over"
        started = children(leader)
        assert len(started) == 1
        assert end(leader) == 0
        assert gone(started)


def test_a_device_that_hangs_is_an_error_once_the_limit_is_over() -> None:
    limited = """
        from datetime import timedelta
        from impls.with_torch import engine
        engine.EXCHANGE_LIMIT = timedelta(seconds=10)
    """
    with running(textwrap.dedent(limited) + textwrap.dedent(LEADER)) as leader:
        line_of(leader)
        (hung,) = children(leader)
        hung.suspend()
        tell(leader, "again")
        assert line_of(leader).startswith("DeviceLost")
        assert gone([hung])


def end(leader: subprocess.Popen[str]) -> int:
    assert leader.stdin is not None
    leader.stdin.close()
    leader.stdin = None  # communicate() would flush it
    return leader.wait(30)


def torchrun_environment(rank: int, port: int) -> dict[str, str]:
    """What torchrun sets in each of two processes on two machines."""
    count = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    return {"RANK": str(rank), **count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_a_run_that_spans_processes_ends_in_all_when_the_leading_one(how: str) -> None:
    port = free_port()
    with (
        running(FOLLOWER, **torchrun_environment(1, port)) as follower,
        running(LEADER, **torchrun_environment(0, port)) as leader,
    ):
        assert float(line_of(leader).split()[1]) == pytest.approx(the_loss(), rel=1e-5)
        assert not children(leader), "it started a process although one follows"
        assert follower.poll() is None
        if how == "ends":
            assert end(leader) == 0
        else:
            leader.kill()
        assert line_of(follower) == "ended"
        assert follower.wait(30) == 0


def test_a_device_that_fails_alone_is_an_error_in_the_leading_process() -> None:
    port = free_port()
    with (
        running(FAILING, **torchrun_environment(1, port)) as follower,
        running(
            LEADER.replace('print("loss", loss(), flush=True)\n    for', "for"), **torchrun_environment(0, port)
        ) as leader,
    ):
        tell(leader, "again")
        assert line_of(leader).startswith("DeviceLost")
        assert line_of(follower) == "a fault of this device alone"


def test_a_leading_process_whose_follower_dies_ends_with_an_error() -> None:
    port = free_port()
    with (
        running(FOLLOWER, **torchrun_environment(1, port)) as follower,
        running(LEADER, **torchrun_environment(0, port)) as leader,
    ):
        line_of(leader)
        follower.kill()
        for _ in range(2):  # and it stays so
            tell(leader, "again")
            began = time.monotonic()
            assert line_of(leader).startswith("DeviceLost")
            assert time.monotonic() - began < 60


if __name__ == "__main__":
    main()
