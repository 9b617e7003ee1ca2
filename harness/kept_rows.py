"""Rows kept as they are measured, and with --verbose printed: the one way from a command's work to its run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.run_folder import RunFolder
from reports.render.terminal import Console


def keeper(folder: RunFolder, verbose: bool) -> Callable[[str, Mapping[str, Any]], None]:
    """What takes a kind and a row. Raises CannotMeasure where the row cannot be written."""
    console = Console(stderr=True)

    def keep(kind: str, row: Mapping[str, Any]) -> None:
        folder.append(kind, row)
        if verbose:
            shown = " ".join(f"{name}={value}" for name, value in row.items() if value is not None)
            console.print(f"{kind}: {shown}", markup=False, highlight=False, soft_wrap=True)

    return keep
