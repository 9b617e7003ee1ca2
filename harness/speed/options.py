"""What `alexbench speed` was asked to do. Standard library only, because `--help` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TUNINGS = ("stock", "tuned")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
SPLITS = ("none", "model", "data", "hybrid")
INPUTS = ("synthetic", "host", "file")
PHASES = ("train-step", "forward-backward", "forward")
RECIPES = ("paper", "scaled", "original-2012", "own")
DEFAULT_TIMEOUT_S = 600.0

PAPER_BATCH = 128  # paper, section 5
QUICK_BATCH = 16

Effort = Literal["quick", "default", "rigorous"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedOptions:
    """Every option of the command, names checked, nothing loaded yet."""

    networks: tuple[str, ...] = ("paper",)
    frameworks: tuple[str, ...] = ()  # empty: every registered framework that is installed
    tunings: tuple[str, ...] = TUNINGS
    device: str = "cpu"  # cpu, cuda or cuda:N
    devices: int = 1
    splits: tuple[str, ...] = ()  # empty: none on one device, on several all that a network has
    batch_sizes: tuple[int, ...] = (PAPER_BATCH,)
    precisions: tuple[str, ...] = ("float32",)
    inputs: tuple[str, ...] = ("synthetic",)
    phases: tuple[str, ...] = ("train-step",)
    effort: Effort = "default"
    layers: bool = False
    recipe: str = "paper"  # how weights are drawn where no file is given
    weights: Path | None = None
    seed: int = 0
    pythons: tuple[tuple[str, str], ...] = ()  # (framework, interpreter) where it is not this one
    timeout_s: float = DEFAULT_TIMEOUT_S  # a worker that says nothing for so long is ended
    dry_run: bool = False
    large: bool = False
    out: Path | None = None
    overwrite: bool = False  # an earlier run that lies there
    verbose: bool = False
