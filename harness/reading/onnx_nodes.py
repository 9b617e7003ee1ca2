"""An ONNX graph as nodes in the order of their work, its constants apart, cut where one value alone goes on.

References:
    github.com/onnx/onnx, docs/IR.md (a graph's values are named once, its nodes sorted, subgraphs see outer names)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.exchange.foreign import MOST_SIDES, ForeignTensor, FormatError
from harness.reading import onnx_constants
from harness.reading.onnx_constants import FLOATS, SMALL, short, text
from harness.reading.onnx_folding import folded
from harness.reading.onnx_operator import Node, decimal, node_of

MOST_NODES = 20_000
MOST_STEPS_OF_A_CONSTANT = 8  # transpositions and the like between an initializer and its use


@dataclass(frozen=True, slots=True)
class Region:
    """Nodes between one value and the next that alone goes on."""

    nodes: tuple[Node, ...]  # in order; the last one makes `end`
    start: str
    end: str
    makers: dict[str, Node]  # value -> the node that makes it in here

    @property
    def last(self) -> Node:
        """The node that makes `end`."""
        return self.nodes[-1]


class Nodes:
    """A graph taken apart. Raises FormatError for one that is none."""

    def __init__(self, graph: Any, path: Path) -> None:
        self.path = path
        self._tensors: dict[str, ForeignTensor] = {}
        self._steps: dict[str, int] = {}
        self._values: dict[str, NDArray[Any]] = {}
        for proto in graph.initializer:
            name = text(proto.name)
            if not name or name in self._tensors:
                what = f"two initializers called {short(name)}" if name else "an initializer without a name"
                raise FormatError(f"{str(path)!r} has {what}")
            self._keep(onnx_constants.tensor_of(proto, path))
        self.external = [proto for proto in graph.initializer if proto.data_location == onnx_constants.EXTERNAL]
        self._shapes = {text(value.name): value for value in graph.value_info}
        self.inputs = {
            name: value for value in graph.input if (name := text(value.name)) not in self._tensors
        }  # by name, without what an initializer gives
        nodes = [node_of(proto, path) for proto in _bounded(graph.node, path)]
        self._made_by: dict[str, Node] = {}
        self._check_names(nodes)
        self.outputs = [text(value.name) for value in graph.output]
        self.order = self._sorted(nodes)
        for node in self.order:
            self._fold(node)

    # --- constants ----------------------------------------------------------------------------------------------------

    def tensor(self, name: str) -> ForeignTensor | None:
        """A constant: an initializer, or what becomes of one by transposition, in float or in whole numbers."""
        return self._tensors.get(name)

    def weight(self, name: str) -> ForeignTensor | None:
        """A constant of floating-point numbers that is no single number."""
        found = self._tensors.get(name)
        return found if found is not None and found.shape and found.dtype in FLOATS else None

    def values(self, name: str) -> NDArray[Any] | None:
        """A small constant's values. Raises FormatError where they are in a file that is not there."""
        if name not in self._values:
            found = self._tensors.get(name)
            if found is None or found.elements > SMALL or found.dtype.startswith("type"):
                return None
            self._values[name] = found.read()
        return self._values[name]

    def scalar(self, name: str) -> float | None:
        """A constant of one element, as the shortest decimal."""
        found = self._tensors.get(name)
        if found is None or found.elements != 1:
            return None
        values = self.values(name)
        return None if values is None else decimal(values.reshape(-1)[0])

    def whole_numbers(self, name: str) -> list[int] | None:
        """A small constant of whole numbers."""
        values = self.values(name)
        return None if values is None or values.dtype.kind not in "iub" else [int(x) for x in values.reshape(-1)]

    def shape_of(self, name: str) -> tuple[int, ...] | None:
        """A value's shape without the batch, where the file tells it in full."""
        found = self._shapes.get(name)
        if found is None or not found.type.HasField("tensor_type"):
            return None
        sides = tuple(int(side.dim_value) for side in found.type.tensor_type.shape.dim[1:MOST_SIDES])
        return sides if sides and min(sides) > 0 else None

    def _keep(self, tensor: ForeignTensor, steps: int = 0) -> None:
        self._tensors[tensor.name], self._steps[tensor.name] = tensor, steps

    def _fold(self, node: Node) -> None:
        """Take in a node whose output is constant."""
        if node.kind == "Constant":
            if (found := _constant(node, self.path)) is not None:
                self._keep_as(node.outputs[0], found, 0)
            return
        name = node.input(0)
        base, steps = self._tensors.get(name), self._steps.get(name, 0) + 1
        if base is None or len(node.outputs) != 1:
            return
        if base.elements <= SMALL and all(not value or value in self._tensors for value in node.inputs):
            found_values = folded(node.kind, [self.values(n) if n else None for n in node.inputs], node.attributes)
            if found_values is not None:
                self._keep_as(node.outputs[0], _held(node.outputs[0], found_values), 0)
                return
        if steps <= MOST_STEPS_OF_A_CONSTANT and (turned := self._turned(node, base)) is not None:
            self._keep_as(node.outputs[0], turned, steps)

    def _turned(self, node: Node, base: ForeignTensor) -> ForeignTensor | None:
        """A large constant that is renamed, transposed or given another shape."""
        if node.kind == "Identity":
            return base
        if node.kind == "Transpose":
            order = tuple(node.numbers("perm")) or tuple(reversed(range(len(base.shape))))
            return onnx_constants.transposed(base, order) if sorted(order) == list(range(len(base.shape))) else None
        if node.kind == "Reshape":
            shape = tuple(self.whole_numbers(node.input(1)) or ())
            if shape and min(shape) > 0 and int(np.prod(shape, dtype=object)) == base.elements:
                return onnx_constants.reshaped(base, shape)
        return None

    def _keep_as(self, name: str, tensor: ForeignTensor, steps: int) -> None:
        self._tensors[name], self._steps[name] = tensor, steps

    # --- order --------------------------------------------------------------------------------------------------------

    def _check_names(self, nodes: list[Node]) -> None:
        given = set(self.inputs)
        for node in nodes:
            for name in filter(None, node.outputs):
                if name in self._made_by or name in self._tensors or name in given:
                    raise FormatError(f"{str(self.path)!r}: value {short(name)} is made twice")
                self._made_by[name] = node
        for node in nodes:
            for name in filter(None, [*node.inputs, *node.captured]):
                if name not in self._made_by and name not in self._tensors and name not in given:
                    raise FormatError(
                        f"{str(self.path)!r}: node {short(node.name)} uses {short(name)}, which nothing makes"
                    )

    def _sorted(self, nodes: list[Node]) -> list[Node]:
        """Each node after those whose values it uses, as in the file where that will do. Raises FormatError."""
        missing = {node: {n for n in (*node.inputs, *node.captured) if n in self._made_by} for node in nodes}
        made = set[str]()
        if all(_ready(node, missing[node], made) for node in nodes):
            return nodes
        users: dict[str, list[Node]] = {}
        for node, names in missing.items():
            for name in names:
                users.setdefault(name, []).append(node)
        ready, order = deque(node for node in nodes if not missing[node]), list[Node]()
        while ready:
            node = ready.popleft()
            order.append(node)
            for name in filter(None, node.outputs):
                for user in users.get(name, ()):
                    missing[user].discard(name)
                    if not missing[user]:
                        ready.append(user)
        if len(order) < len(nodes):
            stuck = next(node for node in nodes if missing[node])
            raise FormatError(f"{str(self.path)!r}: the graph has a cycle through node {short(stuck.name)}")
        return order

    def final(self) -> str:
        """The output that is made last: logits, or what a softmax makes of them."""
        place = {name: index for index, node in enumerate(self.order) for name in node.outputs}
        made = [name for name in self.outputs if name in place]
        if not made:
            raise FormatError(f"{str(self.path)!r}: no node makes an output of the graph")
        found: str = max(made, key=lambda name: place[name])
        return found

    def regions(self, start: str, final: str) -> Iterator[Region]:
        """From the image to the final output: what lies between one value and the next that alone goes on."""
        chain = self._between(start, final)
        uses: dict[str, int] = {final: 1}
        for node in chain:
            for name in {*node.inputs, *node.captured}:
                uses[name] = uses.get(name, 0) + 1
        live, waiting, begin = {start}, dict(uses), start
        nodes: list[Node] = []
        for node in chain:
            nodes.append(node)
            for name in {*node.inputs, *node.captured} & live:
                waiting[name] -= 1
                if not waiting[name]:
                    live.remove(name)
            made = [name for name in node.outputs if uses.get(name)]
            live.update(made)
            if len(live) == 1 and made:
                yield Region(tuple(nodes), begin, made[0], {name: one for one in nodes for name in one.outputs})
                nodes, begin = [], made[0]

    def _between(self, start: str, final: str) -> list[Node]:
        """The nodes that depend on the one and lead to the other, in order."""
        reached = {start}
        dependent = []
        for node in self.order:
            if not reached.isdisjoint(node.inputs) or not reached.isdisjoint(node.captured):
                reached.update(filter(None, node.outputs))
                dependent.append(node)
        wanted, kept = {final}, []
        for node in reversed(dependent):
            if not wanted.isdisjoint(node.outputs):
                wanted.update(name for name in (*node.inputs, *node.captured) if name in reached)
                kept.append(node)
        return kept[::-1]


def _ready(node: Node, missing: set[str], made: set[str]) -> bool:
    """Whether all that a node uses is made; what it makes is added."""
    found = missing <= made
    made.update(node.outputs)
    return found


def _bounded(nodes: Any, path: Path) -> Any:
    if len(nodes) > MOST_NODES:
        raise FormatError(f"{str(path)!r} has {len(nodes):,} nodes, at most {MOST_NODES:,} are read")
    return nodes


def _held(name: str, values: NDArray[Any]) -> ForeignTensor:
    return ForeignTensor(name, values.shape, values.dtype.name, lambda: values)


def _constant(node: Node, path: Path) -> ForeignTensor | None:
    """A Constant's tensor, or its number or numbers."""
    found: Mapping[str, Any] = node.attributes
    if not node.outputs:
        raise FormatError(f"{str(path)!r}: constant {short(node.name)} has no output")
    if isinstance(found.get("value"), ForeignTensor):
        return found["value"]  # type: ignore[no-any-return]
    for name, kind in (
        ("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64), ("value_ints", np.int64)
    ):  # fmt: skip
        if isinstance(found.get(name), int | float | list):
            return _held(node.outputs[0], np.asarray(found[name], kind))
    return None
