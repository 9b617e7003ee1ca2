"""Benchmarks of the operators in every framework and tuning, each in a process of its own with its own environment.

`python tests/bench/run_operators.py [FRAMEWORK ...]` saves them as JSON under .benchmarks, compares each with its last
run, and prints how much faster `tuned` is than `stock`. Arguments after `--` go to pytest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from impls import registry  # noqa: E402, runs from a checkout that is not installed
from impls.protocol import TUNINGS, Settings, Tuning  # noqa: E402

STORAGE = Path(".benchmarks", "operators")


def run(framework: str, tuning: Tuning, arguments: list[str]) -> int:
    """One framework and tuning; returns pytest's exit status."""
    command = [sys.executable, "-m", "pytest", "tests/bench/test_bench_operators.py", "--only-framework", framework]
    command += ["-k", tuning, "--benchmark-enable", "--benchmark-only", "--benchmark-autosave", "--benchmark-compare"]
    command += [
        f"--benchmark-storage=file://{STORAGE / framework / tuning}",
        "--benchmark-columns=min,median,iqr,rounds",
    ]
    environment = {
        **os.environ,
        **registry.environment(framework, Settings(tuning=tuning)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return subprocess.run([*command, *arguments], cwd=ROOT, env=environment, check=False).returncode


def latest(framework: str, tuning: Tuning) -> dict[str, float]:
    """Benchmark group -> median in ms, of the run saved last."""
    files = sorted((ROOT / STORAGE / framework / tuning).glob("*/*.json"), key=lambda file: file.stat().st_mtime)
    found: list[dict[str, Any]] = json.loads(files[-1].read_text())["benchmarks"] if files else []
    return {row["group"]: row["stats"]["median"] * 1e3 for row in found}


def compare(framework: str) -> None:
    """Print tuned beside stock. The two ran one after the other: `alexbench speed --layers` interleaves them."""
    stock, tuned = latest(framework, "stock"), latest(framework, "tuned")
    for group in (group for group in stock if group in tuned):
        ratio = stock[group] / tuned[group]
        print(f"{framework:<11} {group:<27} stock {stock[group]:9.2f} ms  tuned {tuned[group]:9.2f} ms  {ratio:6.2f}x")


def main(arguments: list[str]) -> int:
    """Run what was asked for; the largest exit status."""
    names, more = arguments, []
    if "--" in arguments:
        names, more = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    frameworks = names or [name for name in registry.BUILT_IN if not registry.missing_modules(name)]
    status = max((run(name, tuning, more) for name in frameworks for tuning in TUNINGS), default=1)
    print("\ntuned beside stock, medians")
    for name in frameworks:
        compare(name)
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
