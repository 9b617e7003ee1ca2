"""Made-up tables of an evaluation, as the harness would hand them over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

FRAMEWORKS = ("torch", "tensorflow", "jax")
RUN: Row = {
    "alexbench": "0.1.0",
    "command": "evaluate",
    "status": "complete",
    "started": "2030-01-02T03:04:05.000Z",
    "signature": "alexbench:0.1.0|network:cifar-4layer",
    "arguments": {"weights": ["torch-best.safetensors"], "crops": [1, 10]},
    "failures": [],
}


def score(framework: str, crops: int = 1, weights: str = "3f2a91c0", **changes: Any) -> Row:
    """A score on the embedded digits."""
    error = 0.03 if crops == 1 else 0.025
    row: Row = {
        "framework": framework,
        "network": "cifar-4layer",
        "weights": weights,
        "data": "digits",
        "images": 360,
        "crops": crops,
        "top1_error": error,
        "top1_low": error - 0.01,
        "top1_high": error + 0.02,
        "top5_error": error / 10,
        "top5_low": error / 20,
        "top5_high": error / 5,
        "paper_top1": None,
        "paper_top5": None,
        "comparable": "no",
        "signature": f"alexbench:0.1.0|network:cifar-4layer|weights:{weights}|framework:{framework}|crops:{crops}",
        "part": "val",
        "file": "runs/train/torch-best.safetensors",
        "status": "measured",
        "reason": None,
        "tuning": "tuned",
        "precision": "float32",
        "device": "cpu",
        "images_per_s": 2100.0 / crops,
        "differing_views": crops,
        "networks": 1,
    }
    return row | changes


def failed(framework: str, status: str, reason: str, crops: int = 1) -> Row:
    figures = ("top1_error", "top1_low", "top1_high", "top5_error", "top5_low", "top5_high", "images_per_s")
    return score(framework, crops, status=status, reason=reason, **dict.fromkeys(figures))


def imagenet(framework: str = "torch", crops: int = 10, **changes: Any) -> Row:
    """A score on the very images of Table 2."""
    figures = {
        "top1_error": 0.4101, "top1_low": 0.4058, "top1_high": 0.4144, "top5_error": 0.1871, "top5_low": 0.1837,
        "top5_high": 0.1905, "paper_top1": 0.407, "paper_top5": 0.182,
    }  # fmt: skip
    place = {"network": "paper", "data": "imagenet-2012", "images": 50_000, "comparable": "yes"}
    place["file"] = "weights/paper.safetensors"
    return score(framework, crops, "9e01b2d4", **{**figures, **place, **changes})


def apart(image: int, a: str = "torch", b: str = "jax", crops: int = 1, weights: str = "3f2a91c0") -> Row:
    """An image on which two frameworks differ."""
    return {
        "weights": weights,
        "crops": crops,
        "image": image,
        "name": f"digits/{image:04d}",
        "label": "8",
        "framework_a": a,
        "predicted_a": "8",
        "probability_a": 0.41250001,
        "framework_b": b,
        "predicted_b": "3",
        "probability_b": 0.41250003,
        "margin_a": 1.2e-7,
        "margin_b": 3.4e-8,
        "differs": "top-1",
    }


def classes(framework: str, crops: int = 1, weights: str = "3f2a91c0") -> list[Row]:
    return [
        {
            "framework": framework,
            "weights": weights,
            "crops": crops,
            "class": index,
            "name": str(index),
            "images": 36,
            "top1_error": 0.0 if index % 2 else index / 36,
            "top5_error": 0.0,
        }
        for index in range(10)
    ]


def tables(frameworks: Sequence[str] = FRAMEWORKS, crops: Sequence[int] = (1, 10)) -> dict[str, list[Row]]:
    """All frameworks agree."""
    settings = [(name, views) for name in frameworks for views in crops]
    return {
        "evaluation": [score(name, views) for name, views in settings],
        "class-error": [row for name, views in settings for row in classes(name, views)],
    }
