"""What `stock` and `tuned` mean in ONNX Runtime, as plain data. Standard library only: asked for before any import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from impls.protocol import Settings


@dataclass(frozen=True, slots=True)
class Tuning:
    """The choices in which the tunings differ; the defaults are those of a session without options."""

    threads: Literal["pinned", "free"] = "pinned"
    environment: Mapping[str, str] = field(default_factory=dict)


STOCK = Tuning()
# A session without options optimises its graph in every way already, and pins a thread to each physical core of the
# machine. `free`: as many threads as this process has cores, wherever the system has room for them. Gain: ONNX Runtime
# 1.32.0, the paper's network at batch 8, 2 cores AMD EPYC (Zen 4): 125 against 139 ms, in one run.
TUNED = Tuning(threads="free")


def tuning_of(settings: Settings) -> Tuning:
    """The choices for these settings."""
    return STOCK if settings.tuning == "stock" else TUNED


def environment(settings: Settings) -> dict[str, str]:
    """What a process must find set before it imports ONNX Runtime."""
    return dict(tuning_of(settings).environment)
