"""How much is measured: what --quick, the default and --rigorous mean in blocks, seconds and steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.speed.options import Effort


@dataclass(frozen=True, slots=True)
class Budget:
    """One effort."""

    blocks: int
    block_s: float  # a block lasts about so long, and at least one step
    windows: int  # of warm-up that must agree
    tolerance: float  # within which they must, relative
    most_windows: int  # after which the state is called not steady
    window_s: float
    untimed_below_s: float  # shorter steps are preceded by an untimed one in each block
    probe_rounds: int
    probe_s: float  # a sample of a probe
    layer_blocks: int
    layer_s: float  # a block of a layer


BUDGETS: dict[Effort, Budget] = {
    "quick": Budget(
        blocks=3, block_s=0.5, windows=2, tolerance=0.05, most_windows=2, window_s=0.1, untimed_below_s=1.0,
        probe_rounds=2, probe_s=0.1, layer_blocks=2, layer_s=0.1,
    ),
    "default": Budget(
        blocks=6, block_s=2.0, windows=3, tolerance=0.03, most_windows=20, window_s=0.3, untimed_below_s=math.inf,
        probe_rounds=3, probe_s=0.2, layer_blocks=3, layer_s=0.2,
    ),
    "rigorous": Budget(
        blocks=15, block_s=4.0, windows=3, tolerance=0.02, most_windows=40, window_s=0.5, untimed_below_s=math.inf,
        probe_rounds=5, probe_s=0.3, layer_blocks=6, layer_s=0.4,
    ),
}  # fmt: skip

LEAST_SAMPLE_S = {"cpu": 0.02, "cuda": 0.2}  # synchronising and reading the clock must not be seen in it
MOST_SAMPLES = 50  # in a block: more tell no more


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """How a block of one worker is cut: `samples` samples of `steps` steps each."""

    samples: int
    steps: int


def block_plan(step_s: float, block_s: float, device: str) -> BlockPlan:
    """For a step that lasts so long."""
    step_s = max(step_s, 1e-7)
    least = max(LEAST_SAMPLE_S["cpu" if device == "cpu" else "cuda"], block_s / MOST_SAMPLES)
    steps = max(1, math.ceil(least / step_s))
    return BlockPlan(max(1, round(block_s / (steps * step_s))), steps)
