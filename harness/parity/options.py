"""What `alexbench parity` was asked to do. Standard library only, because `--help` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LEVELS = ("operator", "layer", "forward", "gradient", "training", "split")
FORWARD_LEVELS = LEVELS[:3]  # of a framework without gradients, in their forward parts
DEFAULT_LEVELS = LEVELS[:-1]  # several devices are asked for by name
SPLITS = ("model", "data", "hybrid")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
FORWARD_PRECISIONS = PRECISIONS[:1]  # of a framework without gradients
TUNINGS = ("stock", "tuned")
RECIPES = ("scaled", "paper", "original-2012", "own")
DEFAULT_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityOptions:
    """Every option of the command, names checked, nothing loaded yet."""

    network: str = "paper"
    frameworks: tuple[str, ...] = ()  # empty: every registered framework that is installed
    levels: tuple[str, ...] = DEFAULT_LEVELS
    devices: int = 2  # of the level split
    splits: tuple[str, ...] = ()  # of the level split; empty: all that the network has
    precision: str = "float32"
    tunings: tuple[str, ...] = TUNINGS
    recipe: str = "scaled"  # how weights are drawn where no file is given
    weights: Path | None = None
    seed: int = 0
    images: tuple[Path, ...] = ()  # files and folders; empty: the two sample photographs
    device: str = "cpu"  # cpu, cuda or cuda:N
    impls: tuple[str, ...] = ()  # outside implementations, "./file.py:attribute" or "module:attribute"
    keep_impl: bool = False  # a copy of their files, in the run's folder
    pythons: tuple[tuple[str, str], ...] = ()  # (framework, interpreter) where it is not this one
    jobs: int | None = None  # workers at a time; None: chosen from the machine
    timeout_s: float = DEFAULT_TIMEOUT_S  # a worker that says nothing for so long is ended
    out: Path | None = None
    overwrite: bool = False  # an earlier run that lies there
    self_test: bool = False
    large: bool = False
    verbose: bool = False
