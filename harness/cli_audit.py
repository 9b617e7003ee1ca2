"""`alexbench audit` on the command line: its options, and what contradicts itself among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness import cli_options
from harness.audit.options import DEFAULT_TIMEOUT_S, FORMS, AuditOptions
from harness.cli_exit import Measuring
from harness.cli_options import FILE
from harness.cli_unexpected import refuse
from harness.cli_values import OneName, network_names
from harness.parity import options as parity_options

OF_MEASURING = ("images", "recipe", "seed")


@click.command(cls=Measuring)
@click.argument("source", metavar="SOURCE")
@click.option(
    "--against",
    type=OneName("network", network_names),
    metavar="NAME",
    default="paper",
    show_default=True,
    help="The reference, of `alexbench networks`.",
)
@click.option(
    "--side",
    type=click.IntRange(min=1),
    metavar="N",
    help="Side of the input images of a class, which does not say it; the usual ones are tried if not given.",
)
@click.option(
    "--images",
    type=FILE,
    multiple=True,
    metavar="PATHS...",
    help="Photographs to measure on, files or folders; two sample photographs if not given.",
)
@click.argument("more_images", type=FILE, nargs=-1, metavar="")
@click.option("--no-measure", is_flag=True, help="Compare and count only.")
@click.option(
    "--recipe",
    type=OneName("recipe", lambda: parity_options.RECIPES),
    metavar="NAME",
    default="scaled",
    show_default=True,
    help=f"Of the shared weights: {', '.join(parity_options.RECIPES)}.",
)
@cli_options.seed
@cli_options.keep_impl
@cli_options.pythons
@cli_options.timeout(DEFAULT_TIMEOUT_S)
@click.option("--strict", is_flag=True, help="Exit 1 where anything departs.")
@click.option("--format", "form", type=click.Choice(FORMS), default="table", show_default=True)
@cli_options.out("audit")
@cli_options.large
def audit(source: str, images: tuple[Path, ...], more_images: tuple[Path, ...], no_measure: bool, **values: Any) -> int:
    """Say where a network departs from the paper's, and what each departure does.

    SOURCE is a name of `alexbench networks`, an .onnx, .prototxt, .caffemodel, .keras or .h5 file, or code of yours,
    which is run: torch:./file.py:Class, keras:./file.py:name, flax:./file.py:Class.
    """
    context = click.get_current_context()
    refuse(context, more_images, "" if images else "photographs are given with --images")
    if no_measure and (more := cli_options.given(context) & set(OF_MEASURING)):
        option = next(parameter for parameter in context.command.params if parameter.name in more)
        raise click.UsageError(f"{option.opts[0]} is of the measurements: leave it out, or leave out --no-measure")
    options = AuditOptions(source=source, images=(*images, *more_images), measure=not no_measure, **values)
    from harness.audit import command

    return command.run(options)
