"""How the layers of a Caffe network hang together: which are in the training net, who reads whose output, what ends it.

Caffe's layers name the blobs they read and write, in an order in which they can run. A blob that is written again (an
in-place layer) is another value from there on, so values are numbered here and names forgotten.

Reference: BVLC/caffe, src/caffe/net.cpp (FilterNet, StateMeetsRule, Init), src/caffe/util/insert_splits.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.exchange.foreign import FormatError
from harness.reading.caffe_schema import MOST_LAYERS, V1_TYPES, Message

TRAIN, TEST = 0, 1  # enum Phase
V0_REFUSED = "its layers are of Caffe's oldest format (V0): convert it with Caffe's upgrade_net_proto tools"

SOURCES = frozenset({"Data", "ImageData", "WindowData", "HDF5Data", "MemoryData", "DummyData", "Input", "Python"})
LOSSES = frozenset({
    "SoftmaxWithLoss", "EuclideanLoss", "HingeLoss", "InfogainLoss", "ContrastiveLoss", "MultinomialLogisticLoss",
    "SigmoidCrossEntropyLoss",
})  # fmt: skip
# What may follow the logits and is no part of the network.
ENDINGS = LOSSES | {"Softmax", "Accuracy", "ArgMax", "Silence", "HDF5Output"}


@dataclass(frozen=True, slots=True)
class Node:
    """One layer: `inputs` and `outputs` number the values it reads and writes."""

    name: str
    kind: str  # as the newer layer format calls it: Convolution, InnerProduct
    message: Message
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """The layers of the training net in order, sorted by what they are for."""

    sources: tuple[Node, ...]  # of images and labels
    path: tuple[Node, ...]  # what the logits come from
    aside: tuple[Node, ...]  # what leads elsewhere
    endings: tuple[Node, ...]  # losses, measures, the softmax after the logits
    names: tuple[str, ...]  # of the values, by number
    inputs: tuple[int, ...]  # values that the net takes without a layer (`input:`)
    test_only: tuple[str, ...]  # layers, endings apart, that training leaves out


def printable(text: str | bytes) -> str:
    """A name from a file as it may be shown: short, and without control characters.

    What is no UTF-8 the protobuf library gives as bytes.
    """
    if isinstance(text, bytes):
        text = text[:400].decode("utf-8", errors="replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text[:100])


def layer_messages(net: Message) -> Sequence[Message]:
    """The layers in either format. Raises FormatError where there are none, both, too many, or the oldest kind."""
    old, new = net.layers, net.layer
    if len(old) and len(new):
        raise FormatError("it has both `layer` and `layers`, which Caffe refuses: use Caffe's upgrade_net_proto tools")
    if any(layer.HasField("layer") for layer in old[:MOST_LAYERS]):
        raise FormatError(V0_REFUSED)
    found: Sequence[Message] = new if len(new) else old
    if not len(found):
        raise FormatError("it defines no layers: expected those of a train_val.prototxt or a deploy.prototxt")
    if len(found) > MOST_LAYERS:
        raise FormatError(f"it has {len(found):,} layers, at most {MOST_LAYERS:,} are read")
    return found


def kind_of(layer: Message) -> str:
    """The layer's type by its newer name; empty where it has none."""
    field = layer.DESCRIPTOR.fields_by_name["type"]
    if field.enum_type is None:
        return printable(layer.type)
    return V1_TYPES.get(field.enum_type.values_by_number[layer.type].name, "")


def shared_names(layer: Message) -> list[str]:
    """The names of a layer's parameters, by which several layers may have the same ones."""
    names = (getattr(one, "name", one) for one in layer.param[:MOST_LAYERS])  # in the older format the names alone
    return [printable(name) for name in names if name]


def _meets(rule: Message, net: Message, phase: int) -> bool:
    """Whether the net's state in this phase fulfils a rule (Net::StateMeetsRule)."""
    level, stages = net.state.level, set(net.state.stage)
    return not (
        (rule.HasField("phase") and rule.phase != phase)
        or (rule.HasField("min_level") and level < rule.min_level)
        or (rule.HasField("max_level") and level > rule.max_level)
        or any(stage not in stages for stage in rule.stage)
        or any(stage in stages for stage in rule.not_stage)
    )


