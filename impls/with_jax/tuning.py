"""What `stock` and `tuned` are in JAX: every choice as plain data, and what it was measured to gain.

Standard library only. `stock` is what a competent user writes from the documentation, `tuned` the fastest way known
on that kind of device.
Gains are ratios of the processor time of both cores, best of three to four runs each: the paper's layers at batch 32
in float32, jax 0.10.2, 2 cores AMD EPYC (AVX-512).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from impls.protocol import Settings

DeviceKind = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Tuning:
    """The forms of the operators (see `impls.with_jax.operators`), and what XLA and the allocator are told.

    Every program is compiled by jax.jit, its donated arrays used up by the step: that is how JAX is documented.
    """

    conv: Literal["grouped", "per-group"] = "grouped"
    lrn: Literal["window", "own-gradient"] = "window"
    power: Literal["pow", "roots"] = "pow"
    max_pool: Literal["window", "indexed"] = "window"
    generator: Literal["threefry2x32", "rbg"] = "threefry2x32"  # of dropout masks
    compiler: tuple[tuple[str, str], ...] = ()  # XLA's options, given with each program
    environment: tuple[tuple[str, str], ...] = ()


# Convolutions by Eigen instead of YNNPACK. Weight gradients: conv1 6.5 times, conv2 2.0, the others and all forward
# passes 1.05 to 1.2. Products stay with YNNPACK: the input gradient of fc6 is 2.7 times slower by Eigen.
EIGEN_CONVOLUTIONS = (("xla_cpu_experimental_ynn_fusion_type", "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"),)
# glibc would give a step's memory back to the system, and the next step pay its page faults again: 200,000 faults and
# 14 % of a step at batch 32, none with this. A second arena, for XLA's threads, could not hold large blocks.
KEEP_FREED_MEMORY = (
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_MAX_", "0"),
    ("MALLOC_TRIM_THRESHOLD_", str(1 << 36)),
)

# On one machine's CPU the same calls leave the same bits in every process, in both tunings and with nothing given up
# (inputs are copied to where XLA's own memory begins). Another number of threads may leave other bits.
STOCK = Tuning()

CHOICES: dict[tuple[str, DeviceKind], Tuning] = {
    ("stock", "cpu"): STOCK,
    ("stock", "cuda"): STOCK,
    ("tuned", "cpu"): Tuning(
        # the gradient of a grouped convolution is 8 times slower than one convolution for each group. conv1's weight
        # gradient as products of patches lost to Eigen's convolution: 0.74 times in chunks of two images, 0.4 in one
        conv="per-group",
        # forward and backward 2.3 times (norm1), 2.5 times (norm2). Lost: shifted slices 1.4, with a gradient by hand
        # 1.6, a product with a banded matrix 1.1 times (norm2)
        lrn="own-gradient",
        power="roots",  # two square roots instead of a power; measured together with the gradient
        max_pool="indexed",  # 2.5 times (pool1), 2.2 times (pool2). Lost: sums of dilated maps 1.5, 32-bit indices 2.3
        compiler=EIGEN_CONVOLUTIONS,
        environment=KEEP_FREED_MEMORY,
    ),
    ("tuned", "cuda"): Tuning(  # nothing here was measured
        conv="grouped",  # cuDNN has grouped convolutions
        lrn="own-gradient",
        power="roots",
        max_pool="indexed",  # XLA's own gradient scatters with atomic additions
        generator="rbg",  # the device's own generator: fewer operations than counting with threefry
    ),
}


def tuning_of(settings: Settings) -> Tuning:
    """The choices for these settings."""
    return CHOICES[settings.tuning, "cpu" if settings.device == "cpu" else "cuda"]


def environment(settings: Settings) -> dict[str, str]:
    """What must stand in the environment before JAX is imported; what the user set is kept."""
    chosen = {name: os.environ.get(name, value) for name, value in tuning_of(settings).environment}
    return chosen | _devices(settings)


def _devices(settings: Settings) -> dict[str, str]:
    """What emulates several CPU devices, in each process its share of them; one device needs no other process."""
    spans = bool(os.environ.get("JAX_COORDINATOR_ADDRESS"))
    if settings.devices == 1:
        return {"JAX_COORDINATOR_ADDRESS": ""} if spans else {}
    if settings.device != "cpu":
        return {}
    count = os.environ.get("JAX_NUM_PROCESSES", "") if spans else ""
    return {"JAX_NUM_CPU_DEVICES": str(max(1, settings.devices // max(1, int(count) if count.isdecimal() else 1)))}
