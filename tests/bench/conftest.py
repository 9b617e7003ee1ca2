"""Benchmarks of operators are collected only where one framework is named: each needs a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

OPERATORS = "test_bench_operators.py"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    only = config.getoption("--only-framework")
    if collection_path.name == OPERATORS and only is None:
        return True
    return None