def _included(layer: Message, net: Message, phase: int) -> bool:
    if len(layer.include):
        return any(_meets(rule, net, phase) for rule in layer.include)
    return not any(_meets(rule, net, phase) for rule in layer.exclude)


def _phase(layers: Sequence[Message], net: Message) -> int:
    """Training, unless the file has data and layers for the test alone."""
    for phase in (TRAIN, TEST):
        are_sources = [kind_of(layer) in SOURCES for layer in layers if _included(layer, net, phase)]
        if not all(are_sources) and (any(are_sources) or len(net.input)):
            return phase
    return TRAIN


def graph_of(net: Message) -> Graph:
    """The training net, or the test net where there is no other. Raises FormatError."""
    layers = layer_messages(net)
    phase = _phase(layers, net)
    chosen = [layer for layer in layers if _included(layer, net, phase)]
    test_only = [
        printable(layer.name)
        for layer in layers
        if phase == TRAIN and kind_of(layer) not in SOURCES | ENDINGS
        if not _included(layer, net, TRAIN) and _included(layer, net, TEST)
    ]
    names: list[str] = []
    nodes, inputs = _numbered(chosen, net.input[:MOST_LAYERS], names)
    return _sorted(nodes, inputs, tuple(names), tuple(test_only))


def _numbered(layers: Iterable[Message], inputs: Iterable[str], names: list[str]) -> tuple[list[Node], tuple[int, ...]]:
    """Layers with their values' numbers; `names` is filled. A Split (Caffe inserts them) adds no value."""
    latest: dict[str, int] = {}

    def new(name: str) -> int:
        latest[name] = len(names)
        names.append(printable(name))
        return latest[name]

    taken = tuple(new(name) for name in inputs)
    nodes = []
    for layer in layers:
        name, kind = printable(layer.name), kind_of(layer)
        unknown = [bottom for bottom in layer.bottom if bottom not in latest]
        if unknown:
            raise FormatError(f"layer {name!r} reads {printable(unknown[0])!r}, which no layer before it writes")
        read = tuple(latest[bottom] for bottom in layer.bottom)
        if kind == "Split" and len(read) == 1:
            latest.update(dict.fromkeys(layer.top, read[0]))
            continue
        nodes.append(Node(name, kind, layer, read, tuple(new(top) for top in layer.top)))
    return nodes, taken


def _sorted(nodes: list[Node], inputs: tuple[int, ...], names: tuple[str, ...], test_only: tuple[str, ...]) -> Graph:
    used: set[int] = set()  # values that something other than an ending reads
    ends: set[int] = set()  # endings, by their place
    for place in range(len(nodes) - 1, -1, -1):
        node = nodes[place]
        if node.kind in ENDINGS and used.isdisjoint(node.outputs):
            ends.add(place)
        else:
            used.update(node.inputs)
    inner = [node for place, node in enumerate(nodes) if place not in ends and not _is_source(node)]
    if not inner:
        raise FormatError("it has no layer between its data and its loss")
    needed = set(inner[-1].outputs) | set(inner[-1].inputs)
    path = [inner[-1]]
    for node in reversed(inner[:-1]):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
            path.append(node)
    path.reverse()
    on_path = {id(node) for node in path}
    sources = [node for node in nodes if _is_source(node)]
    return Graph(
        sources=tuple(sorted(sources, key=lambda node: needed.isdisjoint(node.outputs))),  # that of the images first
        path=tuple(path),
        aside=tuple(node for node in inner if id(node) not in on_path),
        endings=tuple(nodes[place] for place in sorted(ends)),
        names=names,
        inputs=inputs,
        test_only=test_only,
    )


def _is_source(node: Node) -> bool:
    return node.kind in SOURCES and not node.inputs
