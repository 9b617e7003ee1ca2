"""What `stock` and `tuned` mean in PyTorch, as plain data. Standard library only: it is asked for before any import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from impls.protocol import Settings


@dataclass(frozen=True, slots=True)
class Tuning:
    """The choices in which the tunings differ; the defaults are what PyTorch's documentation has one write."""

    layout: Literal["contiguous", "channels-last"] = "contiguous"  # of maps in memory
    dense: Literal["framework", "onednn"] = "framework"
    lrn: Literal["framework", "by-hand"] = "framework"
    max_pool: Literal["framework", "whole"] = "framework"
    compiled: bool = False  # the step by torch.compile
    cuda_graphs: bool = False  # the step captured once and replayed
    compiler_options: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


# glibc gives every large block back to the system when it is freed, and the next step pays its page faults again.
KEEP_FREED_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 36)}

# Gains: PyTorch 2.13.0, float32, 2 cores AMD EPYC (Zen 4). The cores were shared while most were measured, so that
# they are ratios of alternating or adjacent runs, to about a tenth. A whole training step of the paper's network at
# batch 32: 2.04 times stock (1875 -> 918 ms; four alternating rounds, each tuning in its own process and environment).
# On one machine's CPU the same calls leave the same bits in every process, in both tunings and with nothing given up:
# static shares of the work for each thread, and inputs copied to where PyTorch's own memory begins. Another number of
# threads may leave other bits.
STOCK = Tuning()
TUNED: dict[str, Tuning] = {
    "cpu": Tuning(
        # oneDNN's own order; what follows builds on it. conv1 forward and by its kernels 72 against 124 ms at batch 32,
        # in one run that was not alternated.
        layout="channels-last",
        # oneDNN's against MKL's matrix product, fc6 at batch 32: forward 18 against 36 ms, by x 22 against 44, by the
        # weights 18 against 31; at batch 128 1.2 to 2 times. As 1 x 1 convolutions it lost: 26, 50 and 66 ms.
        dense="onednn",
        # Forward and backward at [32, 27, 27, 256], compiled: 10.2 times stock (30 against 308 ms). Not compiled
        # it is 6.5 times with slices added in place; window by a banded product: 2.0 times; in blocks that fit the
        # cache: 1.1 to 1.4 times, for the calls they cost.
        lrn="by-hand",
        # Compiled, ReLU with LRN and pooling at [32, 55, 55, 96], forward and backward: 48 against 101 ms.
        max_pool="whole",
        # Update of all weights in one pass over memory; ReLU, LRN and dropout fused. The step at batch 32 against the
        # same operators uncompiled, with the framework's max_pool: 955 against 1247 ms in adjacent runs.
        compiled=True,
        # Sums of shifted slices read a stored term instead of computing it five times: 42 against 48 ms where
        # max_pool's gain was measured. 4 did no better.
        compiler_options={"realize_opcount_threshold": 8},
        environment=KEEP_FREED_MEMORY,
    ),
    # Not measured: chosen by documentation. Dense layers and pools are left to cuBLAS and to the compiler.
    "cuda": Tuning(layout="channels-last", lrn="by-hand", compiled=True, cuda_graphs=True),
}


def tuning_of(settings: Settings) -> Tuning:
    """The choices for these settings."""
    if settings.tuning == "stock":
        return STOCK
    kind = device_kind(settings.device)
    if kind == "cpu" and settings.precision != "float32":
        # The compiler takes minutes over a half-precision gradient of cifar-4layer: seen, and not waited for.
        return replace(TUNED[kind], compiled=False)
    return TUNED[kind]


def device_kind(device: str) -> str:
    """`cuda` of `cuda:1`; any other device is looked for by `arrays.find_device`, which knows what to say of it."""
    return "cuda" if device.partition(":")[0] == "cuda" else "cpu"


def environment(settings: Settings) -> dict[str, str]:
    """What a process must find set before it imports PyTorch."""
    return dict(tuning_of(settings).environment)
