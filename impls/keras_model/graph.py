"""A Keras model's JSON configuration as a chain of segments. Standard library only; nothing of it is ever executed.

Keras 3 writes `{"class_name": "Sequential" or "Functional", "config": {"layers": [...]}}`; Keras 2 writes the same with
"Model" for "Functional" and other inbound nodes, Keras 1 a plain list for a Sequential's layers. In all of them a layer
is `{"class_name", "config"}`; operations of `keras.ops` in a functional model are layers as well.

References:
    keras/src/models/functional.py, `serialize_node`; keras/src/legacy/saving/serialization.py
    keras/src/saving/saving_lib.py, `_save_container_state`: the groups of a weights file
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

MOST_NODES = 10_000
MOST_DEPTH = 20  # models inside models
TEXT = 200  # characters of a name that are kept
MODELS = frozenset({"Sequential", "Functional", "Model"})

Argument: TypeAlias = Any  # a number, a text, a list of them, or a `Ref`


class NotAModel(ValueError):
    """A configuration that is no Keras model which can be followed; the message is one line."""


@dataclass(frozen=True, slots=True)
class Ref:
    """The output of another node."""

    node: str
    shape: tuple[int, ...] = ()  # without the batch, as the file has it; empty where it does not tell


@dataclass(slots=True)
class Node:
    """One call of one layer or operation."""

    name: str  # unique within the chain
    kind: str  # its class
    config: dict[str, Any]
    arguments: list[Argument] = field(default_factory=list)
    named: dict[str, Argument] = field(default_factory=dict)
    path: str = ""  # of its group in a Keras 3 weights file
    built: tuple[int, ...] = ()  # its input's shape without the batch, where the file tells
    repeated: bool = False  # a layer that was called before: its weights are shared

    @property
    def label(self) -> str:
        """What the layer is called over there."""
        return text(self.config.get("name")) or self.name

    def inputs(self) -> Iterator[Ref]:
        """The outputs it is given."""
        yield from _refs([*self.arguments, *self.named.values()])


Segment: TypeAlias = list[Node]  # a single node, or a piece with branches that meet in its last node


def text(value: object) -> str:
    """A name as a file has it, of bounded length and on one line; empty where it is none."""
    return "".join(c if c.isprintable() else "?" for c in value[:TEXT]) if isinstance(value, str) else ""


def _refs(value: Argument, depth: int = 0) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, list) and depth < MOST_DEPTH:
        for inner in value:
            yield from _refs(inner, depth + 1)


def segments(config: object) -> list[Segment]:
    """The model's nodes in order, cut wherever a single tensor is all that is passed on. Raises NotAModel."""
    nodes = _Follower().model(config, prefix="", path="", depth=0)
    if not nodes:
        raise NotAModel("the model has no layers")
    return _cut(_needed(nodes))


