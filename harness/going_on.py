"""What to type to go on with a run that broke off."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

from harness.errors import CannotMeasure
from harness.run_folder import RunFolder
from reports.render.terminal import say


def line(command: str, folder: Path) -> str:
    """The command line that goes on with a run."""
    return f"go on with: alexbench {command} --resume {shlex.quote(str(folder))}"


def tell(folder: RunFolder) -> None:
    """Print it, on standard error."""
    say(line(folder.facts["command"], folder.path), error=True)


@contextlib.contextmanager
def told(folder: RunFolder) -> Iterator[None]:
    """Tell it where the run is interrupted, or something is missing that may be there the next time."""
    try:
        yield
    except (KeyboardInterrupt, CannotMeasure):
        tell(folder)
        raise
