"""One node of an ONNX graph: its operator, inputs and outputs, and attributes as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.reading import onnx_constants
from harness.reading.onnx_constants import LONGEST_NAME, text

# AttributeProto.AttributeType -> the field that holds it; the others are not read.
_FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 5: "g", 6: "floats", 7: "ints"}
GRAPH_ATTRIBUTE = 5


@dataclass(eq=False)
class Node:
    """One operator."""

    kind: str  # its type, with the domain where that is not ONNX's own
    name: str
    inputs: list[str]  # an optional one that is left out is empty
    outputs: list[str]
    attributes: dict[str, Any]  # numbers, text, lists of numbers, small arrays, subgraphs
    captured: list[str] = field(default_factory=list)  # outer values that its subgraphs use

    def input(self, place: int) -> str:
        """The name of an input, empty where there is none."""
        return self.inputs[place] if place < len(self.inputs) else ""

    def numbers(self, name: str) -> list[int]:
        """An attribute that is a list of whole numbers; empty where it is not."""
        found = self.attributes.get(name)
        return found if isinstance(found, list) and all(isinstance(number, int) for number in found) else []

    def whole(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        found = self.attributes.get(name, default)
        return found if isinstance(found, int) else default

    def number(self, name: str, default: float) -> float:
        """An attribute that is a number, as the shortest decimal that its float32 stands for."""
        found = self.attributes.get(name)
        return decimal(found) if isinstance(found, float) else default

    def text(self, name: str, default: str = "") -> str:
        """An attribute that is text."""
        found = self.attributes.get(name, default)
        return found if isinstance(found, str) else default


def decimal(number: Any) -> float:
    """A float32 as the shortest decimal that rounds to it: 5e-4 and not 0.0005000000237."""
    with np.errstate(over="ignore"):
        return float(str(np.float32(number)))


def node_of(proto: Any, path: Path) -> Node:
    """A NodeProto of the file at `path`. Raises FormatError for a constant whose size does not fit."""
    domain, kind = text(proto.domain), text(proto.op_type)
    kind = kind if domain in ("", "ai.onnx") else f"{domain}.{kind}"
    attributes: dict[str, Any] = {}
    captured: dict[str, None] = {}
    for attribute in proto.attribute:
        if attribute.type == GRAPH_ATTRIBUTE:
            captured |= dict.fromkeys(_captured(attribute.g))
        attributes[text(attribute.name)] = _attribute(attribute, path)
    inputs, outputs = [text(name) for name in proto.input], [text(name) for name in proto.output]
    name = text(proto.name) or (outputs[0] if outputs else kind)
    return Node(kind[:LONGEST_NAME], name[:LONGEST_NAME], inputs, outputs, attributes, list(captured))


def _attribute(proto: Any, path: Path) -> Any:
    field_name = _FIELDS.get(proto.type)
    if field_name is None:
        return None
    value = getattr(proto, field_name)
    if field_name == "s":
        return value.decode("utf-8", "replace")
    if field_name == "t":
        return onnx_constants.tensor_of(value, path, text(proto.name))
    return list(value) if field_name in ("floats", "ints") else value


def _captured(graph: Any) -> list[str]:
    """Names that a subgraph uses and does not make; the parser has bounded how deep they nest."""
    own = {text(value.name) for value in (*graph.input, *graph.initializer)}
    used: dict[str, None] = {}
    for node in graph.node:
        inner = [name for one in node.attribute if one.type == GRAPH_ATTRIBUTE for name in _captured(one.g)]
        used |= dict.fromkeys([*map(text, node.input), *inner])
        own.update(map(text, node.output))
    used |= dict.fromkeys(text(value.name) for value in graph.output)
    return [name for name in used if name and name not in own]
