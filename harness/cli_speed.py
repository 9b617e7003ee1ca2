"""`alexbench speed` on the command line: its options, and what contradicts itself among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from harness.cli_values import (
    Device,
    FrameworkPython,
    NameList,
    NumberList,
    OneName,
    framework_names,
    network_names,
)
from harness.speed import options as speed_options
from harness.speed.options import Effort, SpeedOptions

FILE = click.Path(path_type=Path)
Command = Callable[..., int]

WITH_RESUME = ("resume", "verbose", "timeout_s", "dry_run")


def _names(
    option: str, kind: str, known: tuple[str, ...], default: str, text: str, field: str
) -> Callable[[Command], Command]:
    """An option that takes names of a fixed set."""
    return click.option(
        option,
        field,
        type=NameList(kind, lambda: known),
        metavar="NAMES",
        default=default,
        show_default=True,
        help=f"{text}: {', '.join(known)}.",
    )


@click.command()
@click.option("--gpus", type=click.IntRange(min=1), metavar="N", help="The same as --device cuda --devices N.")
@click.option("--device", type=Device(), metavar="NAME", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="How many; on the CPU they are emulated.",
)
@click.option(
    "--split",
    "splits",
    type=NameList("split", lambda: speed_options.SPLITS),
    metavar="NAMES",
    default=(),
    help="How several devices share a network: model, data, hybrid; all that it has if not given.",
)
@click.option(
    "--frameworks",
    type=NameList("framework", framework_names),
    metavar="NAMES",
    default=(),
    help="Comma-separated, as are all lists here; all installed ones if not given.",
)
@click.option(
    "--network",
    "networks",
    type=NameList("network", network_names),
    metavar="NAMES",
    default="paper",
    show_default=True,
    help="See `alexbench networks`.",
)
@click.option(
    "--batch-size",
    "batch_sizes",
    type=NumberList("batch size"),
    metavar="NUMBERS",
    help=f"{speed_options.PAPER_BATCH}, the paper's, or with --quick {speed_options.QUICK_BATCH} if not given.",
)
@_names("--precision", "precision", speed_options.PRECISIONS, "float32", "One or more of", "precisions")
@click.option(
    "--tuning",
    type=OneName("tuning", lambda: (*speed_options.TUNINGS, "both")),
    metavar="NAME",
    default="both",
    show_default=True,
    help="stock, as the framework's documentation has it; tuned, the fastest way known; or both.",
)
@_names("--input", "input", speed_options.INPUTS, "synthetic", "Where batches come from", "inputs")
@_names("--phase", "phase", speed_options.PHASES, "train-step", "What is timed", "phases")
@click.option("--quick", is_flag=True, help="Three short blocks: a first look in minutes.")
@click.option("--rigorous", is_flag=True, help="Fifteen long blocks: figures to quote.")
@click.option("--layers", is_flag=True, help="Time every layer by itself as well.")
@click.option(
    "--recipe",
    type=OneName("recipe", lambda: speed_options.RECIPES),
    metavar="NAME",
    default="paper",
    show_default=True,
    help=f"Weights where no file is given: {', '.join(speed_options.RECIPES)}.",
)
@click.option("--weights", type=FILE, metavar="FILE", help="A weights file instead of a recipe.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--python",
    "pythons",
    type=FrameworkPython(),
    multiple=True,
    help="Run a framework with another interpreter. Repeatable.",
)
@click.option("--large", is_flag=True, help="Allow a network that needs tens of gigabytes.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=speed_options.DEFAULT_TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="End a worker that says nothing for so long.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be measured and how long it would take.")
@click.option("--resume", type=FILE, metavar="DIR", help="Go on with a run that broke off.")
@click.option("--out", type=FILE, metavar="DIR", help="Run folder; runs/<time>-speed if not given.")
@click.option("--verbose", is_flag=True, help="Print every row as it is measured.")
def speed(
    gpus: int | None,
    quick: bool,
    rigorous: bool,
    tuning: str,
    batch_sizes: tuple[int, ...] | None,
    resume: Path | None,
    **values: Any,
) -> int:
    """Measure what training costs in each framework, stock and tuned, on one device or several."""
    context = click.get_current_context()
    given = _given(context)
    if quick and rigorous:
        raise click.UsageError("--quick and --rigorous contradict each other: choose one")
    if gpus is not None and {"device", "devices"} & given:
        raise click.UsageError(f"--gpus {gpus} is --device cuda --devices {gpus}: leave out --device and --devices")
    if resume is not None and (more := given - {*WITH_RESUME}):
        option = next(parameter for parameter in context.command.params if parameter.name in more)
        raise click.UsageError(f"--resume takes its settings from the run's folder: leave out {option.opts[0]}")
    if gpus is not None:
        values |= {"device": "cuda", "devices": gpus}
    effort: Effort = "quick" if quick else "rigorous" if rigorous else "default"
    default_batch = speed_options.QUICK_BATCH if quick else speed_options.PAPER_BATCH
    options = SpeedOptions(
        tunings=speed_options.TUNINGS if tuning == "both" else (tuning,),
        batch_sizes=batch_sizes or (default_batch,),
        effort=effort,
        **values,
    )
    from harness.speed import command

    return command.run(options, resume)


def _given(context: click.Context) -> set[str]:
    """Names of the parameters that the command line gave."""
    return {
        parameter.name
        for parameter in context.command.params
        if parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    }
