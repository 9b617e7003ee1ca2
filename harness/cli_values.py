"""Types of the command line's values: names checked against what is registered, with shell completion.

Nothing but the standard library and click is imported until a value is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from impls.nearest import question, unknown

Names = Callable[[], Sequence[str]]


def network_names() -> list[str]:
    """The catalog's networks."""
    from impls import catalog

    return list(catalog.NETWORKS)


def framework_names() -> list[str]:
    """The registered frameworks, plug-ins included."""
    from impls import registry

    return list(registry.frameworks(forward_only=True))


def source_names() -> list[str]:
    """Sources of data, with the colon where a path follows."""
    from harness.data.sources import opening

    return opening.names()


class OneName(click.ParamType[Any]):
    """One name of a known set."""

    def __init__(self, kind: str, names: Names) -> None:
        self.name = kind
        self._names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name itself. Fails with the nearest known one."""
        if value not in (known := self._names()):
            raise click.UsageError(unknown(self.name, str(value), known), ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names that begin as typed."""
        return [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]


class NameList(OneName):
    """Names separated by commas, each of a known set; repeated ones count once."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A tuple of names in the order given."""
        if isinstance(value, tuple):
            return value
        names = [part.strip() for part in str(value).split(",") if part.strip()]
        if not names:
            raise click.UsageError(f"no {self.name} given: choose from {', '.join(self._names())}", ctx)
        return tuple(dict.fromkeys(super(NameList, self).convert(name, param, ctx) for name in names))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the name after the last comma, leaving out those given."""
        given, comma, last = incomplete.rpartition(",")
        rest = [name for name in self._names() if name.startswith(last) and name not in given.split(",")]
        return [CompletionItem(f"{given}{comma}{name}") for name in rest]


class NumberList(click.ParamType[Any]):
    """Whole numbers above zero, separated by commas; repeated ones count once."""

    def __init__(self, kind: str) -> None:
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A tuple of numbers in the order given."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",") if part.strip()]
        wrong = [part for part in parts if not re.fullmatch(r"[0-9]{1,9}", part) or not int(part)]
        if wrong or not parts:
            raise click.UsageError(f"{self.name} {(wrong or [value])[0]!r} is not a whole number above 0", ctx)
        return tuple(dict.fromkeys(int(part) for part in parts))


class FrameworkPython(click.ParamType[Any]):
    """FRAMEWORK=PATH: the interpreter a framework runs in."""

    name = "FRAMEWORK=PATH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """(framework, path). The path is only tried when the worker starts."""
        if isinstance(value, tuple):
            return value
        framework, equals, path = str(value).partition("=")
        if not equals or not path:
            raise click.UsageError(
                f"--python {value!r} must be FRAMEWORK=PATH, such as torch=.venv-torch/bin/python", ctx
            )
        if framework not in (known := framework_names()):
            raise click.UsageError(unknown("framework", framework, known), ctx)
        return framework, path

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The framework's name, then files."""
        if "=" in incomplete:
            return [CompletionItem(incomplete.partition("=")[2], type="file")]
        return [CompletionItem(f"{name}=") for name in framework_names() if name.startswith(incomplete)]


class DataSource(click.ParamType[Any]):
    """A source of data with its path, or a prepared folder: told apart by what opens it."""

    name = "source"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it was given."""
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Sources' names; where none begins as typed, folders, behind the colon if there is one."""
        if found := [CompletionItem(name) for name in source_names() if name.startswith(incomplete)]:
            return found
        return [CompletionItem(incomplete.rpartition(":")[2], type="dir")]


class FolderParts(click.ParamType[Any]):
    """PART=FOLDER,...: the folders of parts, each below the source's path."""

    name = "PART=FOLDER,..."
    PARTS = ("train", "val", "test")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Pairs of a part and a folder, in the order given. A comma may stand in a folder's name."""
        if isinstance(value, tuple):
            return value
        pairs: list[tuple[str, str]] = []
        for text in re.split(r",(?=[^,=/]*=)", str(value)):
            part, equals, folder = text.strip().partition("=")
            if not equals or not folder:
                raise click.UsageError(
                    f"--parts {text!r} must be PART=FOLDER, such as train=training_set,val=test_set", ctx
                )
            if part not in self.PARTS:
                raise click.UsageError(unknown("part", part, self.PARTS), ctx)
            if part in dict(pairs):
                raise click.UsageError(f"--parts names {part} twice, {dict(pairs)[part]!r} and {folder!r}", ctx)
            pairs.append((part, folder))
        return tuple(pairs)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The parts that are not named yet."""
        given, comma, last = incomplete.rpartition(",")
        rest = [part for part in self.PARTS if part.startswith(last) and f"{part}=" not in given]
        return [CompletionItem(f"{given}{comma}{part}=") for part in rest]


class Device(click.ParamType[Any]):
    """cpu, cuda or cuda:N."""

    name = "cpu|cuda|cuda:N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The device as it was given."""
        if not re.fullmatch(r"cpu|cuda(:\d+)?", str(value)):
            hint = question(str(value).partition(":")[0], ("cpu", "cuda"))
            raise click.UsageError(f"unknown device {value!r}: {hint}choose cpu, cuda or cuda:N", ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """cpu and cuda."""
        return [CompletionItem(name) for name in ("cpu", "cuda") if name.startswith(incomplete)]
