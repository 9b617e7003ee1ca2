"""What `alexbench audit` was asked to do. Standard library only, because `--help` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Form = Literal["table", "markdown", "csv", "json"]
FORMS: tuple[Form, ...] = get_args(Form)
DEFAULT_TIMEOUT_S = 300.0  # building and tracing a class takes seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """Every option of the command, names checked, nothing loaded yet."""

    source: str  # a catalog name, a file, or FRAMEWORK:./file.py:NAME
    against: str = "paper"  # of the catalog
    side: int | None = None  # of the images, where the source does not say
    images: tuple[Path, ...] = ()  # photographs; the two sample ones if none
    measure: bool = True
    recipe: str = "scaled"  # of the shared weights
    seed: int = 0
    keep_impl: bool = False  # a copy of a class's file, in the run's folder
    pythons: tuple[tuple[str, str], ...] = ()
    timeout_s: float = DEFAULT_TIMEOUT_S  # a worker that says nothing for so long is ended
    strict: bool = False  # exit 1 where anything departs
    form: Form = "table"
    out: Path | None = None
    overwrite: bool = False  # an earlier run that lies there
    large: bool = False
