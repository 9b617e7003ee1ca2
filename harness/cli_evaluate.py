"""`alexbench evaluate` on the command line: its options, and what contradicts itself among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness import cli_options
from harness.cli_exit import Measuring
from harness.cli_options import FILE
from harness.cli_unexpected import refuse
from harness.cli_values import NumberList, OneName
from harness.evaluation import options as evaluate_options
from harness.evaluation.options import EvaluateOptions


@click.command(cls=Measuring)
@click.option(
    "--weights", type=FILE, multiple=True, metavar="FILES...", help="Weights files: each alone, then all averaged."
)
@click.argument("more_weights", type=FILE, nargs=-1, metavar="")
@cli_options.data()
@cli_options.parts
@click.option(
    "--part",
    type=OneName("part", lambda: evaluate_options.PARTS),
    metavar="NAME",
    default="val",
    show_default=True,
    help=f"Of the data: {', '.join(evaluate_options.PARTS)}.",
)
@click.option(
    "--crops",
    type=NumberList("number of crops"),
    metavar="NUMBERS",
    default=",".join(map(str, evaluate_options.CROPS)),
    show_default=True,
    help="1, the centre; 10, also the corners and all mirrored, as the paper.",
)
@cli_options.frameworks
@click.option(
    "--ensemble/--no-ensemble", default=True, show_default=True, help="Average the outputs of several weights files."
)
@click.option(
    "--tuning",
    type=OneName("tuning", lambda: evaluate_options.TUNINGS),
    metavar="NAME",
    default="tuned",
    show_default=True,
    help="stock, as the framework's documentation has it, or tuned, the fastest way known.",
)
@cli_options.precision(evaluate_options.PRECISIONS)
@cli_options.device
@cli_options.pythons
@click.option(
    "--class-order",
    type=OneName("class order", lambda: evaluate_options.CLASS_ORDERS),
    metavar="NAME",
    default="data",
    show_default=True,
    help="Of the network's outputs: data, as prepared; sorted, by the classes' names, as Caffe's and torchvision's.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Score the first N images only.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1, max=65536),
    metavar="N",
    default=evaluate_options.DEFAULT_BATCH,
    show_default=True,
    help="Views in one pass.",
)
@cli_options.large
@cli_options.timeout(evaluate_options.DEFAULT_TIMEOUT_S)
@cli_options.out("evaluate")
@cli_options.verbose
def evaluate(weights: tuple[Path, ...], more_weights: tuple[Path, ...], crops: tuple[int, ...], **values: Any) -> int:
    """Score weights as the paper did: top-1 and top-5 error, ten crops, ensembles; in each framework."""
    refuse(click.get_current_context(), more_weights, "" if weights else "files are given with --weights")
    if not weights:
        raise click.UsageError("no weights given: --weights FILE, or several")
    if wrong := [number for number in crops if number not in evaluate_options.CROPS]:
        raise click.UsageError(f"number of crops {wrong[0]} is not known: choose from 1, 10")
    options = EvaluateOptions(weights=(*weights, *more_weights), crops=crops, **values)
    from harness.evaluation import command

    return command.run(options)
