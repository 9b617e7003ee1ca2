"""The tables of `alexbench networks`, as plain rows, and how rows are shown: for eyes, as CSV or as JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

from impls import catalog, derive
from impls.spec import LRN, Conv, Dense, Dropout, Layer, MaxPool, Network, Padding, SpatialNorm

Row = dict[str, Any]

PIPE_WIDTH = 200  # columns where the output is no terminal, so that nothing is folded needlessly


def show_networks(form: str) -> None:
    """Print the catalog, one row per network."""
    show([network_row(network) for network in catalog.NETWORKS.values()], form)


def show_network(name: str, form: str) -> None:
    """Print one network's layers. Raises UnknownNetwork."""
    network = catalog.get(name)
    if form != "table":
        show(layer_rows(network), form)
        return
    facts = network_row(network)
    gflop = derive.training_flops(network) / 1e9
    print(f"{network.name}: {network.summary}")
    print(f"source: {network.source}")
    print(f"input {facts['input']}, {network.classes:,} classes, {gflop:.3f} GFLOP per image and training step")
    show([*layer_rows(network), total_row(network)], form)


def network_row(network: Network) -> Row:
    """What the list of networks says about one."""
    return {
        "network": network.name,
        "parameters": derive.parameter_count(network),
        "multiply_adds": derive.multiply_adds(network),
        "input": f"{network.height}x{network.width}x{network.channels}",
        "classes": network.classes,
        "large": "yes" if network.large else "no",
        "what sets it apart": network.summary,
    }


def layer_rows(network: Network) -> list[Row]:
    """One row per layer: output shape, parameters, neurons, multiply-adds, source."""
    return [
        {
            "layer": facts.layer.name,
            "kind": type(facts.layer).__name__,
            "settings": settings(facts.layer),
            "output": "x".join(map(str, facts.output_shape)),
            "parameters": facts.parameter_count,
            "neurons": facts.neurons,
            "multiply_adds": facts.multiply_adds,
            "source": facts.layer.source or network.source,
        }
        for facts in derive.facts(network)
    ]


def total_row(network: Network) -> Row:
    """The sums of `layer_rows`."""
    counts = {
        "parameters": derive.parameter_count(network),
        "neurons": derive.neuron_count(network),
        "multiply_adds": derive.multiply_adds(network),
    }
    return {"layer": "total", "kind": "", "settings": "", "output": "", **counts, "source": ""}


def settings(layer: Layer) -> str:
    """A layer's numbers in a few words."""
    match layer:
        case Conv():
            groups = f", {layer.groups} groups" if layer.groups > 1 else ""
            return (
                f"{layer.kernels} of {layer.size}x{layer.size}{_stride(layer.stride)}{_padding(layer.padding)}{groups}"
            )
        case MaxPool():
            return f"{layer.size}x{layer.size}{_stride(layer.stride)}{_padding(layer.padding)}"
        case Dense():
            return f"{layer.units} units"
        case LRN() | SpatialNorm():
            towers = ", per tower" if isinstance(layer, LRN) and layer.groups > 1 else ""
            return f"n={layer.size} alpha={layer.alpha:g} beta={layer.beta:g} k={layer.k:g}{towers}"
        case Dropout():
            return f"rate {layer.rate:g}, scaled {layer.scaling.value.replace('-', ' ')}"
        case _:
            return ""


def _stride(stride: int) -> str:
    return f" / {stride}" if stride > 1 else ""


def _padding(padding: Padding) -> str:
    if not any(padding):
        return ""
    if len(set(padding)) == 1:
        return f", pad {padding.top}"
    sides = ((side, pixels) for side, pixels in padding._asdict().items() if pixels)
    return ", pad " + " ".join(f"{side} {pixels}" for side, pixels in sides)


def show(rows: Sequence[Row], form: str) -> None:
    """Print rows that share their keys. Whole numbers get thousands separators for eyes only."""
    if form == "json":
        print(json.dumps(list(rows), indent=2))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        _show_table(rows)


def _show_table(rows: Sequence[Row]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from reports.render.terminal import Console

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for key, value in rows[0].items():
        table.add_column(key.replace("_", " "), justify="right" if isinstance(value, int | float) else "left")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row.values()))
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    console.print(table)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
