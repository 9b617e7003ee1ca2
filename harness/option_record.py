"""A command's options as `run.json` keeps them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def recorded(options: DataclassInstance) -> dict[str, Any]:
    """Each option by its name: paths as text, the items of a tuple too."""
    made: dict[str, Any] = {}
    for option in fields(options):
        value = getattr(options, option.name)
        made[option.name] = [str(item) for item in value] if isinstance(value, tuple) else value
    return {name: str(value) if isinstance(value, Path) else value for name, value in made.items()}
