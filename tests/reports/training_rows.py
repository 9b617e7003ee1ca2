"""Made-up tables of a training run, as the harness would hand them over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

RUN: Row = {
    "alexbench": "0.1.0",
    "command": "train",
    "status": "complete",
    "started": "2030-01-02T03:04:05.000Z",
    "signature": "alexbench:0.1.0|network:cifar-4layer",
    "arguments": {"network": "cifar-4layer", "frameworks": ["torch", "tensorflow", "jax"]},
    "failures": [],
}
VERSIONS = {"torch": "torch-2.13.0", "tensorflow": "tensorflow-2.21.0", "jax": "jax-0.10.2"}
DROPS = (8, 12)  # epochs done when the rate falls to a tenth
STEPS = 45  # of an epoch


def signature(framework: str, seed: int = 0) -> str:
    version = VERSIONS.get(framework, framework)
    return f"alexbench:0.1.0|network:cifar-4layer|weights:3f2a|seed:{seed}|framework:{version}|device:cpu"


def epoch(framework: str, done: int, label: str = "", *, shift: float = 0.0, **changes: Any) -> Row:
    """What one epoch of a training that goes well leaves."""
    rate = 0.01 * 0.1 ** sum(done > drop for drop in DROPS)
    error = 0.03 + 0.8 * math.exp(-done / 2.5) + shift
    row: Row = {
        "framework": framework,
        "network": "cifar-4layer",
        "data": "digits",
        "epoch": done,
        "step": done * STEPS,
        "learning_rate": rate,
        "loss": 2.3 * math.exp(-done / 3.0) + 0.01 + shift,
        "top1_error": error,
        "top5_error": error / 8,
        "images_per_s": 1200.0 + 10 * done,
        "signature": signature(framework),
        "label": label or framework,
        "seed": 0,
        "recipe": "digits",
        "phase": "epoch",
        "seconds": 1.25 * done,
        "best": "yes",
        "tuning": "tuned",
        "precision": "float32",
        "device": "cpu",
        "devices": 1,
        "split": "none",
    }
    return row | changes


def training(framework: str, label: str = "", epochs: int = 15, shift: float = 0.0, **changes: Any) -> list[Row]:
    return [epoch(framework, done, label, shift=shift, **changes) for done in range(1, epochs + 1)]


def losses(framework: str, label: str = "", steps: int = 120, shift: float = 0.0) -> list[Row]:
    return [
        {
            "framework": framework,
            "label": label or framework,
            "step": step,
            "loss": 2.3 * math.exp(-step / 90) + 0.15 * math.sin(step) + shift,
            "learning_rate": 0.01,
        }
        for step in range(1, steps + 1)
    ]


def tables(frameworks: Sequence[str] = ("torch", "tensorflow", "jax"), epochs: int = 15) -> dict[str, list[Row]]:
    """Frameworks on one stream: they lie on each other."""
    shifts = {name: 0.0004 * place for place, name in enumerate(frameworks)}
    return {
        "training": [row for name in frameworks for row in training(name, epochs=epochs, shift=shifts[name])],
        "loss": [row for name in frameworks for row in losses(name, shift=shifts[name])],
    }