class _Follower:
    """Goes through models inside models; how many nodes it makes of them is bounded, however often one is called."""

    def __init__(self) -> None:
        self._nodes = 0

    def model(self, config: object, prefix: str, path: str, depth: int) -> list[Node]:
        if depth > MOST_DEPTH:
            raise NotAModel(f"models are nested more than {MOST_DEPTH} deep")
        if not isinstance(config, dict) or text(config.get("class_name")) not in MODELS:
            found = text(config.get("class_name")) if isinstance(config, dict) else type(config).__name__
            raise NotAModel(
                f"{found or 'the file'!r} is neither a Sequential nor a Functional model: its layers are unknown"
            )
        inner = config.get("config")
        layers = inner.get("layers") if isinstance(inner, dict) else inner
        if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
            raise NotAModel("the model's configuration has no list of layers")
        if len(layers) > MOST_NODES:
            raise NotAModel(f"the model has {len(layers)} layers, over {MOST_NODES}")
        if config["class_name"] == "Sequential":
            return self._sequential(layers, inner, prefix, path, depth)
        if not isinstance(inner, dict):
            raise NotAModel("a functional model's configuration is a list, expected layers and their connections")
        return self._functional(layers, inner, prefix, path, depth)

    def _node(self, layer: dict[str, Any], name: str, path: str) -> Node:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise NotAModel(f"the model has over {MOST_NODES} layers")
        return Node(
            name=name,
            kind=text(layer.get("class_name")) or "unnamed",
            config=_mapping(layer.get("config")),
            path=path,
            built=shape_of(_mapping(layer.get("build_config")).get("input_shape")),
        )

    def _sequential(self, layers: list[dict[str, Any]], inner: Any, prefix: str, path: str, depth: int) -> list[Node]:
        nodes: list[Node] = []
        paths = _paths(layers, path)
        build = shape_of(inner.get("build_input_shape")) if isinstance(inner, dict) else ()
        for index, (layer, place) in enumerate(zip(layers, paths, strict=True)):
            name = f"{prefix}{index}"
            if text(layer.get("class_name")) in MODELS:
                part = self.model(layer, f"{name}/", f"{place}/", depth + 1)
            else:
                part = [self._node(layer, name, place)]
            if part and nodes:
                _feed(part, Ref(nodes[-1].name))
            nodes += part
        if nodes and not nodes[0].built and nodes[0].kind != "InputLayer":
            nodes[0].built = build
        return nodes

    def _functional(
        self, layers: list[dict[str, Any]], inner: dict[str, Any], prefix: str, path: str, depth: int
    ) -> list[Node]:
        ends = [_ends(inner.get(key)) for key in ("input_layers", "output_layers")]
        if len(ends[0]) != 1 or len(ends[1]) != 1:
            raise NotAModel(f"the model has {len(ends[0])} inputs and {len(ends[1])} outputs, expected one of each")
        nodes: list[Node] = []
        outputs: dict[tuple[str, int], str] = {}  # of each layer's each call: the node that gives it
        pending = list(zip(layers, _paths(layers, path), strict=True))
        for layer, place in pending:
            own = text(layer.get("name")) or text(_mapping(layer.get("config")).get("name"))
            calls = layer.get("inbound_nodes")
            calls = calls if isinstance(calls, list) and calls else [None]
            for call, inbound in enumerate(calls):
                name = f"{prefix}{own}" + (f":{call}" if call else "")
                if text(layer.get("class_name")) in MODELS:
                    part = self.model(layer, f"{name}/", f"{place}/", depth + 1)
                else:
                    part = [self._node(layer, name, place)]
                if not part:
                    raise NotAModel(f"model {name!r} has no layers")
                if inbound is not None:
                    _call(part, inbound, prefix)
                part[0].repeated = call > 0
                nodes += part
                outputs[own, call] = part[-1].name
        return _ordered(
            nodes, {f"{prefix}\n{own}\n{call}": name for (own, call), name in outputs.items()}, prefix, ends
        )


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _paths(layers: Iterable[dict[str, Any]], path: str) -> list[str]:
    """Groups of a Keras 3 weights file: classes in snake case, counted in the order of the layers."""
    seen, found = Counter[str](), []
    for layer in layers:
        kind = "Functional" if text(layer.get("class_name")) == "Model" else text(layer.get("class_name"))
        name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
        name = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
        found.append(f"{path}layers/{name}" + (f"_{seen[name]}" if seen[name] else ""))
        seen[name] += 1
    return found


def shape_of(value: object) -> tuple[int, ...]:
    """A shape with its batch as JSON has it, without that; empty where it is not one of plain numbers."""
    if not isinstance(value, list) or len(value) < 2:
        return ()
    sides = tuple(side for side in value[1:] if type(side) is int and 0 < side < 2**31)
    return sides if len(sides) == len(value) - 1 else ()


def _feed(part: list[Node], source: Ref) -> None:
    """A nested model's input becomes what it is called with."""
    if part[0].kind == "InputLayer":
        part[0].kind, part[0].config = "Identity", {"name": part[0].label}
    part[0].arguments = [source]


