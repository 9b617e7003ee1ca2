"""What to type to do a run again: as it was typed, or from the options of a command that was called otherwise."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path
from typing import Any

import pytest

from harness import cli, cli_exit, command_line
from harness.parity.options import ParityOptions
from harness.speed.options import SpeedOptions

COMMANDS = {
    "parity": "harness.parity.command", "speed": "harness.speed.command", "train": "harness.training.command",
    "evaluate": "harness.evaluation.command", "paper": "harness.paper.command", "audit": "harness.audit.command",
}  # fmt: skip
# Every option of every command, as somebody may type it.
TYPED = [
    "parity",
    "parity --network caffe --frameworks torch,jax --level forward,split --tuning stock --precision bfloat16 --seed 3",
    "parity --weights 'my weights.safetensors' --images a.jpg --images b --device cuda:1 --devices 4 --split data",
    "parity --impl ./mine.py:build --impl theirs:build --keep-impl --recipe own --jobs 2 --timeout 9.5 --verbose",
    "parity --python torch=/a/python --python jax=b/python --self-test --large --out 'a run' --overwrite",
    "speed",
    "speed --quick",
    "speed --quick --batch-size 128",
    "speed --rigorous --gpus 2 --split hybrid --network paper,caffe --batch-size 32,64 --tuning tuned",
    "speed --precision float32,bfloat16 --input host,file --phase forward --layers --recipe scaled --dry-run --large",
    "train --data digits",
    "train --data imagefolder:x --parts 'train=a,b,val=c' --network caffe --recipe mine.toml --epochs 3 --batch-size 9",
    "train --data digits --learning-rate 0.001 --init paper --limit 10 --steps 5 --no-validation --devices 2",
    "train --data digits --split data --devices 2",
    "train --data digits --weights w.safetensors --tuning stock --checkpoint-every 5 --frameworks jax --seed 1",
    "evaluate --weights a.safetensors --weights b.safetensors --data digits --part test --crops 10 --no-ensemble",
    "evaluate --weights a --data digits --class-order sorted --limit 9 --batch-size 50 --tuning stock --device cuda",
    "paper",
    "paper runs/a runs/b --weights w --data digits --ablations --only no-lrn,figure-1 --network caffe --seeds 2",
    "audit caffe",
    "audit torch:./a.py:Net --against caffe --side 64 --images a --strict --format json --keep-impl",
    "audit mine.onnx --no-measure --large",
]  # fmt: skip


def options_of(line: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, str]:
    """What the command is called with, and what it would put into run.json."""
    words = shlex.split(line)
    called: list[tuple[Any, str]] = []

    def take(options: Any, *_more: Any) -> int:
        called.append((options, command_line.of(words[0], options)))
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module(COMMANDS[words[0]]), "run", take)
        assert cli_exit.run(cli.cli, words) == 0
    [found] = called
    return found


@pytest.mark.parametrize("line", TYPED)
def test_the_line_is_the_one_that_was_typed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shlex.split(options_of(line, monkeypatch)[1]) == ["alexbench", *shlex.split(line)]


@pytest.mark.parametrize("line", TYPED)
def test_a_line_made_from_options_gives_these_options(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = shlex.split(line)[0]
    options, _ = options_of(line, monkeypatch)
    made = command_line.of(command, options)  # nothing is typed now
    assert made.startswith(f"alexbench {command}")
    assert options_of(made.removeprefix("alexbench "), monkeypatch)[0] == options


def test_only_what_is_not_as_by_default_is_told() -> None:
    assert command_line.of("parity", ParityOptions()) == "alexbench parity"
    assert command_line.told(SpeedOptions(networks=("caffe",))) == ["--network", "caffe", "--batch-size", "128"]
    assert command_line.of("parity", ParityOptions(weights=Path("a b"))) == "alexbench parity --weights 'a b'"


def test_what_was_typed_is_forgotten_with_its_command() -> None:
    with command_line.typed(["parity", "--seed", "1"]):
        assert command_line.of("parity", ParityOptions()) == "alexbench parity --seed 1"
    assert command_line.of("parity", ParityOptions()) == "alexbench parity"
