"""The command line: parse, call, print.

Frameworks, NumPy and pandas are imported by what a command calls, never here: `alexbench --help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness import cli_options
from harness.cli_audit import audit
from harness.cli_data import prepare
from harness.cli_evaluate import evaluate
from harness.cli_exchange import export, import_
from harness.cli_exit import CONTEXT, Group, Measuring, end
from harness.cli_impl import ImplTarget
from harness.cli_paper import paper
from harness.cli_report import report
from harness.cli_speed import speed
from harness.cli_train import train
from harness.cli_unexpected import refuse
from harness.cli_values import FrameworkPython, NameList, OneName, network_names
from harness.endings import Endings
from harness.parity import options as parity_options
from harness.version import VERSION

NETWORK = OneName("network", network_names)
RECIPE = OneName("recipe", lambda: parity_options.RECIPES)
FORMAT = click.Choice(["table", "csv", "json"])
FILE = cli_options.FILE


def main() -> None:
    """The entry point `alexbench`."""
    with Endings():
        end(cli)


@click.group(cls=Group, context_settings=CONTEXT)
@click.version_option(VERSION, prog_name="alexbench")
def cli() -> None:
    """AlexNet described once, built in PyTorch, TensorFlow and JAX, and proved equal against float64.

    \b
    Exit codes: 0 all held; 1 measured and found wanting; 2 usage; 3 could not measure;
    4 a worker crashed or timed out; 130 interrupted.
    """  # noqa: D301, click takes the escaped character itself: it keeps these lines as they are


@cli.command()
@click.argument("name", required=False, type=NETWORK)
@click.option("--format", "form", type=FORMAT, default="table", show_default=True)
def networks(name: str | None, form: str) -> None:
    """List the networks called AlexNet, or one network's layers."""
    from harness import listing

    listing.show_network(name, form) if name else listing.show_networks(form)


@cli.group()
def weights() -> None:
    """Make, inspect, import and export canonical weights files (safetensors)."""


@weights.command(cls=Measuring)
@click.option("--network", type=NETWORK, default="paper", show_default=True)
@click.option("--recipe", type=RECIPE, default="scaled", show_default=True, help="How values are drawn.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@cli_options.new_file("Safetensors file to write.")
@click.option("--large", is_flag=True, help="Allow a network of billions of bytes.")
def init(network: str, recipe: str, seed: int, out: Path, large: bool) -> int:
    """Draw weights from a recipe and a seed: the same bytes on every machine."""
    from harness import weight_listing

    weight_listing.init(network, recipe, seed, out, large=large)
    return 0


@weights.command()
@click.argument("file", type=FILE)
@click.option("--format", "form", type=FORMAT, default="table", show_default=True)
def show(file: Path, form: str) -> None:
    """Check a weights file and list its tensors and its hash."""
    from harness import weight_listing

    weight_listing.show(file, form)


weights.add_command(import_)
weights.add_command(export)


@cli.command(cls=Measuring)
@click.option("--network", type=NETWORK, default="paper", show_default=True)
@cli_options.frameworks
@click.option(
    "--level",
    "levels",
    type=NameList("level", lambda: parity_options.LEVELS),
    metavar="LEVELS",
    default=",".join(parity_options.DEFAULT_LEVELS),
    show_default=True,
    help="Comma-separated; split compares several devices with one.",
)
@cli_options.precision(parity_options.PRECISIONS)
@click.option(
    "--tuning",
    type=click.Choice([*parity_options.TUNINGS, "both"]),
    default="both",
    show_default=True,
    help="The documentation's way of an operator, the fastest known, or both.",
)
@click.option(
    "--recipe",
    type=RECIPE,
    metavar="NAME",
    default="scaled",
    show_default=True,
    help=f"Weights where no file is given: {', '.join(parity_options.RECIPES)}.",
)
@click.option("--weights", type=FILE, metavar="FILE", help="A weights file instead of a recipe.")
@cli_options.seed
@click.option(
    "--images",
    type=FILE,
    multiple=True,
    metavar="PATHS...",
    help="Image files or folders; two sample photographs if not given.",
)
@click.argument("more_images", type=FILE, nargs=-1, metavar="")
@cli_options.device
@click.option(
    "--devices",
    type=click.IntRange(min=2),
    default=2,
    show_default=True,
    help="Of the level split; on the CPU they are emulated.",
)
@click.option(
    "--split",
    "splits",
    type=NameList("split", lambda: parity_options.SPLITS),
    default=(),
    metavar="NAMES",
    help="Of the level split; all that the network has if not given.",
)
@click.option(
    "--impl",
    "impls",
    type=ImplTarget(),
    multiple=True,
    metavar="TARGET",
    help="Your own network: ./mine.py:build or module:build. Repeatable.",
)
@cli_options.keep_impl
@cli_options.pythons
@click.option("--self-test", is_flag=True, help="Plant known faults and show that each is caught and located.")
@cli_options.large
@click.option("--jobs", type=click.IntRange(min=1), help="Workers at a time; chosen from the machine if not given.")
@cli_options.timeout(parity_options.DEFAULT_TIMEOUT_S)
@cli_options.out("parity")
@cli_options.verbose
def parity(tuning: str, images: tuple[Path, ...], more_images: tuple[Path, ...], **values: Any) -> int:
    """Compare the frameworks with float64, layer by layer, forward and backward."""
    refuse(click.get_current_context(), more_images, "" if images else "photographs are given with --images")
    from harness.shared_cores import yield_cores

    yield_cores()
    from harness.parity import command

    tunings = parity_options.TUNINGS if tuning == "both" else (tuning,)
    return command.run(parity_options.ParityOptions(tunings=tunings, images=(*images, *more_images), **values))


for command in (audit, speed, prepare, train, evaluate, paper, report):
    cli.add_command(command)


@cli.command()
@click.argument("run_a", type=FILE, metavar="RUN_A")
@click.argument("run_b", type=FILE, metavar="RUN_B")
@click.option(
    "--fail-if",
    "rules",
    multiple=True,
    metavar="COLUMN<NUMBER",
    help="Exit 1 where a setting's ratio B/A of a column is so, such as 'images_per_s<0.95'; signs < <= > >=. "
    "images_per_s, step_ms and tflops count only where the difference is significant; the others are "
    "fraction_of_peak, peak_memory_mb, joules_per_image, compile_s, first_step_s. Repeatable.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "markdown"]),
    default="table",
    show_default=True,
)
@cli_options.new_file("Write there instead of printing.", needed=False)
def compare(run_a: Path, run_b: Path, rules: tuple[str, ...], form: str, out: Path | None) -> int:
    """Hold two runs of speed against each other: how much faster is B than A, setting by setting."""
    from harness import compare as comparison

    return comparison.run(run_a, run_b, rules, form, out)


@cli.command()
@click.option(
    "--python",
    "pythons",
    type=FrameworkPython(),
    multiple=True,
    help="Look at a framework in another interpreter. Repeatable.",
)
@cli_options.timeout(60.0)
def doctor(pythons: tuple[tuple[str, str], ...], timeout_s: float) -> int:
    """Show frameworks, versions, devices and flags, what is missing, and the command that mends it."""
    from harness import doctor as examination

    return examination.run(dict(pythons), timeout_s)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script, for instance: eval "$(alexbench completion bash)"."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "alexbench", "_ALEXBENCH_COMPLETE").source())


if __name__ == "__main__":
    main()
