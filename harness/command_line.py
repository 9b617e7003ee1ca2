"""The command line that does a run again: as it was typed, or of a command called otherwise, from its options."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Fields of options -> their names on the command line, where those are not the same.
NAMES = {
    "levels": "level", "splits": "split", "impls": "impl", "pythons": "python", "networks": "network",
    "batch_sizes": "batch-size", "precisions": "precision", "inputs": "input", "phases": "phase", "tunings": "tuning",
    "timeout_s": "timeout", "checkpoint_s": "checkpoint-every", "validate": "validation", "form": "format",
}  # fmt: skip
ARGUMENTS = ("source", "runs")  # without a name
REPEATED = ("images", "impls", "pythons", "weights")  # named for each value; other lists have commas
ALWAYS = ("batch_sizes",)  # the default depends on other options

_typed: ContextVar[tuple[str, ...] | None] = ContextVar("typed", default=None)


@contextlib.contextmanager
def typed(words: Sequence[str]) -> Iterator[None]:
    """While a command runs: what was typed behind `alexbench`."""
    token = _typed.set(tuple(words))
    try:
        yield
    finally:
        _typed.reset(token)


def of(command: str, options: DataclassInstance) -> str:
    """The whole line, for a shell. `options` are the command's own, and tell where nothing was typed."""
    words = _typed.get()
    return shlex.join(["alexbench", *((command, *told(options)) if words is None else words)])


def told(options: DataclassInstance) -> list[str]:
    """The words for every option that is not as it is by default."""
    differing = [
        (field.name, getattr(options, field.name))
        for field in fields(options)
        if field.name in ALWAYS or getattr(options, field.name) != field.default
    ]
    return [word for name, value in differing for word in _words(name, value)]


def _words(name: str, value: Any) -> list[str]:
    option = f"--{NAMES.get(name, name).replace('_', '-')}"
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-", 1)]
    if name == "effort":
        return [f"--{value}"]
    values = [_text(one) for one in value] if isinstance(value, tuple) else [str(value)]
    if name in ARGUMENTS:
        return values
    return [word for one in (values if name in REPEATED else [",".join(values)]) for word in (option, one)]


def _text(value: Any) -> str:
    return "=".join(map(str, value)) if isinstance(value, tuple) else str(value)
