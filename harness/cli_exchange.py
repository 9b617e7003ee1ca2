"""`alexbench weights import` and `export`: options in, options out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from harness import cli_options
from harness.cli_exit import Measuring
from harness.cli_values import OneName, network_names
from impls.spec import Preprocessing

FORMS = ("torch", "keras", "flax", "onnx", "npz")


@click.command("import", cls=Measuring)
@click.argument("file", type=cli_options.FILE)
@cli_options.new_file("Safetensors file to write.")
@click.option(
    "--network",
    type=OneName("network", network_names),
    metavar="NAME",
    help="Whose weights they are, where their shapes fit several networks.",
)
@click.option(
    "--flatten", type=click.Choice(["chw", "hwc"]), help="Order of the first dense layer's inputs, if not the format's."
)
@click.option(
    "--colours", type=click.Choice(["rgb", "bgr"]), help="Of the first layer's input channels, if not the format's."
)
@click.option(
    "--preprocessing",
    type=click.Choice(get_args(Preprocessing)),
    metavar="KIND",
    help=f"What `evaluate` does to images for them: {', '.join(get_args(Preprocessing))}.",
)
@click.option(
    "--mean",
    type=cli_options.FILE,
    metavar="FILE",
    help="The mean they were trained with: Caffe's .binaryproto, or .npy of [3, H, W] or [3] in BGR.",
)
@cli_options.large
def import_(**values: Any) -> int:
    """Take in somebody's weights.

    \b
    FILE: ONNX, .caffemodel, .pth, .pt, .safetensors, .npy, .npz, .keras, .h5,
    Flax' .msgpack, an Orbax folder, a checkpoint of cuda-convnet.
    """  # noqa: D301, click takes the escaped character itself: it keeps these lines as they are
    from harness.exchange import import_command

    import_command.run(import_command.ImportOptions(**values))
    return 0


@click.command(cls=Measuring)
@click.argument("file", type=cli_options.FILE)
@click.option("--to", "form", type=click.Choice(FORMS), required=True, help="Whose file to write.")
@cli_options.new_file("Its suffix is the format's.")
@cli_options.pythons
@cli_options.timeout(600.0)
def export(file: Path, form: str, out: Path, pythons: tuple[tuple[str, str], ...], timeout_s: float) -> int:
    """Write a canonical weights file as a framework's own, and print the lines that load it."""
    from harness.exchange import export_command

    export_command.run(file, form, out, dict(pythons), timeout_s)
    return 0
