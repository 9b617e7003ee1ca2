"""What `alexbench train` was asked to do. Standard library only, because `--help` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TUNINGS = ("tuned", "stock")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
SPLITS = ("none", "model", "data", "hybrid")
INITS = ("own", "paper", "original-2012", "scaled")
NAMED_RECIPES = ("own", "paper", "original-2012", "digits")
DEFAULT_TIMEOUT_S = 600.0
DEFAULT_CHECKPOINT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Every option of the command, names checked, nothing loaded yet. None: the recipe says, or the command chooses."""

    data: str
    parts: tuple[tuple[str, str], ...] = ()  # (part, folder) of an imagefolder, where its names do not tell
    network: str = "paper"
    frameworks: tuple[str, ...] = ()  # empty: every registered framework that is installed
    recipe: str | None = None  # a name or a file
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    init: str | None = None
    weights: Path | None = None  # to start from
    limit: int | None = None  # train on so many images only
    steps: int | None = None  # end after so many
    validate: bool = True  # after each epoch
    precision: str = "float32"
    device: str = "cpu"
    devices: int = 1
    split: str | None = None
    tuning: str = "tuned"
    seed: int = 0
    pythons: tuple[tuple[str, str], ...] = ()  # (framework, interpreter) where it is not this one
    timeout_s: float = DEFAULT_TIMEOUT_S  # a worker that says nothing for so long is ended
    checkpoint_s: float = DEFAULT_CHECKPOINT_S  # beside one after each epoch
    large: bool = False
    out: Path | None = None
    overwrite: bool = False  # an earlier run that lies there
    verbose: bool = False
