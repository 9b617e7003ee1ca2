"""When a program has come to rest: after compilation, autotuning, clocks and caches, its steps last equally long."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def spread(seconds: Sequence[float]) -> float:
    """(largest - smallest) / median."""
    middle = statistics.median(seconds)
    return (max(seconds) - min(seconds)) / middle if middle > 0 else 0.0


def is_steady(windows: Sequence[float], wanted: int, tolerance: float) -> bool:
    """Whether the last `wanted` windows (seconds per step) agree within `tolerance`, relative."""
    return len(windows) >= wanted and spread(windows[-wanted:]) <= tolerance
