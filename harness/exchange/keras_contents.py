"""The parts of a Keras file: the model's configuration as JSON, and the HDF5 file with its weights.

A `.keras` file is a zip archive of config.json, metadata.json and model.weights.h5; a `.h5` or `.weights.h5` is HDF5
itself, the older kind of whole models with the configuration in an attribute.

References:
    keras/src/saving/saving_lib.py; keras/src/legacy/saving/legacy_h5_format.py
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from harness.exchange import confined
from harness.exchange.carried import KEY, Carried, carried
from harness.exchange.file_bytes import BoundedFile
from harness.exchange.foreign import MOST_ELEMENTS, FormatError
from harness.exchange.zip_members import Archive

ZIP = b"PK\x03\x04"
HDF5 = b"\x89HDF\r\n\x1a\n"
LISTING = "harness.exchange.hdf5_datasets:listing"
CONFIG, WEIGHTS, OURS = "config.json", "model.weights.h5", f"{KEY}.json"
MOST_CONFIG = 8 << 20  # bytes; a network of hundreds of layers has under one million
MOST_OURS = 1 << 20
MOST_WEIGHTS = 8 * MOST_ELEMENTS + (64 << 20)  # bytes
MOST_RATIO = 20  # of unpacked to packed weights, which are noise and pack hardly at all
SMALL = 64 << 20  # bytes, below which the ratio does not matter


class Contents(NamedTuple):
    """What a Keras file has. `weights` is it, or a file in the folder `kept`, which must live as long."""

    config: dict[str, Any] | None  # of the model; None where the file is of weights alone
    weights: Path
    listing: dict[str, Any]
    carried: Carried
    kept: Any


def contents(path: Path) -> Contents:
    """Everything but the values. Raises FormatError, CannotMeasure."""
    if not _is_hdf5(path):
        return _of_archive(path)
    listing = confined.run(LISTING, path)
    return Contents(_of_attribute(path, listing), path, listing, Carried(), None)


def configuration(path: Path) -> dict[str, Any]:
    """The model's configuration alone. Raises FormatError where the file has none, CannotMeasure."""
    if _is_hdf5(path):
        config = _of_attribute(path, confined.run(LISTING, path))
    else:
        with Archive(path) as archive:
            config = parsed(path, archive.read(CONFIG, MOST_CONFIG))
    if config is None:
        raise FormatError(
            f"{str(path)!r} holds weights alone, not the model's layers: save the whole model as a .keras file"
        )
    return config


def _is_hdf5(path: Path) -> bool:
    with BoundedFile(path, len(HDF5)) as file:
        head = file.read(len(HDF5))
    if not head.startswith((HDF5, ZIP)):
        raise FormatError(f"{str(path)!r} is no Keras file: expected HDF5, or a .keras archive")
    return head == HDF5


def _of_archive(path: Path) -> Contents:
    with Archive(path) as archive:
        if WEIGHTS not in archive.names:
            raise FormatError(f"{str(path)!r} has no member {WEIGHTS!r}: it is no Keras model with weights")
        config = parsed(path, archive.read(CONFIG, MOST_CONFIG)) if CONFIG in archive.names else None
        ours = archive.read(OURS, MOST_OURS) if OURS in archive.names else None
        said = carried(path, ours.decode("utf-8", "replace") if ours is not None else None)
        size, packed = archive.size(WEIGHTS), path.stat().st_size
        if size > max(SMALL, MOST_RATIO * packed):
            raise FormatError(f"{str(path)!r} of {packed:,} bytes would unpack to weights of {size:,}")
        folder = tempfile.TemporaryDirectory(prefix="alexbench-keras-")
        weights = Path(folder.name) / WEIGHTS
        archive.extract(WEIGHTS, weights, MOST_WEIGHTS)
    return Contents(config, weights, confined.run(LISTING, weights, shown=path), said, folder)


def _of_attribute(path: Path, listing: dict[str, Any]) -> dict[str, Any] | None:
    text = listing["attributes"].get("", {}).get("model_config")
    return parsed(path, text.encode()) if isinstance(text, str) else None


def parsed(path: Path, text: bytes) -> dict[str, Any]:
    """A model's configuration from its JSON. Raises FormatError."""
    if len(text) > MOST_CONFIG:
        raise FormatError(f"{str(path)!r}: its configuration has {len(text):,} bytes, over {MOST_CONFIG:,}")
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        said = str(error)[:100] if isinstance(error, ValueError) else "it is nested too deep"
        raise FormatError(f"{str(path)!r}: its configuration is not JSON: {said}") from None
    if not isinstance(found, dict):
        raise FormatError(f"{str(path)!r}: its configuration is not a JSON object")
    return found


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]!r} stands twice")
        found[key] = value
    return found
