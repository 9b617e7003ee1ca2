"""A recipe's fields as a file of somebody else's gives them: each known, of its type and in its range, or refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, get_args

from harness.errors import UsageError
from impls.nearest import question
from impls.spec import Change, ColourNoise, Crop, Recipe

MOST_EPOCHS = 1_000_000


def recipe_of(given: Mapping[str, Any], where: str) -> Recipe:
    """A recipe from fields of whatever type; `where` begins the message. Raises UsageError."""
    known = tuple(field.name for field in fields(Recipe))
    values = {name: checked(name, value, where) for name, value in _of_known(given, known, where).items()}
    return replace(Recipe(source=where.removeprefix("--recipe ")), **values)


def _of_known(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> Mapping[str, Any]:
    for name in given:
        if name not in known:
            hint = question(str(name), known)
            raise UsageError(f"{where}: unknown field {name!r}: {hint}known are {', '.join(known)}")
    return given


def checked(name: str, value: Any, where: str) -> Any:
    """The value of one field as `Recipe` holds it."""
    expected, convert = _FIELDS[name]
    found = convert(value)
    if found is None:
        raise UsageError(f"{where}: {name} is {told(value)}, expected {expected}")
    return found


def _whole(least: int) -> Callable[[Any], int | None]:
    return lambda value: value if type(value) is int and least <= value <= MOST_EPOCHS else None


def _number(holds: Callable[[float], bool]) -> Callable[[Any], float | None]:
    def convert(value: Any) -> float | None:
        # An int of JSON may be larger than any float.
        is_number = type(value) in (int, float) and abs(value) < 1e30 and math.isfinite(value)
        return float(value) if is_number and holds(value) else None

    return convert


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _name_of(kind: Any) -> Callable[[Any], str | None]:
    return lambda value: value if isinstance(value, str) and value in get_args(kind) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= 500 else None


def _epochs(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, list | tuple) or not all(type(epoch) is int and epoch > 0 for epoch in value):
        return None
    return tuple(value) if list(value) == sorted(value) else None  # equal ones: dropped twice at once


def _changes(value: Any) -> tuple[Change, ...] | None:
    found = [_change(item) for item in value] if isinstance(value, list | tuple) else [None]
    return None if None in found else tuple(change for change in found if change is not None)


def _change(value: Any) -> Change | None:
    known = {field.name for field in fields(Change)}
    if not isinstance(value, Mapping) or "epoch" not in value or not set(value) <= known:
        return None
    epoch, factor, noise = value["epoch"], value.get("bias_factor"), value.get("colour_noise")
    layers = value.get("layer_factors")
    pairs = None if layers is None else _layer_factors(layers)
    is_sound = (
        type(epoch) is int
        and epoch >= 0
        and (factor is None or _FACTOR(factor) is not None)
        and (noise is None or noise in get_args(ColourNoise))
        and (layers is None) == (pairs is None)
    )
    if not is_sound:
        return None
    return Change(
        epoch=epoch, bias_factor=None if factor is None else float(factor), layer_factors=pairs, colour_noise=noise
    )


def _layer_factors(value: Any) -> tuple[tuple[str, float], ...] | None:
    """A table of layer -> factor, or a list of pairs."""
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(pairs, list | tuple):
        return None
    found = []
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            return None
        factor = _FACTOR(pair[1])
        if factor is None:
            return None
        found.append((pair[0], factor))
    return tuple(found)


_NOISES = ", ".join(get_args(ColourNoise))
_FACTOR = _number(lambda value: value >= 0)

_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "batch_size": ("a whole number of at least 1", _whole(1)),
    "learning_rate": ("a number above 0", _number(lambda value: value > 0)),
    "momentum": ("a number from 0 to below 1", _number(lambda value: 0 <= value < 1)),
    "weight_decay": ("a number of at least 0", _FACTOR),
    "decay_biases": ("true or false", _flag),
    "epochs": ("a whole number of at least 1", _whole(1)),
    "drop_factor": ("a number above 0, at most 1", _number(lambda value: 0 < value <= 1)),
    "drop_epochs": ("whole numbers above 0, none lower than the one before", _epochs),
    "drops": ("a whole number of at least 0", _whole(0)),
    "patience": ("a whole number of at least 1", _whole(1)),
    "changes": (
        f"a list of {{epoch, bias_factor, layer_factors, colour_noise}} with factors of at least 0, noise of {_NOISES}",
        _changes,
    ),
    "crop": (f"one of {', '.join(get_args(Crop))}", _name_of(Crop)),
    "flip": ("true or false", _flag),
    "colour_noise": (f"one of {_NOISES}", _name_of(ColourNoise)),
    "source": ("a text of at most 500 characters", _text),
}


def told(value: Any) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
