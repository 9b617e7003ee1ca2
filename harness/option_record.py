"""A command's options as `run.json` keeps them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")


def recorded(options: DataclassInstance) -> dict[str, Any]:
    """Each option by its name: paths as text, the items of a tuple too."""
    made: dict[str, Any] = {}
    for option in fields(options):
        value = getattr(options, option.name)
        made[option.name] = [str(item) for item in value] if isinstance(value, tuple) else value
    return {name: str(value) if isinstance(value, Path) else value for name, value in made.items()}


def checked(options: Options) -> Options:
    """The options, read from a run.json that anybody may have written. Raises TypeError for a value of another type."""
    for name, kind in get_type_hints(type(options)).items():
        if not _is_a(getattr(options, name), kind):
            raise TypeError(f"{name} is no {kind}")
    return options


def _is_a(value: Any, kind: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return isinstance(value, str | int) and value in parts
    if origin is UnionType:
        return any(_is_a(value, part) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else parts
        return len(value) == len(kinds) and all(map(_is_a, value, kinds))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
