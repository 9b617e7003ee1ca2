"""What `alexbench evaluate` was asked. Standard library only: the command line imports it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PARTS = ("train", "val", "test")
TUNINGS = ("stock", "tuned")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
CROPS = (1, 10)
CLASS_ORDERS = ("data", "sorted")
DEFAULT_BATCH = 100
DEFAULT_TIMEOUT_S = 600.0

Tuning = Literal["stock", "tuned"]
ClassOrder = Literal["data", "sorted"]
Precision = Literal["float32", "tf32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """The command's options; every name is checked already."""

    weights: tuple[Path, ...]
    data: str  # a source, or a prepared folder
    parts: tuple[tuple[str, str], ...] = ()  # (part, folder) of an imagefolder, where its names do not tell
    part: str = "val"
    crops: tuple[int, ...] = CROPS
    frameworks: tuple[str, ...] = ()  # none: all that are installed
    ensemble: bool = True  # of several files
    tuning: Tuning = "tuned"
    precision: Precision = "float32"
    device: str = "cpu"
    pythons: tuple[tuple[str, str], ...] = ()
    timeout_s: float = DEFAULT_TIMEOUT_S
    class_order: ClassOrder = "data"  # of the networks' outputs
    limit: int | None = None  # score the first so many images only
    batch_size: int = DEFAULT_BATCH  # views that a pass takes at most
    large: bool = False
    out: Path | None = None
    overwrite: bool = False  # an earlier run that lies there
    verbose: bool = False

    def python(self, framework: str) -> str:
        """The interpreter a framework runs in."""
        return dict(self.pythons).get(framework, sys.executable)

    def arguments(self) -> dict[str, object]:
        """As run.json keeps them."""
        made: dict[str, object] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, tuple):
                value = [item if isinstance(item, int) else _text(item) for item in value]
            made[name] = str(value) if isinstance(value, Path) else value
        return made


def _text(item: object) -> str:
    return "=".join(map(str, item)) if isinstance(item, tuple) else str(item)
