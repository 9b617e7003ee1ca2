"""What `alexbench weights` does: draw a file of weights, and show what a file holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness import run_claim
from harness.data.preprocessing import METADATA_KEY, Preprocessing
from harness.listing import Row
from harness.listing import show as show_rows
from impls import catalog, derive, tensor_file, weights
from impls.weights import WeightsError
from reports.render.terminal import say

MOST_TOLD = 200  # characters of a metadata value


def init(network_name: str, recipe: str, seed: int, out: Path, *, large: bool) -> None:
    """Write a weights file and print its hash. Raises WeightsError, UsageError."""
    run_claim.check_file(out)
    network = catalog.get(network_name)
    if network.large and not large:
        size_gb = 4 * derive.parameter_count(network) / 1e9
        raise WeightsError(f"network {network.name!r} has {size_gb:.1f} GB of weights: pass --large to write them")
    weights.write(network, recipe, seed, out)
    written = weights.load(out, network, verify=False)
    say(f"{out}: {network.name}, recipe {recipe}, seed {seed}, sha256 {written.content_hash}")


def show(path: Path, form: str) -> None:
    """Check a weights file against the network it names and print its tensors. Raises WeightsError, UnknownNetwork."""
    name = tensor_file.read(path).metadata.get("network")
    if name is None:
        raise WeightsError(
            f"{str(path)!r} names no network in its metadata: alexbench weights init writes one that does"
        )
    loaded = weights.load(path, catalog.get(name))
    if form == "table":
        told = {key: _told(key, value) for key, value in sorted(loaded.metadata.items()) if key != "network"}
        drawn = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in told.items())
        say(f"network {name}" + (f", {drawn}" if drawn else ""))
        say(f"sha256 {loaded.content_hash}")
    show_rows([tensor_row(name, array) for name, array in loaded.arrays.items()], form)


def _told(key: str, value: str) -> str:
    """A line of the metadata; of a preprocessing its kind, since it may hold a whole mean image."""
    if key != METADATA_KEY:
        return " ".join(value.split())[:MOST_TOLD]
    return Preprocessing.from_text(value).kind


def tensor_row(name: str, array: weights.Array) -> Row:
    """One tensor's shape and the moments of its values."""
    return {
        "tensor": name,
        "shape": "x".join(map(str, array.shape)),
        "elements": array.size,
        "mean": float(np.mean(array, dtype=np.float64)),
        "std": float(np.std(array, dtype=np.float64)),
        "min": float(array.min()),
        "max": float(array.max()),
    }
