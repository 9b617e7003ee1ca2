"""An ONNX file's network as this project describes networks; what it has no class for is named.

A graph is followed from its image to its last output. Where values part and come together again, the nodes between are
one part: a normalisation spelled out, towers, a flattening, or something foreign.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from harness.exchange.foreign import ForeignTensor, FormatError
from harness.reading import onnx_bytes, onnx_layers, onnx_patterns
from harness.reading.onnx_constants import joined, short
from harness.reading.onnx_nodes import Nodes, Region
from harness.reading.onnx_operator import Node, decimal
from harness.reading.onnx_walk import Walk
from impls.reading import Facet, Foreign, Reading, numbered
from impls.spec import Conv, Dropout

SIDES = (224, 227, 32, 28, 256)  # tried where the file leaves the image's size open
LARGEST_SIDE = 65_536
ENDINGS = ("Softmax", "LogSoftmax")


class Image(NamedTuple):
    """The graph's input; None for a side that the file leaves open."""

    name: str
    height: int | None
    width: int | None
    channels: int
    channels_last: bool


class Found(NamedTuple):
    """A graph followed to its end."""

    image: Image
    height: int
    width: int
    walk: Walk


def read(path: Path) -> Reading:
    """The network of an ONNX file. Raises FormatError, CannotMeasure."""
    return of_model(onnx_bytes.load(path), path.stem, path.name, path)


def of_model(model: Any, name: str, source: str, path: Path | None = None) -> Reading:
    """The network of an `onnx.ModelProto`. `path` is the file it came from, beside which its data may lie.

    Raises FormatError.
    """
    return reading_of(follow(model, path or Path(source)), name, source)


def follow(model: Any, path: Path) -> Found:
    """Layers and weights of a model read from `path`. Raises FormatError."""
    nodes = Nodes(model.graph, path)
    image = _image(nodes)
    sides = [(image.height or side, image.width or image.height or side) for side in SIDES]
    if image.height is not None or image.width is not None:
        sides = [(image.height or image.width or 0, image.width or image.height or 0)]
    walks: list[Found] = []
    for height, width in sides:
        walk = _walk(nodes, image, (height, width, image.channels))
        walks.append(Found(image, height, width, walk))
        if walk.fits and not walk.remarks:
            return walks[-1]
    return walks[0]


def reading_of(found: Found, name: str, source: str) -> Reading:
    """As the rest of the project takes it."""
    walk, image = found.walk, found.image
    remarks = list(walk.remarks)
    if image.height is None or image.width is None:
        remarks.insert(0, f"the file leaves the image's size open: {found.height} x {found.width} is taken")
    if len(walk.nodes.inputs) > 1:
        others = ", ".join(short(given) for given in walk.nodes.inputs if given != image.name)
        remarks.append(f"the graph has further inputs: {others[:200]}")
    if not walk.fits:
        remarks.append("a dense layer takes another number of inputs than arrive")
    layers = numbered(walk.layers)
    silent: set[Facet] = {"init", "preprocessing"}
    if not any(isinstance(layer, Dropout) for layer in layers):
        silent |= {"dropout", "dropout-scaling"}
    return Reading(
        name=name,
        source=source,
        height=found.height,
        width=found.width,
        channels=image.channels,
        layers=layers,
        silent=frozenset(silent),
        biasless=tuple(one.name for one in walk.learned if one.bias is None),
        remarks=tuple(remarks),
    )


def _walk(nodes: Nodes, image: Image, shape: tuple[int, int, int]) -> Walk:
    walk = Walk(nodes, shape, channels_last=image.channels_last)
    for region in nodes.regions(image.name, nodes.final()):
        alone = region.last if len(region.nodes) == 1 else None
        if alone is None or not onnx_layers.takes_pad(walk, alone):
            walk.flush()
        if alone is not None:
            _take_node(walk, region, alone)
        else:
            _take_region(walk, region)
    walk.flush()
    while walk.layers and isinstance(last := walk.layers[-1], Foreign) and last.kind in ENDINGS:
        walk.layers.pop()
    return walk


def _take_node(walk: Walk, region: Region, node: Node) -> None:
    handler = onnx_layers.HANDLERS.get(node.kind)
    if handler is not None and handler(walk, node):
        return
    walk.flush()
    over_maps = node.kind == "ReduceMean" and onnx_layers.over_maps(walk, node)
    walk.foreign(region, "GlobalAveragePool" if over_maps else node.kind, _detail(node))


def _detail(node: Node) -> str:
    """A node's numbers in a few words."""
    kept = {
        name: decimal(value) if isinstance(value, float) else value
        for name, value in node.attributes.items()
        if isinstance(value, int | float | str | list)
    }
    return ", ".join(f"{name} {value}" for name, value in list(kept.items())[:8] if len(str(value)) <= 40)


