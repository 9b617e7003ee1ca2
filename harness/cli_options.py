"""Options that several commands share, each said once."""

from __future__ import annotations

import math
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from harness.cli_values import (
    DataSource,
    Device,
    FolderParts,
    FrameworkPython,
    NameList,
    OneName,
    framework_names,
    network_names,
)

FILE = click.Path(path_type=Path)  # whether a file is there and readable is said by the code that reads it
Decorator = Callable[[Callable[..., int]], Callable[..., int]]

frameworks: Decorator = click.option(
    "--frameworks",
    "--framework",
    "frameworks",
    type=NameList("framework", framework_names),
    metavar="NAMES",
    default=(),
    help="Comma-separated; all installed ones if not given.",
)
device: Decorator = click.option(
    "--device", type=Device(), metavar="NAME", default="cpu", show_default=True, help="cpu, cuda or cuda:N."
)
pythons: Decorator = click.option(
    "--python",
    "pythons",
    type=FrameworkPython(),
    multiple=True,
    help="Run a framework with another interpreter. Repeatable.",
)
seed: Decorator = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
large: Decorator = click.option("--large", is_flag=True, help="Allow a network that needs tens of gigabytes.")
keep_impl: Decorator = click.option(
    "--keep-impl", is_flag=True, help="Keep a copy of the file of your own code in the run folder."
)
verbose: Decorator = click.option("--verbose", is_flag=True, help="Print every row as it is measured.")


def network(**changes: Any) -> Decorator:
    """One network of the catalog."""
    settings = {"type": OneName("network", network_names), "metavar": "NAME", "default": "paper", "show_default": True}
    return click.option("--network", **{**settings, "help": "See `alexbench networks`.", **changes})


def precision(names: tuple[str, ...]) -> Decorator:
    """One precision of those."""
    return click.option(
        "--precision",
        type=OneName("precision", lambda: names),
        metavar="NAME",
        default="float32",
        show_default=True,
        help=f"One of {', '.join(names)}.",
    )


def out(command: str) -> Decorator:
    """The run folder, and what becomes of an earlier run in it."""
    folder = click.option("--out", type=FILE, metavar="DIR", help=f"Run folder; runs/<time>-{command} if not given.")
    overwrite = click.option("--overwrite", is_flag=True, help="Remove the run that the folder of --out holds.")
    return lambda function: folder(overwrite(function))


def new_file(text: str, *, needed: bool = True) -> Decorator:
    """One file to write, which is put in the place of what has its name: a device or a pipe must not be lost so."""
    return click.option("--out", type=FILE, required=needed, metavar="FILE", callback=_writable, help=text)


def _writable(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Raises UsageError for what a file must not replace; a link to a file, or to nothing, is no loss."""
    if value is None:
        return None
    try:
        mode = value.stat().st_mode
    except (OSError, ValueError):
        return value  # whoever writes it says what is wrong
    if not stat.S_ISREG(mode):
        raise click.UsageError(f"cannot write {str(value)!r}: it is there and no file; name a file to write", context)
    return value


def _seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.UsageError(f"--timeout {value} is no number of seconds", context)
    return value


def timeout(default_s: float) -> Decorator:
    """How long a worker may be silent."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        default=default_s,
        show_default=True,
        callback=_seconds,
        metavar="SECONDS",
        help="End a worker that says nothing for so long.",
    )


SOURCES = "digits, photos, imagenet:PATH, imagefolder:PATH, cifar10:PATH or mnist:PATH"
parts: Decorator = click.option(
    "--parts",
    type=FolderParts(),
    default=(),
    help="Folders below imagefolder:PATH, where their names do not tell: train=training_set,val=test_set.",
)


def data(text: str = f"A folder made by `alexbench prepare`, or {SOURCES}.", *, needed: bool = True) -> Decorator:
    """Where images come from; where it is `needed`, a command without it is told so."""
    return click.option(
        "--data",
        type=DataSource(),
        metavar="SOURCE",
        callback=(lambda _context, _parameter, value: needed_data(value)) if needed else None,
        help=text,
    )


def needed_data(value: str | None) -> str:
    """The source. Raises UsageError where none is given."""
    if value is None:
        raise click.UsageError("--data is missing: name a source, such as --data digits, or a prepared folder")
    return value


def given(context: click.Context) -> set[str]:
    """Names of the parameters that the command line gave."""
    return {
        parameter.name
        for parameter in context.command.params
        if parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    }
