"""`alexbench paper` on the command line: its options, and what contradicts itself among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness import cli_options
from harness.cli_exit import Measuring
from harness.cli_options import FILE
from harness.cli_unexpected import refuse
from harness.cli_values import NameList, OneName, framework_names, network_names
from harness.paper import options as paper_options
from harness.paper.options import PaperOptions

WITH_RESUME = ("resume", "verbose", "timeout_s")
OF_ABLATIONS = ("only", "network", "seeds", "epochs", "limit")


def _ablated() -> list[str]:
    return [paper_options.MINIATURE, *network_names()]


@click.command(cls=Measuring)
@click.argument("runs", type=FILE, nargs=-1, metavar="[RUN]...")
@click.option(
    "--weights",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="Draw figure 3 from these weights, and with --data figure 4. Repeatable.",
)
@cli_options.data(
    f"For figure 4 and --ablations: a folder made by `alexbench prepare`, or {cli_options.SOURCES}. Ablations take"
    " digits if not given.",
    needed=False,
)
@click.option("--ablations", is_flag=True, help="Train the paper's comparisons, paired over seeds.")
@click.option(
    "--only",
    type=NameList("ablation", lambda: paper_options.ABLATIONS),
    metavar="NAMES",
    default=(),
    help=f"Of the ablations, comma-separated: {', '.join(paper_options.ABLATIONS)}.",
)
@click.option(
    "--network",
    type=OneName("network", _ablated),
    metavar="NAME",
    default=paper_options.MINIATURE,
    show_default=True,
    help="To be ablated: a small one of the paper's kind of layers, or one of `alexbench networks`.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    metavar="N",
    default=paper_options.DEFAULT_SEEDS,
    show_default=True,
    help="Pairs of trainings for each ablation.",
)
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Of each; the recipe's if not given.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Train on the first N images only; on digits with the miniature network 500 if not given.",
)
@click.option(
    "--frameworks",
    "--framework",
    type=NameList("framework", framework_names),
    metavar="NAMES",
    default=(),
    help="Comma-separated; the first that is installed if not given.",
)
@cli_options.precision(paper_options.PRECISIONS)
@cli_options.device
@cli_options.pythons
@cli_options.timeout(paper_options.DEFAULT_TIMEOUT_S)
@click.option("--resume", type=FILE, metavar="DIR", help="Go on with a run that broke off.")
@cli_options.out("paper")
@cli_options.verbose
def paper(runs: tuple[Path, ...], resume: Path | None, **values: Any) -> int:
    """Check the paper's claims; put your runs' figures beside its tables; draw its figures from your weights.

    Without anything else: the claims that the network's description decides, in a second.
    """  # fmt: skip
    context = click.get_current_context()
    given = cli_options.given(context)
    if resume is not None and (more := given - {*WITH_RESUME}):
        option = next(parameter for parameter in context.command.params if parameter.name in more)
        raise click.UsageError(f"--resume takes its settings from the run's folder: leave out {option.opts[0]}")
    if not values["ablations"] and resume is None and (more := given & {*OF_ABLATIONS}):
        option = next(parameter for parameter in context.command.params if parameter.name in more)
        raise click.UsageError(f"{option.opts[0]} is of the ablations: add --ablations")
    if values["data"] is not None and not values["ablations"] and not values["weights"]:
        raise click.UsageError("--data serves --ablations and --weights: add one of them, or leave it out")
    refuse(context, runs, "")
    options = PaperOptions(runs=runs, **values)
    from harness.paper import command

    return command.run(options, resume)
