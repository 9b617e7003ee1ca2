"""What `alexbench paper` was asked to do. Standard library only, because `--help` reads it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# As in `variants.ABLATIONS`; figure 1 is ReLU against tanh.
ABLATIONS = (
    "one-tower", "no-lrn", "non-overlapping", "no-augmentation", "no-colour-noise", "one-crop", "no-dropout",
    "one-layer-less", "figure-1",
)  # fmt: skip
MINIATURE = "miniature"
DIGITS = "digits"
Precision = Literal["float32", "tf32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
DEFAULT_SEEDS = 5
DEFAULT_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOptions:
    """Every option of the command, names checked, nothing loaded yet."""

    runs: tuple[Path, ...] = ()  # folders of train, evaluate or paper, whose figures are taken in
    weights: tuple[Path, ...] = ()  # of the catalog's networks: figures 3 and 4 are drawn from them
    data: str | None = None  # for ablations digits if not given; figure 4 needs it said
    ablations: bool = False
    only: tuple[str, ...] = ()  # of ABLATIONS; empty: all that change something in the network
    network: str = MINIATURE  # to be ablated: of the catalog, or the miniature one
    seeds: int = DEFAULT_SEEDS
    epochs: int | None = None
    limit: int | None = None  # train on so many images only
    frameworks: tuple[str, ...] = ()  # empty: the first that is installed
    precision: Precision = "float32"
    device: str = "cpu"
    pythons: tuple[tuple[str, str], ...] = ()
    timeout_s: float = DEFAULT_TIMEOUT_S
    out: Path | None = None
    overwrite: bool = False  # an earlier run that lies there
    verbose: bool = False

    def python(self, framework: str) -> str:
        """The interpreter that a framework runs in."""
        return dict(self.pythons).get(framework, sys.executable)
