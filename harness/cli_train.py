"""`alexbench train` on the command line: its options, and what contradicts itself among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness import cli_options
from harness.cli_exit import Measuring
from harness.cli_options import FILE
from harness.cli_values import NameList, OneName, framework_names
from harness.training import options as train_options
from harness.training.options import TrainOptions

WITH_RESUME = ("resume", "verbose", "timeout_s", "checkpoint_s")
ABOVE_ZERO = click.IntRange(min=1)


def _one_of(option: str, kind: str, known: tuple[str, ...], default: str | None, text: str) -> cli_options.Decorator:
    """An option that takes one name of a fixed set."""
    return click.option(
        option,
        type=OneName(kind, lambda: known),
        metavar="NAME",
        default=default,
        show_default=default is not None,
        help=f"{text}: {', '.join(known)}.",
    )


@click.command(cls=Measuring)
@click.option(
    "--frameworks",
    "--framework",
    type=NameList("framework", framework_names),
    metavar="NAMES",
    default=(),
    help="Comma-separated, one after the other on the same batches; all installed ones if not given.",
)
@cli_options.network()
@cli_options.data(needed=False)
@cli_options.parts
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    help=f"How to train: {', '.join(train_options.NAMED_RECIPES)}, or a JSON or TOML file; the network's own if not"
    " given, on the embedded digits with a small network `digits`.",
)
@click.option("--epochs", type=ABOVE_ZERO, metavar="N", help="The recipe's if not given; its drops move along.")
@click.option("--batch-size", type=ABOVE_ZERO, metavar="N", help="The recipe's if not given.")
@click.option("--learning-rate", type=float, metavar="RATE", help="The first one; the recipe's if not given.")
@_one_of("--init", "init", train_options.INITS, None, "How initial weights are drawn")
@click.option("--weights", type=FILE, metavar="FILE", help="Start from these weights instead.")
@click.option("--limit", type=ABOVE_ZERO, metavar="N", help="Train on the first N images only.")
@click.option("--steps", type=ABOVE_ZERO, metavar="N", help="End after N steps.")
@click.option("--validation/--no-validation", "validate", default=True, help="After each epoch; with it by default.")
@cli_options.precision(train_options.PRECISIONS)
@cli_options.device
@click.option(
    "--devices",
    type=ABOVE_ZERO,
    metavar="N",
    default=1,
    show_default=True,
    help="How many; on the CPU they are emulated.",
)
@_one_of(
    "--split",
    "split",
    train_options.SPLITS,
    None,
    "How several devices share the network, the first that it has if not given",
)
@_one_of("--tuning", "tuning", train_options.TUNINGS, "tuned", "The fastest way known, or the documentation's")
@cli_options.seed
@cli_options.pythons
@cli_options.large
@cli_options.timeout(train_options.DEFAULT_TIMEOUT_S)
@click.option(
    "--checkpoint-every",
    "checkpoint_s",
    type=click.FloatRange(min=0, min_open=True),
    default=train_options.DEFAULT_CHECKPOINT_S,
    show_default=True,
    metavar="SECONDS",
    help="Also inside an epoch; after each epoch there is one anyway.",
)
@click.option("--resume", type=FILE, metavar="DIR", help="Go on with a run that broke off, from its checkpoints.")
@cli_options.out("train")
@cli_options.verbose
def train(resume: Path | None, data: str | None, **values: Any) -> int:
    """Train a network as its recipe says, in each framework on the same stream of batches."""
    context = click.get_current_context()
    given = cli_options.given(context)
    if resume is not None and (more := given - {*WITH_RESUME}):
        option = next(parameter for parameter in context.command.params if parameter.name in more)
        raise click.UsageError(f"--resume takes its settings from the run's folder: leave out {option.opts[0]}")
    if resume is None:
        data = cli_options.needed_data(data)
    if values["weights"] is not None and values["init"] is not None:
        raise click.UsageError("--init and --weights contradict each other: choose one")
    from harness.training import command

    return command.run(TrainOptions(data=data or "", **values), resume)