def _ends(value: object) -> list[tuple[str, int]]:
    """Layers that a model begins or ends with, from ["name", 0, 0] or a list of such."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        value = [value]
    if not isinstance(value, list):
        return []
    found = [entry for entry in value if isinstance(entry, list) and len(entry) >= 2]
    return [(text(entry[0]), entry[1]) for entry in found if isinstance(entry[0], str) and type(entry[1]) is int]


def _call(part: list[Node], inbound: object, prefix: str) -> None:
    """What a node is given: Keras 3's {"args", "kwargs"} or Keras 2's list of [name, node, tensor, kwargs]."""
    if isinstance(inbound, dict):
        arguments = _argument(inbound.get("args"), prefix, 0)
        named = inbound.get("kwargs")
        part[0].named = (
            {text(key): _argument(value, prefix, 0) for key, value in named.items()} if isinstance(named, dict) else {}
        )
    elif isinstance(inbound, list):
        entries = [inbound] if inbound and isinstance(inbound[0], str) else inbound
        arguments = [
            Ref(f"{prefix}\n{text(entry[0])}\n{entry[1]}")
            for entry in entries
            if isinstance(entry, list) and len(entry) >= 3 and isinstance(entry[0], str) and type(entry[1]) is int
        ]
    else:
        raise NotAModel(f"layer {part[0].label!r} has inbound nodes of an unknown form")
    if part[0].kind == "InputLayer":
        part[0].kind, part[0].config = "Identity", {"name": part[0].label}
    part[0].arguments = arguments if isinstance(arguments, list) else []


def _argument(value: Any, prefix: str, depth: int) -> Argument:
    if depth > MOST_DEPTH:
        raise NotAModel(f"arguments are nested more than {MOST_DEPTH} deep")
    if isinstance(value, list):
        return [_argument(inner, prefix, depth + 1) for inner in value]
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        history = config.get("keras_history") if isinstance(config, dict) else None
        if not isinstance(config, dict) or not isinstance(history, list) or len(history) < 2:
            raise NotAModel("a layer is given a tensor without a history")
        call = history[1] if type(history[1]) is int else 0
        return Ref(f"{prefix}\n{text(history[0])}\n{call}", shape_of(config.get("shape")))
    return value


def _ordered(nodes: list[Node], outputs: dict[str, str], prefix: str, ends: list[list[tuple[str, int]]]) -> list[Node]:
    """Those that the output needs, each after its inputs, from the input on."""

    def resolved(value: Argument) -> Argument:
        if isinstance(value, list):
            return [resolved(inner) for inner in value]
        if isinstance(value, Ref) and value.node.startswith(f"{prefix}\n"):
            if value.node not in outputs:
                raise NotAModel(f"a layer is given the output of {value.node.split(chr(10))[-2]!r}, which is not there")
            return Ref(outputs[value.node], value.shape)
        return value

    for node in nodes:
        node.arguments = resolved(node.arguments)
        node.named = {key: resolved(value) for key, value in node.named.items()}
    first, last = (outputs.get(f"{prefix}\n{name}\n{call}") for ((name, call),) in ends)
    by_name = {node.name: node for node in nodes}
    if first is None or last is None or len(by_name) != len(nodes):
        raise NotAModel("the model's input or output is no layer of it, or two layers have one name")
    order = _depth_first(by_name, last)
    if order[0].name != first and first in {node.name for node in order}:
        order.sort(key=lambda node: node.name != first)  # a stable sort: the input comes first
    if order[0].name != first:
        raise NotAModel("the model's output does not depend on its input")
    return order


def _depth_first(by_name: dict[str, Node], last: str) -> list[Node]:
    """The nodes that `last` needs, each after its inputs. Raises NotAModel for a circle."""
    order: list[Node] = []
    state: dict[str, bool] = {}  # False: its inputs are being visited, True: done
    stack = [last]
    while stack:
        name = stack[-1]
        if state.get(name) is True:
            stack.pop()
            continue
        if name not in by_name:
            raise NotAModel(f"a layer is given the output of {name!r}, which is not there")
        waiting = [ref.node for ref in by_name[name].inputs() if state.get(ref.node) is not True]
        if name in state and any(state.get(other) is False for other in waiting):
            raise NotAModel(f"layer {name!r} is given its own output")
        state[name] = not waiting
        if waiting:
            stack += waiting
        else:
            order.append(by_name[name])
            stack.pop()
    return order


def _needed(nodes: list[Node]) -> list[Node]:
    return _depth_first({node.name: node for node in nodes}, nodes[-1].name)


def _cut(nodes: list[Node]) -> list[Segment]:
    """Pieces after whose last node its output alone is wanted later."""
    last_use: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for ref in node.inputs():
            last_use[ref.node] = index
    found: list[Segment] = []
    piece: Segment = []
    reach = 0
    for index, node in enumerate(nodes):
        piece.append(node)
        if reach <= index:  # nothing before this node is wanted after it
            found.append(piece)
            piece = []
        reach = max(reach, last_use.get(node.name, index))
    return [*found, piece] if piece else found
