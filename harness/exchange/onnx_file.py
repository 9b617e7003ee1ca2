"""An ONNX file's weights: those of its convolutions and dense layers, in the order of its graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.exchange.foreign import ForeignWeights, FormatError
from harness.reading import onnx_bytes, onnx_network
from harness.reading.onnx_constants import LONGEST_NAME, require_external, text

FORMAT = "ONNX"
MARK = "alexbench"  # the property under which our own exports say which network they are
LONGEST_MARK = 65_536  # characters


def read(path: Path) -> ForeignWeights:
    """Weights and network of an ONNX file; data beside it are taken from its own folder. Raises FormatError.

    CannotMeasure where the library `onnx` is missing.
    """
    model = onnx_bytes.load(path)
    found = onnx_network.follow(model, path)
    for proto in found.walk.nodes.external:
        require_external(proto, path)
    if not found.walk.learned:
        raise FormatError(f"{str(path)!r} has no convolution and no dense layer whose weights are constant")
    marked, notes = _marked(model), list[str]()
    if found.walk.left_out:
        notes.append(f"weights left out, in parts that have no class here: {found.walk.left_out}")
    return ForeignWeights(
        path=path,
        format=FORMAT,
        layers=tuple(found.walk.learned),
        flatten=found.walk.flatten,
        network=marked.get("network"),
        preprocessing=marked.get("preprocessing"),
        reading=onnx_network.reading_of(found, path.stem, path.name),
        hint=_hint(model),
        notes=tuple(notes),
    )


def _marked(model: Any) -> dict[str, str]:
    """What one of our own exports says of itself; nothing of it is trusted but that it is text."""
    said = next((text(entry.value) for entry in model.metadata_props if text(entry.key) == MARK), "")
    if not said or len(said) > LONGEST_MARK:
        return {}
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def _hint(model: Any) -> str:
    called, maker = text(model.graph.name)[:LONGEST_NAME], text(model.producer_name)[:LONGEST_NAME]
    said = [f"its graph is called {called!r}" if called else "", f"it was made by {maker!r}" if maker else ""]
    return ", ".join(filter(None, said))
