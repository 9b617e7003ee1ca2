"""What `--impl` is given: a function that builds a network, and no class of a framework's."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import click

MODULES = ("Module", "Model", "Sequential")  # what frameworks' own classes of networks are derived from
TAKES = "--impl takes a function build(network, weights) that returns activations(images), such as ./mine.py:build"


class ImplTarget(click.ParamType[Any]):
    """./mine.py:build or module:build. Nothing is run to see what it is."""

    name = "TARGET"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The target as it was given. Raises click.UsageError for a class of a framework's."""
        from impls.registry import READERS

        given = str(value)
        prefix, _, rest = given.partition(":")
        if prefix in READERS and ":" in rest:
            raise click.UsageError(f"{TAKES}; a class is for alexbench audit {given}", ctx)
        file, _, attribute = given.rpartition(":")
        if file.endswith(".py") and _is_network_class(Path(file), attribute):
            raise click.UsageError(
                f"{given} is a class: {TAKES}; classes are for alexbench audit, such as torch:{given}", ctx
            )
        return given


def _is_network_class(file: Path, name: str) -> bool:
    """Whether the file's text defines a network's class of that name; no where it cannot be read: who runs it says."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    found = [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name]
    return any(ast.unparse(base).rpartition(".")[2] in MODULES for each in found for base in each.bases)
