"""A Caffe network, from its .prototxt or out of its .caffemodel, as a `Reading`.

The layers are followed by the blobs they read and write. One chain from the images to the logits is read into
`impls.spec`; what lies beside it, or reads something other than the layer before it, is `Foreign` and says why.

Reference: BVLC/caffe, src/caffe/proto/caffe.proto and src/caffe/net.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.exchange.caffe_wire import net_in
from harness.exchange.foreign import FormatError
from harness.reading.caffe_graph import Graph, Node, graph_of, shared_names
from harness.reading.caffe_inputs import taken_by
from harness.reading.caffe_layers import Read, foreign, merged, read_layer
from harness.reading.caffe_schema import Message, blob_shape, net_of_text, parsed
from impls.derive import Shape
from impls.reading import Facet, Reading, ReadLayer, numbered
from impls.spec import Conv, Dense

LEARNED = {"Convolution": "convolution_param", "InnerProduct": "inner_product_param"}
USUAL_LOSS = "SoftmaxWithLoss"
DEFAULT = Dense(name="", units=1)
MOST_NAMED = 3  # layers that one remark lists


def read(path: Path) -> Reading:
    """A train_val.prototxt, a deploy.prototxt or a .caffemodel. Raises FormatError, CannotMeasure."""
    if path.suffix.lower() == ".caffemodel":
        net = parsed("NetParameter", net_in(path).structure, repr(str(path)))
    else:
        net = net_of_text(path)
    try:
        return of_message(net, path.stem, path.name)
    except FormatError as error:
        raise FormatError(f"{str(path)!r}: {error}") from None


def of_message(net: Message, name: str, source: str) -> Reading:
    """A NetParameter's network. Raises FormatError, whose message does not name the file."""
    graph = graph_of(net)
    taken = taken_by(graph, net, _channels(graph))
    layers, remarks = _layers(graph, taken.value, taken.shape)
    silent: set[Facet] = set()
    if not _has_fillers(graph):
        silent.add("init")
        layers = [_unsaid(layer) for layer in layers]
    if taken.preprocessing is None:
        silent.add("preprocessing")
    height, width, channels = taken.shape
    return Reading(
        name=name, source=source, height=height, width=width, channels=channels, layers=numbered(layers),
        preprocessing=taken.preprocessing, silent=frozenset(silent),
        biasless=tuple(node.name for node in graph.path if _is_biasless(node)),
        remarks=(*taken.remarks, *_of_graph(graph), *remarks),
    )  # fmt: skip


def _is_biasless(node: Node) -> bool:
    return node.kind in LEARNED and not getattr(node.message, LEARNED[node.kind]).bias_term


def _channels(graph: Graph) -> int | None:
    """The channels of the images by the weights of the first convolution, where they are in the message."""
    first = next((node for node in graph.path if node.kind == "Convolution"), None)
    if first is None or not len(first.message.blobs):
        return None
    shape = blob_shape(first.message.blobs[0])
    found = shape[1] * first.message.convolution_param.group if len(shape) == 4 else 0
    return found if found > 0 else None


def _has_fillers(graph: Graph) -> bool:
    """Whether any learned layer says how its weights start; all of a deploy.prototxt's leave it out."""
    for node in (*graph.path, *graph.aside):
        parameters = getattr(node.message, LEARNED[node.kind]) if node.kind in LEARNED else None
        if parameters is not None and (parameters.HasField("weight_filler") or parameters.HasField("bias_filler")):
            return True
    return False


def _unsaid(layer: ReadLayer) -> ReadLayer:
    """A layer of a file without fillers: how it starts is this project's default, not Caffe's zero."""
    if isinstance(layer, Conv | Dense):
        return replace(layer, init=DEFAULT.init, init_bias=DEFAULT.init_bias)
    return layer


def _of_graph(graph: Graph) -> tuple[str, ...]:
    losses = [node for node in graph.endings if node.kind.endswith("Loss") and node.kind != USUAL_LOSS]
    found = [f"it is trained with {node.kind}, not with softmax and cross-entropy" for node in losses]
    found.extend(_shared(graph))
    if graph.test_only:
        found.append(f"{_some(graph.test_only)}: only in its test net, left out")
    return tuple(found)


def _shared(graph: Graph) -> Iterator[str]:
    owners: dict[str, str] = {}
    for node in graph.path:
        for name in shared_names(node.message):
            if owners.setdefault(name, node.name) != node.name:
                yield f"{owners[name]} and {node.name} share the parameter {name!r}"


def _layers(graph: Graph, value: int, shape: Shape) -> tuple[list[ReadLayer], tuple[str, ...]]:
    """The chain's layers from the images on, then those beside it, and the remarks on them."""
    shapes: dict[int, Shape | None] = {value: shape}
    head = value  # the output of the chain so far
    layers: list[ReadLayer] = []
    said: dict[str, list[str]] = {}
    for node, is_aside in [*((node, False) for node in graph.path), *((node, True) for node in graph.aside)]:
        found = _read(node, shapes)
        shapes.update(dict.fromkeys(node.outputs, found.shape))
        layer = found.layer
        if is_aside:
            layer = foreign(node, found.shape, "beside the way to the logits", found.parameters)
        elif head not in node.inputs:
            reason = f"reads {graph.names[node.inputs[0]]!r}, not the layer before" if node.inputs else "reads nothing"
            layer = foreign(node, found.shape, reason, found.parameters)
        elif node.outputs:
            head = node.outputs[0]
        if layer is not None:
            layers.append(layer)
        for remark in found.remarks:
            said.setdefault(remark, []).append(node.name)
    return layers, tuple(f"{_some(names)}: {remark}" for remark, names in said.items())


def _read(node: Node, shapes: dict[int, Shape | None]) -> Read:
    inputs = [shapes.get(value) for value in node.inputs]
    return read_layer(node, inputs[0]) if len(inputs) == 1 else merged(node, inputs)


def _some(names: Sequence[str]) -> str:
    """A few names, and how many more."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
