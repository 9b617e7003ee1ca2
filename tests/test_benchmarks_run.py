"""The benchmarks of `nox -s bench` still run: once each, without a clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from impls import registry

ROOT = Path(__file__).resolve().parents[1]


ALWAYS = "jax"  # the others' compilers take minutes


@pytest.mark.parametrize(
    "framework",
    [pytest.param(name, marks=[] if name == ALWAYS else pytest.mark.thorough) for name in registry.BUILT_IN],
)
def test_every_operator_benchmark_of_a_framework_runs(framework: str) -> None:
    command = [sys.executable, "-m", "pytest", "tests/bench/test_bench_operators.py", "--only-framework", framework]
    done = subprocess.run(
        [*command, "-q", "-p", "no:cacheprovider", "-k", "norm2 or pool1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "8 passed" in done.stdout, done.stdout[-500:]


def test_the_ordinary_suite_never_imports_a_framework_for_them() -> None:
    command = [sys.executable, "-m", "pytest", "tests/bench", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "test_bench_inputs.py" in done.stdout and "test_bench_operators.py" not in done.stdout
