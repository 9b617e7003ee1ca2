"""What cannot be compared is refused before anything is computed, and who was asked is not started twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.errors import AlexbenchError, CannotMeasure, UsageError
from harness.parity import command, material
from harness.parity.options import ParityOptions
from harness.parity.roll_call import answered


@pytest.fixture(autouse=True)
def nobody_stays_behind() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]


def refused(options: ParityOptions, monkeypatch: pytest.MonkeyPatch, kind: type[AlexbenchError]) -> str:
    """What the command is refused with; neither a reference nor a folder may have been made."""
    monkeypatch.setattr(material, "material", lambda *given: pytest.fail("weights were made"))
    with pytest.raises(kind) as error:
        command.run(options)
    assert options.out is not None and not options.out.exists()
    return str(error.value)


def test_a_misspelt_attribute_is_a_usage_error_with_the_nearest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("import json\ndef build(network, weights): ...\ndef helper(): ...\n")
    options = ParityOptions(network="cifar-4layer", impls=(f"{tmp_path}/mine.py:buidl",), out=tmp_path / "out")
    said = refused(options, monkeypatch, UsageError)
    assert said == (
        f"--impl '{tmp_path}/mine.py:buidl': "
        "mine.py has no attribute 'buidl': did you mean 'build'? it has build, helper"
    )


def test_a_device_that_nobody_has_is_refused_with_what_the_framework_says_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str
) -> None:
    options = ParityOptions(network="cifar-4layer", device="cuda:9", impls=(plugin,), out=tmp_path / "out")
    said = refused(options, monkeypatch, CannotMeasure)
    assert said.startswith(f"nobody here has --device cuda:9 ({plugin}: ")
    assert said.endswith("): pass --device cpu, or one that `alexbench doctor` lists")


def test_a_level_that_a_function_has_not_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("def build(network, weights): ...\n")
    target = f"{tmp_path}/mine.py:build"
    options = ParityOptions(network="cifar-4layer", levels=("gradient",), impls=(target,), out=tmp_path / "out")
    said = refused(options, monkeypatch, UsageError)
    assert said == (
        f"--impl '{target}' gives activations alone, which level forward compares:"
        " --level gradient needs an object that offers impls/protocol.py"
    )


def test_who_was_asked_is_started_once_and_what_it_said_is_heard_in_its_turn(tmp_path: Path) -> None:
    for name in ("right", "dying"):
        (tmp_path / f"{name}.py").write_text(
            f"import os, threading\nopen({str(tmp_path / name)!r}, 'a').write('started ')\n"
            "def build(network, weights):\n"
            "    from impls.oracle.network import forward\n"
            "    return lambda images: forward(network, weights, images)\n"
            + ("threading.Timer(0.2, os._exit, (3,)).start()\n" if name == "dying" else "")
        )
    targets = tuple(f"{tmp_path}/{name}.py:build" for name in ("right", "dying"))
    options = ParityOptions(network="cifar-4layer", impls=targets, jobs=1, out=tmp_path / "out")
    assert command.run(options) == command.WORKER_FAILED, "what ended before its turn is told too"
    assert [(tmp_path / name).read_text() for name in ("right", "dying")] == ["started ", "started "]
    assert "ended with exit status 3" in (tmp_path / "out" / "run.json").read_text()


def test_an_interpreter_that_is_missing_and_a_file_that_raises_are_left_to_the_run(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("1 / 0\n")
    options = ParityOptions(network="cifar-4layer", impls=(f"{tmp_path}/mine.py:build",))
    with answered(options, material.workers(options)) as roll:
        assert roll.take("nobody") is None


def test_workers_are_told_of_arrays_by_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # and a user's file may go elsewhere
    with material.workspace(Path()) as made:
        assert made.is_absolute() and made.parent == tmp_path
