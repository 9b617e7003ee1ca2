"""Made-up rows of a parity run, as the harness would hand them over."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

FRAMEWORKS = {"torch": "torch-2.13.0", "tensorflow": "tensorflow-2.21.0", "jax": "jax-0.10.2"}
LAYERS = ("conv1", "relu1", "norm1", "pool1", "fc2")


def signature(framework: str) -> str:
    version = FRAMEWORKS.get(framework, framework)
    return f"alexbench:0.1.0|network:paper|weights:3f2a|seed:0|framework:{version}|precision:float32"


def row(level: str, framework: str, layer: str, tuning: str = "stock", **changes: Any) -> Row:
    settled: Row = {
        "level": level,
        "case": "photographs",
        "tensor": layer if level == "forward" else f"{layer}/output",
        "framework": framework,
        "device": "cpu",
        "precision": "float32",
        "elements": 1000,
        "max_abs_error": 3e-7,
        "rms_error": 1e-7,
        "max_ulp": 1.5,
        "gauge_ratio": 0.25,
        "baseline_ratio": 1.1,
        "zeros": 12,
        "ties": 0,
        "verdict": "pass",
        "reason": "",
        "signature": signature(framework),
        "tuning": tuning,
        "layer": layer,
        "cause": "",
        "reference_rms": 1.0,
        "gauge_rms": 4e-7,
        "baseline_rms": 1e-7,
    }
    return settled | changes


def passing() -> list[Row]:
    """Two levels, three frameworks, both tunings, all equal."""
    return [
        row(level, framework, layer, tuning, rms_error=(place + 1) * 1e-7)
        for level in ("layer", "forward")
        for framework in FRAMEWORKS
        for tuning in ("stock", "tuned")
        for place, layer in enumerate(LAYERS)
    ]


def wanting() -> list[Row]:
    """TensorFlow's tuned norm1 is wrong, JAX died, and some rows prove nothing."""
    rows = passing()
    reason = "error 41.2 times the gauge | 9.1e-03 where 2.2e-04 is expected"
    blame = {"verdict": "fail", "reason": reason, "gauge_ratio": 41.2, "baseline_ratio": float("nan")}
    for found in rows:
        key = (found["level"], found["framework"], found["tuning"])
        if key == ("layer", "tensorflow", "tuned") and found["layer"] == "norm1":
            found.update(blame | {"cause": "yours has the reference's alpha divided by n"})
        if key == ("forward", "tensorflow", "tuned") and found["layer"] in ("norm1", "pool1", "fc2"):
            found.update(blame)
    rows = [found for found in rows if (found["level"], found["framework"]) != ("forward", "jax")]
    missing = {"gauge_ratio": None, "baseline_ratio": None, "rms_error": None}
    dead = "worker killed by signal 9 [SIGKILL]"
    rows.append(row("forward", "jax", "", "", tensor="", case="", verdict="error", reason=dead, **missing))
    rows.append(row("layer", "torch", "drop1", verdict="vacuous", reason="all values are zero"))
    rows.append(row("layer", "torch", "drop2", verdict="not-observed", reason="not returned", **missing))
    return rows
