"""`alexbench report` on the command line."""

from __future__ import annotations

from pathlib import Path

import click

from harness import cli_options
from harness.cli_exit import Measuring


@click.command(cls=Measuring)
@click.argument("runs", type=cli_options.FILE, nargs=-1, required=True, metavar="RUN...")
@cli_options.new_file("HTML file to write.")
@click.option("--open", "opens", is_flag=True, help="Show it in a browser when it is written.")
def report(runs: tuple[Path, ...], out: Path, opens: bool) -> int:
    """Make one page of runs: what they came to, their figures and pictures, what changed from run to run.

    RUN is the folder of a run of any command, finished, broken off or under way; several are put on one page, one after
    the other. Of a folder of runs, such as runs/, the page has a table of them and the history of every setting that
    several of them measured.
    """
    from harness import report as page

    return page.run(runs, out, opens=opens)
