"""`alexbench speed` on the command line: its options, and what contradicts itself among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness import cli_options
from harness.cli_exit import Measuring
from harness.cli_options import FILE
from harness.cli_values import NameList, NumberList, OneName, network_names
from harness.speed import options as speed_options
from harness.speed.options import Effort, SpeedOptions

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


@click.command(cls=Measuring)
@click.option("--gpus", type=click.IntRange(min=1), metavar="N", help="The same as --device cuda --devices N.")
@cli_options.device
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
@cli_options.frameworks
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
@cli_options.seed
@cli_options.pythons
@cli_options.large
@cli_options.timeout(speed_options.DEFAULT_TIMEOUT_S)
@click.option("--dry-run", is_flag=True, help="Print what would be measured and how long it would take.")
@click.option("--resume", type=FILE, metavar="DIR", help="Go on with a run that broke off.")
@cli_options.out("speed")
@cli_options.verbose
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
    given = cli_options.given(context)
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
