"""Classes read in a process of their framework: `python tests/impls/reading_program.py torch` and targets on stdin.

Tests import `read_all` from here; the framework is imported by the process alone.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from impls import registry
from impls.reading import Foreign, Reading, ReadLayer, from_json, to_json

ROOT = Path(__file__).resolve().parents[2]


def main(name: str) -> None:
    """One JSON line for every target: its reading or the complaint, the seconds, and the memory so far."""
    read = registry.load(registry.READERS[name])
    for target, side in json.load(sys.stdin):
        started = time.perf_counter()
        try:
            answer: dict[str, Any] = {"reading": to_json(read(target, side))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**answer, "seconds": time.perf_counter() - started, "peak_mb": peak}), flush=True)


def read_all(name: str, file: Path, targets: dict[str, int | None]) -> dict[str, dict[str, Any]]:
    """Answers by the name of the class; `reading` in each is a Reading."""
    tasks = json.dumps([[f"{file}:{target}", side] for target, side in targets.items()])
    done = subprocess.run(
        [sys.executable, __file__, name], input=tasks, capture_output=True, text=True, timeout=300, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0 and len(lines) == len(targets), done.stderr[-2000:]
    answers = [json.loads(line) for line in lines]
    for answer in answers:
        if "reading" in answer:
            answer["reading"] = from_json(answer["reading"])
    return dict(zip(targets, answers, strict=True))


def bare(reading: Reading) -> list[ReadLayer]:
    """Layers without the names that they have over there."""
    return [replace(layer, source="") for layer in reading.layers]


def kinds(reading: Reading) -> list[str]:
    """What the layers are, foreign ones by their kind."""
    return [layer.kind if isinstance(layer, Foreign) else type(layer).__name__ for layer in reading.layers]


if __name__ == "__main__":
    main(sys.argv[1])
