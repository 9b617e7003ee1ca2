"""Made-up tables of a speed run, as the harness would hand them over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]

VERSIONS = {"torch": "torch-2.13.0", "tensorflow": "tensorflow-2.21.0", "jax": "jax-0.10.2"}
STEP_MS = {  # of one image
    ("torch", "stock"): 25.0,
    ("torch", "tuned"): 10.0,
    ("tensorflow", "stock"): 11.5,
    ("tensorflow", "tuned"): 11.4,
    ("jax", "stock"): 70.0,
    ("jax", "tuned"): 18.0,
}
PEAK_TFLOPS = 0.487
GFLOP_PER_IMAGE = 4.136
LAYERS = {  # name -> (GFLOP, MB, ms of a fast framework) forward, at batch 128
    "conv1": (26.99, 190.0, 80.0),
    "relu1": (0.037, 297.0, 20.0),
    "norm1": (0.41, 300.0, 45.0),
    "pool1": (0.08, 185.0, 22.0),
    "conv2": (57.33, 130.0, 150.0),
    "relu2": (0.024, 191.0, 12.0),
    "norm2": (0.26, 192.0, 30.0),
    "pool2": (0.05, 118.0, 14.0),
    "conv3": (38.28, 60.0, 95.0),
    "conv4": (28.71, 69.0, 72.0),
    "conv5": (19.14, 58.0, 50.0),
    "pool5": (0.01, 27.0, 3.0),
    "fc6": (9.66, 156.0, 31.0),
    "drop6": (0.0, 4.0, 1.0),
    "fc7": (4.29, 71.0, 14.0),
    "fc8": (1.05, 19.0, 4.0),
}
SETTING = (
    "framework", "tuning", "network", "device", "devices", "split", "precision", "batch_size", "input", "phase",
)  # fmt: skip


def signature(framework: str, tuning: str, batch_size: int) -> str:
    version = VERSIONS.get(framework, framework)
    return (
        f"alexbench:0.1.0|network:paper|weights:3f2a|seed:0|framework:{version}|device:cpu|precision:float32"
        f"|tuning:{tuning}|batch:{batch_size}"
    )


def speed(framework: str, tuning: str, batch_size: int = 32, **changes: Any) -> Row:
    step_ms = changes.pop("step_ms", STEP_MS.get((framework, tuning), 20.0) * batch_size)
    tflops = GFLOP_PER_IMAGE * batch_size / step_ms
    settled: Row = {
        "framework": framework,
        "tuning": tuning,
        "network": "paper",
        "device": "cpu",
        "devices": 1,
        "split": "none",
        "emulated": "no",
        "precision": "float32",
        "batch_size": batch_size,
        "input": "synthetic",
        "phase": "train-step",
        "compile_s": 1.25,
        "first_step_s": 2.5,
        "samples": 40,
        "step_ms": step_ms,
        "step_ms_low": step_ms * 0.98,
        "step_ms_high": step_ms * 1.03,
        "images_per_s": 1e3 * batch_size / step_ms,
        "peak_memory_mb": 1234.5,
        "tflops": tflops,
        "fraction_of_peak": tflops / PEAK_TFLOPS,
        "joules_per_image": None,
        "loss_first": 7.1,
        "loss_last": 6.9,
        "stable": "yes",
        "note": None,
        "signature": signature(framework, tuning, batch_size),
        "status": "measured",
        "reason": None,
        "verdict": "pass",
        "gauge": 0.31,
        "bytes_exchanged": None,
        "exchange_share": None,
        "block_spread": 0.012,
        "clock_mhz": 2900.0,
        "throttled": "no",
        "weights_changed": "yes",
    }
    return settled | changes


FIGURES = (
    "compile_s", "first_step_s", "samples", "step_ms", "step_ms_low", "step_ms_high", "images_per_s", "peak_memory_mb",
    "tflops", "fraction_of_peak", "loss_first", "loss_last", "stable", "verdict", "gauge", "block_spread",
    "weights_changed",
)  # fmt: skip


def failed(framework: str, tuning: str, status: str, reason: str, **changes: Any) -> Row:
    row = speed(framework, tuning, **changes)
    return row | dict.fromkeys(FIGURES) | {"status": status, "reason": reason}


def samples(row: Row, blocks: int = 6, each: int = 8, spread: float = 0.01, seed: int = 0) -> list[Row]:
    """Samples whose blocks and steps spread around the row's step time."""
    random = np.random.default_rng([seed, *map(ord, f"{row['framework']}{row['tuning']}{row['batch_size']}")])
    named = {name: row[name] for name in SETTING}
    made = []
    for block in range(blocks):
        slow = random.normal(0, spread)
        for index in range(each):
            seconds = row["step_ms"] / 1e3 * float(np.exp(slow + random.normal(0, spread / 2)))
            made.append(named | {"block": block, "index": index, "steps": 1, "seconds": seconds, "warm": "yes"})
    cold = made[0] | {"seconds": 9.9, "warm": "no"}
    return [cold, *made]


def emulated(framework: str, split: str, batch_size: int = 32) -> Row:
    share = {"model": 0.031, "data": 0.082, "hybrid": 0.044}[split]
    step_ms = STEP_MS[framework, "tuned"] * batch_size * 1.2
    changes = {"devices": 2, "split": split, "emulated": "yes", "bytes_exchanged": 243_860_896, "exchange_share": share}
    return speed(framework, "tuned", batch_size, step_ms=step_ms, **changes)


