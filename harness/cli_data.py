"""`alexbench prepare` on the command line: its options."""

from __future__ import annotations

from pathlib import Path

import click

from harness import cli_options
from harness.cli_exit import Measuring
from harness.cli_options import FILE, SOURCES


@click.command(cls=Measuring)
@cli_options.data(f"{SOURCES}.")
@cli_options.parts
@click.option("--out", type=FILE, required=True, metavar="DIR", help="Folder to prepare.")
@click.option(
    "--side",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Of the squares; 256 for photographs and the images' own for digits, mnist and cifar10 if not given.",
)
@cli_options.network(
    default=None, show_default=False, help="Take the side that suits this network; see `alexbench networks`."
)
@click.option("--strict", is_flag=True, help="Exit 3 where an image cannot be used, instead of leaving it out.")
@click.option("--resume", is_flag=True, help="Go on with a folder that broke off.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes; one per core if not given.")
def prepare(
    data: str,
    parts: tuple[tuple[str, str], ...],
    out: Path,
    side: int | None,
    network: str | None,
    strict: bool,
    resume: bool,
    jobs: int | None,
) -> int:
    """Decode and resize images once, into a folder that training and evaluation read from.

    What is no image or cannot be read is left out, counted, and listed in DIR/skipped.csv. A run that broke off,
    killed or interrupted, is gone on with by --resume, and ends with the same bytes.
    """
    from harness.data import prepare_command

    return prepare_command.run(data, out, side, network, parts=parts, strict=strict, resume=resume, jobs=jobs)