def _take_region(walk: Walk, region: Region) -> None:
    nodes = walk.nodes
    if _take_flattening(walk, onnx_patterns.flattening(region)):
        return
    norm = onnx_patterns.normalisation(nodes, region, walk.channels)
    if norm is not None and not walk.channels_last:
        walk.add(norm)
        return
    if not walk.channels_last and (_take_norms(walk, region) or _take_convolutions(walk, region)):
        return
    kinds = Counter(node.kind for node in region.nodes)
    walk.foreign(region, _kind(kinds, region), ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))


def _take_flattening(walk: Walk, steps: tuple[Node, ...]) -> bool:
    before = walk.channels_last
    if steps and all(onnx_layers.HANDLERS[node.kind](walk, node) for node in steps):
        return True
    walk.channels_last = before
    return False


def _take_norms(walk: Walk, region: Region) -> bool:
    """A response normalisation for each tower."""
    found = onnx_patterns.towers(walk.nodes, region, "LRN") or []
    layers = [layer for node in found if (layer := onnx_layers.lrn_layer(node)) is not None]
    if not found or len(layers) != len(found):
        return False
    together = onnx_patterns.alike(layers)
    if together is not None:
        walk.add(together)
    return together is not None


def _take_convolutions(walk: Walk, region: Region) -> bool:
    """A convolution for each tower: one with groups."""
    found = onnx_patterns.towers(walk.nodes, region, "Conv") or []
    if not found or walk.shape is None or len(walk.shape) != 3:
        return False
    height, width, channels = walk.shape
    parts = [Walk(walk.nodes, (height, width, channels // len(found))) for _ in found]
    if not all(onnx_layers.conv(part, node) for part, node in zip(parts, found, strict=True)):
        return False
    convs = [part.layers[0] for part in parts]
    learned = [part.learned[0] for part in parts]
    first, biases = convs[0], [one.bias for one in learned]
    if not isinstance(first, Conv) or first.groups != 1 or len({_settings(one) for one in convs}) != 1:
        return False
    together = [bias for bias in biases if bias is not None]
    if len({one.weight.shape for one in learned}) != 1 or len(together) not in (0, len(biases)):
        return False
    whole: ForeignTensor | None = joined(tuple(together), 0) if together else None
    layer = Conv(
        name=region.last.name,
        kernels=first.kernels * len(found),
        size=first.size,
        stride=first.stride,
        padding=first.padding,
        groups=len(found),
    )
    walk.learn(layer, joined(tuple(one.weight for one in learned), 0), whole, "oihw")
    return True


def _settings(layer: Any) -> tuple[Any, ...]:
    return (layer.kernels, layer.size, layer.stride, layer.padding, layer.groups)


def _kind(kinds: Counter[str], region: Region) -> str:
    """What people call a part of several nodes."""
    if region.last.kind == "Add" and region.start in region.last.inputs:
        return "Residual"
    if kinds["Conv"] or kinds["Gemm"] or kinds["MatMul"]:
        return "Branches"
    if kinds["Erf"]:
        return "GELU"
    if kinds["Sigmoid"] and kinds["Mul"]:
        return "SiLU"
    if (kinds["Pow"] or kinds["Sqrt"]) and (kinds["AveragePool"] or kinds["ReduceMean"] or kinds["ReduceSum"]):
        return "Normalization"
    return "+".join(list(kinds)[:4])


def _image(nodes: Nodes) -> Image:
    """The input with four axes, or the first one. Raises FormatError."""
    if not nodes.inputs:
        raise FormatError(f"{str(nodes.path)!r}: the graph has no input")
    shapes = {name: _sides(value) for name, value in nodes.inputs.items()}
    name = next((name for name, sides in shapes.items() if len(sides) == 4), next(iter(shapes)))
    sides = shapes[name] if len(shapes[name]) == 4 else [None] * 4
    users = [node for node in nodes.order if name in node.inputs]
    turned = bool(users) and all(
        node.kind == "Transpose" and node.numbers("perm") == onnx_layers.TO_CHANNELS_FIRST for node in users
    )
    channels, height, width = (sides[3], sides[1], sides[2]) if turned else (sides[1], sides[2], sides[3])
    if any(side is not None and side > LARGEST_SIDE for side in sides):
        raise FormatError(f"{str(nodes.path)!r}: input {short(name)} has sides {sides}, at most {LARGEST_SIDE:,} each")
    return Image(name, height, width, channels or _channels(nodes), turned)


def _sides(value: Any) -> list[int | None]:
    """An input's sides; None for one that is open."""
    if not value.type.HasField("tensor_type") or len(value.type.tensor_type.shape.dim) > 8:
        return []
    return [int(side.dim_value) if side.dim_value > 0 else None for side in value.type.tensor_type.shape.dim]


def _channels(nodes: Nodes) -> int:
    """Of the image, by the first convolution."""
    for node in nodes.order:
        weight = nodes.weight(node.input(1)) if node.kind == "Conv" else None
        if weight is not None and len(weight.shape) == 4:
            return max(1, min(weight.shape[1] * node.whole("group", 1), LARGEST_SIDE))
    return 3
