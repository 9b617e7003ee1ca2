"""Made-up tables of a run of `alexbench audit`, as the harness would hand them over."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

RUN: Row = {
    "alexbench": "0.1.0",
    "command": "audit",
    "status": "complete",
    "started": "2030-01-02T03:04:05.000Z",
    "signature": "alexbench:0.1.0|network:paper|weights:3f2a|seed:0|precision:float64|audited:MyNet",
    "arguments": {"source": "torch:./net.py:MyNet", "against": "paper"},
    "network": "MyNet",
    "against": "paper",
    "source": "class MyNet of ./net.py",
    "silent": ["preprocessing"],
    "remarks": ["a loss stands inside the graph"],
    "totals": {"parameters": 62378344, "multiply_adds": 1135256096, "memory_mb": 245.1},
    "reference_totals": {"parameters": 60965224, "multiply_adds": 724406816, "memory_mb": 240.0},
    "failures": [],
}


def row(facet: str, place: str, theirs: str, reference: str, consequence: str, **figures: Any) -> Row:
    names = ("parameters_change", "multiply_adds_change", "memory_change_mb", "logits_change", "logits_cosine",
             "top5_kept", "gradient_change", "gradient_cosine", "note")  # fmt: skip
    return {
        "network": "MyNet",
        "against": "paper",
        "facet": facet,
        "place": place,
        "theirs": theirs,
        "reference": reference,
        "consequence": consequence,
        **dict.fromkeys(names),
        "why": f"why {facet} matters",
        "signature": RUN["signature"],
        **figures,
    }


def measured(logits: float, gradient: float, cosine: float = 0.9, kept: float = 0.6) -> Row:
    return {"logits_change": logits, "logits_cosine": cosine, "top5_kept": kept,
            "gradient_change": gradient, "gradient_cosine": cosine / 2}  # fmt: skip


def audit() -> list[Row]:
    """One row of every consequence, in order, and the last one."""
    return [
        row("foreign", "batchnorm2d1", "BatchNorm2d", "none", "foreign layer", parameters_change=192,
            note="this project has no such layer"),
        row("lrn-alpha", "norm1, norm2", "2e-05", "0.0001", "another function", parameters_change=0,
            multiply_adds_change=0, memory_change_mb=0.0, **measured(0.42125, 0.66, cosine=0.93)),
        row("input", "conv1", "227x227, no padding", "224x224, pad bottom 3 right 3", "another function",
            parameters_change=0, multiply_adds_change=0, memory_change_mb=0.0155, **measured(0.0158, 0.025, 0.9999, 1)),
        row("groups", "conv2, conv4, conv5", "1", "2", "other shapes", parameters_change=1413120,
            multiply_adds_change=410849280, memory_change_mb=5.39, note="weights do not fit: conv2"),
        row("preprocessing", "input", "mean-image-centre", "mean-image", "not measured", parameters_change=0,
            multiply_adds_change=0, memory_change_mb=0.0, note="both subtract a mean"),
        row("init", "conv1", "PyTorch's uniform", "Gaussian, std 0.01", "training only", parameters_change=0,
            multiply_adds_change=0, memory_change_mb=0.0, note="nothing is to be seen"),
        row("order", "conv5", "pool, ReLU", "ReLU, pool", "same function", parameters_change=0, multiply_adds_change=0,
            memory_change_mb=-0.13, **measured(3e-16, 0.0, 1.0, 1.0)),
        row("together", "", "all 3 measured departures", "", "another function", **measured(0.5, 0.7)),
    ]  # fmt: skip
