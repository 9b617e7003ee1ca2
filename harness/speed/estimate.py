"""What a setting will need, before it is tried: memory and time, roughly; and what it needs for certain."""

from __future__ import annotations

from harness.speed.effort import BUDGETS, block_plan
from harness.speed.inputs import RING
from harness.speed.matrix import Setting
from harness.speed.options import Effort
from impls import catalog, costs, derive
from impls.spec import Conv, Dense

GIB = 2**30

# Floating-point operations per second, to tell minutes from hours: one processor core, one data-centre GPU.
RATES: dict[str, dict[str, float]] = {
    "cpu": {"stock": 25e9, "tuned": 45e9},
    "cuda": {"stock": 15e12, "tuned": 25e12},
}
SPEED_OF_PRECISION = {"float32": 1.0, "tf32": 3.0, "bfloat16": 5.0, "float16": 5.0}  # on a GPU; on a CPU all are one
WORK_OF_PHASE = {"train-step": 1.0, "forward-backward": 1.0, "forward": 1 / 3}
START_S = 9.0  # import, build, compile, check: of each worker
RUN_S = 15.0  # weights, reference, peaks: once


def step_s(setting: Setting, tuning: str, cores: int) -> float:
    """Seconds of one step, roughly."""
    flops = derive.training_flops(catalog.get(setting.network)) * setting.batch_size * WORK_OF_PHASE[setting.phase]
    if setting.device == "cpu":
        return flops / (RATES["cpu"][tuning] * cores)
    return flops / (RATES["cuda"][tuning] * SPEED_OF_PRECISION[setting.precision] * setting.devices)


def setting_s(setting: Setting, tunings: tuple[str, ...], frameworks: int, effort: Effort, cores: int) -> float:
    """Seconds that one setting takes in all frameworks and tunings."""
    budget = BUDGETS[effort]
    total = 0.0
    for tuning in tunings:
        step = step_s(setting, tuning, cores)
        plan = block_plan(step, budget.block_s, setting.device)
        warm = 2 * step + (budget.windows - 1) * max(step, budget.window_s)
        untimed = step if step < budget.untimed_below_s else 0.0
        total += START_S + warm + budget.blocks * (untimed + plan.samples * plan.steps * step + 0.2)
    return total * frameworks


def worker_bytes(setting: Setting) -> int:
    """Memory of one worker, roughly: activations three times, weights four times, and the framework itself."""
    network = catalog.get(setting.network)
    each = costs.BYTES[setting.precision]
    outputs = sum(derive.volume(row.output_shape) for row in derive.facts(network))
    image = derive.volume((network.height, network.width, network.channels))
    waiting = {"host": RING, "file": 3}.get(setting.input, 0)
    activations = setting.batch_size * (outputs * each * 3 + image * 4 * (1 + waiting))
    return activations + derive.parameter_count(network) * 16 + GIB


def least_bytes(setting: Setting) -> int:
    """Memory that no implementation can do without, on one device.

    Training keeps float32 weights and velocity, and the outputs of all learned layers until the backward pass; forward
    keeps the weights and the largest layer's input and output.
    """
    network = catalog.get(setting.network)
    rows = derive.facts(network)
    each = costs.BYTES[setting.precision]
    images = setting.batch_size if setting.split in ("none", "model") else setting.batch_size // setting.devices
    parts = setting.devices if setting.split in ("model", "hybrid") and setting.device != "cpu" else 1
    parameters = derive.parameter_count(network) // parts
    if setting.phase == "forward":
        largest = max(derive.volume(row.input_shape) + derive.volume(row.output_shape) for row in rows)
        return images * largest * each // parts + parameters * each
    kept = sum(derive.volume(row.output_shape) for row in rows if isinstance(row.layer, Conv | Dense))
    return images * kept * each // parts + parameters * (8 if setting.phase == "train-step" else 4)