def layers(framework: str, tuning: str, batch_size: int = 128) -> list[Row]:
    slow = STEP_MS.get((framework, tuning), 20.0) / 10.0
    named = {
        "framework": framework, "tuning": tuning, "network": "paper", "device": "cpu", "precision": "float32",
        "batch_size": batch_size, "signature": signature(framework, tuning, batch_size),
    }  # fmt: skip
    made: list[Row] = []
    for name, (gflops, mbytes, ms) in LAYERS.items():
        made.append(named | timed(name, "forward", gflops, mbytes, ms * slow))
        twice = 1 if name == "conv1" else 2
        made.append(named | timed(name, "backward", gflops * twice, mbytes * 1.6, ms * slow * (0.8 + 0.5 * twice)))
    total = sum(row["step_ms"] for row in made)
    for row in made:
        row["share"] = row["step_ms"] / total
    whole = timed("(whole step)", "all", GFLOP_PER_IMAGE * batch_size, 4000.0, total * 1.1)
    rest = timed("(update and rest)", "all", 0.0, 500.0, total * 0.1) | dict.fromkeys(("gflops", "tflops", "bound"))
    return [*made, named | whole | {"share": None}, named | rest | {"share": None}]


def timed(layer: str, which: str, gflops: float, mbytes: float, ms: float) -> Row:
    roof = min(PEAK_TFLOPS, gflops / mbytes * 18.0)  # GFLOP/MB times GB/s is TFLOP/s
    return {
        "layer": layer, "pass": which, "step_ms": ms, "step_ms_low": ms * 0.98, "step_ms_high": ms * 1.02,
        "gflops": gflops, "mbytes": mbytes, "tflops": gflops / ms, "gb_per_s": mbytes / ms,
        "roof_tflops": roof, "fraction_of_roof": min(1.0, gflops / ms / roof) if roof else min(1.0, mbytes / ms / 18.0),
        "bound": "compute" if gflops / mbytes * 18.0 > PEAK_TFLOPS else "memory",
    }  # fmt: skip


def peak(framework: str, probe: str, value: float, best: str = "no", **changes: Any) -> Row:
    copy = probe == "copy"
    settled = {
        "framework": framework, "device": "cpu", "precision": "float32", "probe": probe, "size": 2048,
        "step_ms": 40.0, "step_ms_low": 39.0, "step_ms_high": 42.0, "tflops": None if copy else value,
        "gb_per_s": value if copy else None, "best": best,
        "signature": f"alexbench:0.1.0|framework:{VERSIONS.get(framework, framework)}|device:cpu|probe:{probe}",
    }  # fmt: skip
    return settled | changes


def peaks() -> list[Row]:
    return [
        peak("torch", "matmul", 0.471),
        peak("torch", "convolution", PEAK_TFLOPS, "yes"),
        peak("torch", "copy", 17.2),
        peak("jax", "matmul", 0.452),
        peak("jax", "copy", 18.0, "yes"),
    ]


def exchange(split: str, where: str, what: str, sent: int, share: float) -> Row:
    return {
        "network": "paper", "split": split, "devices": 2, "batch_size": 32, "precision": "float32",
        "where": where, "what": what, "bytes": sent, "share": share,
    }  # fmt: skip


def tables(batches: Sequence[int] = (32, 128)) -> dict[str, list[Row]]:
    """Three frameworks, stock and tuned; a batch that does not fit, a crash, an unstable row."""
    rows = [speed(framework, tuning, batch) for framework, tuning in STEP_MS for batch in batches]
    rows[0] |= {"stable": "no", "note": "blocks spread by 9%"}
    measured = list(rows)
    rows.append(failed("jax", "tuned", "does-not-fit", "needs 31 GiB, 24 GiB are free", batch_size=512))
    stderr = "worker killed by signal 9 [SIGKILL]\nline one\nline two\nline three\nline four\nlast line"
    rows.append(failed("torch", "tuned", "crashed", stderr, batch_size=512))
    taken = [sample for row in measured for sample in samples(row)]
    return {"speed": rows, "sample": taken, "peak": peaks()}


def split_tables() -> dict[str, list[Row]]:
    """Two emulated devices beside one."""
    found = tables((32,))
    for framework in VERSIONS:
        found["speed"] += [emulated(framework, split) for split in ("model", "data", "hybrid")]
    found["exchange"] = [
        exchange("model", "before conv3", "activations and their gradients", 95_500_000, 0.39),
        exchange("model", "before fc6", "activations and their gradients", 2_300_000, 0.01),
        exchange("data", "after backward", "gradients", 243_860_896, 1.0),
    ]
    return found


def layered() -> dict[str, list[Row]]:
    """A run with the layers' times beside the step's."""
    return tables() | {"layer": [row for framework, tuning in STEP_MS for row in layers(framework, tuning)]}


RUN = {
    "command": "speed",
    "status": "complete",
    "started": "2030-01-02T03:04:05.000Z",
    "arguments": {"network": "paper", "frameworks": ["torch", "jax"], "batch_size": [32, 128]},
    "environment": {
        "machine": {"cpu": "A|B", "cores": 2, "memory_gb": 24.0},
        "cpu_kind": "AVX-512 (VNNI, BF16), AMX",
        "physical_cores": 1,
        "packages": {"torch": "2.13.0", "jax": "0.10.2"},
        "flags": {"OMP_NUM_THREADS": "2"},
        "git": {"commit": "abc", "dirty": False},
    },
    "failures": ["torch: worker killed by signal 9"],
    "signature": "alexbench:0.1.0|network:paper|weights:3f2a|seed:0",
}
