"""A training killed at any moment and resumed is, to the last bit, one that was never broken."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from program import complaint, run_json, told, wait_until
from train_program import (
    NETWORK,
    hash_of,
    installed,
    left_nothing,
    recipe_file,
    small_data,
    table,
    timeless,
    train,
    under_way,
)

from harness.training.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data"), train=40)


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return installed(tmp_path_factory.mktemp("plugins"))


def kept_step(checkpoints: Checkpoints) -> int:
    """The step of the last checkpoint, by its name alone: it may be gone when it would be read."""
    return max((int(path.name[5:14]) for path in checkpoints.folder.glob("step-*")), default=0)


def kill(process: subprocess.Popen[str], checkpoints: Checkpoints, moment: float) -> None:
    """As soon as so many steps are kept, where it is a whole number, else after so many seconds."""
    if isinstance(moment, int):
        wait_until(lambda: kept_step(checkpoints) >= moment or process.poll() is not None)
    else:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
    process.kill()


def killed_and_resumed(arguments: list[object], out: Path, moments: list[float], **environment: str) -> list[int]:
    """Run it, kill it at each of these moments, and let it end; returns the steps of the checkpoints found."""
    steps, checkpoints = [], Checkpoints(out, str(arguments[1]))
    for number, moment in enumerate(moments):
        again = ["--resume", out, *arguments[-2:]] if number else [*arguments, "--out", out]
        with under_way(*again, out=out, **environment) as process:
            kill(process, checkpoints, moment)
        found = checkpoints.latest()
        assert found is not None
        steps.append(found.standing.step)
    done = train("--resume", out, **environment)
    assert done.returncode == 0, done.stderr
    left_nothing(out)
    return steps


def same(broken: Path, unbroken: Path, label: str) -> None:
    """Weights and rows; times apart."""
    for name in (f"{label}.safetensors", f"{label}-best.safetensors"):
        assert hash_of(broken / name) == hash_of(unbroken / name)
    for kind in ("training", "loss"):
        assert timeless(table(broken, kind)) == timeless(table(unbroken, kind))
    assert run_json(broken)["status"] == "complete"


def test_killed_again_and_again(data: Path, plugins: Mapping[str, str], tmp_path: Path) -> None:
    """In the middle of epochs, of checkpoints and of starts: at moments that chance chooses."""
    recipe = recipe_file(tmp_path, batch_size=1, epochs=3, drop_epochs=[2], colour_noise="paper")
    arguments: list[object] = [
        "--framework", "numpy", "--network", NETWORK, "--data", data, "--recipe", recipe, "--checkpoint-every", 0.01,
    ]  # fmt: skip
    assert train(*arguments, "--out", tmp_path / "unbroken", **plugins).returncode == 0
    chance = random.Random(4)
    moments = [chance.randint(1, 40), chance.uniform(0.1, 2.0), chance.randint(41, 80)]
    steps = killed_and_resumed(arguments, tmp_path / "broken", moments, **plugins)
    assert steps == sorted(steps) and moments[0] <= steps[0] < 120, (moments, steps)
    same(tmp_path / "broken", tmp_path / "unbroken", "numpy")


@pytest.mark.parametrize(
    "framework", ["torch", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("tensorflow", "jax"))]
)
def test_killed_in_the_middle_of_an_epoch(framework: str, data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, batch_size=4, epochs=4, drop_epochs=[], patience=1, drops=2, flip=True)
    arguments: list[object] = [
        "--framework", framework, "--network", NETWORK, "--data", data, "--recipe", recipe, "--tuning",
        "stock" if framework == "torch" else "tuned", "--checkpoint-every", 0.001,
    ]  # fmt: skip
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    assert train(*arguments, "--out", unbroken).returncode == 0
    with under_way(*arguments, "--out", broken, out=broken) as process:
        checkpoints = Checkpoints(broken, framework)

        def far() -> bool:
            names = [path.name for path in checkpoints.folder.glob("step-*")]
            return any(int(name[5:14]) % 10 and int(name[5:14]) > 10 for name in names) or process.poll() is not None

        wait_until(far, timeout_s=120)
        process.kill()
    found = checkpoints.latest()
    assert found is not None and found.standing.step > 10
    assert train("--resume", broken).returncode == 0
    left_nothing(broken)
    same(broken, unbroken, framework)


def test_a_finished_training_has_nothing_left_to_do(data: Path, plugins: Mapping[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--framework", "numpy", "--steps", 3, "--batch-size", 8)
    train(*options, "--network", NETWORK, data=data, out=out, **plugins)
    before, rows = hash_of(out / "numpy.safetensors"), table(out)
    assert train("--resume", out, **plugins).returncode == 0
    assert hash_of(out / "numpy.safetensors") == before and table(out) == rows


def test_what_has_changed_meanwhile_is_refused(data: Path, plugins: Mapping[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    train("--framework", "numpy", "--steps", 3, "--batch-size", 8, data=data, out=out, **plugins)
    run = (out / "run.json").read_text()
    for name, value, says in (
        ("data", {**run_json(out)["data"], "hash": "0" * 64}, "the data's hash was 000000000000"),
        ("recipe", {**run_json(out)["recipe"], "momentum": 0.5}, "its network was"),
        ("alexbench", "0.0.1", "alexbench was 0.0.1"),
        ("command", "speed", "a run of 'speed'"),
        ("arguments", {}, "another version of alexbench"),
    ):
        (out / "run.json").write_text(json.dumps({**json.loads(run), name: value}))
        done = train("--resume", out, **plugins)
        assert says in told(done)
        assert done.returncode == 2 or name == "recipe"
    (out / "run.json").write_text(run)
    (state,) = (out / "checkpoints" / "numpy").glob("step-*/state.json")
    state.write_text("{}")
    assert "is damaged" in complaint(train("--resume", out, **plugins), 2)
