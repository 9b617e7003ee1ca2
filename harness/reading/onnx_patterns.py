"""What takes several of ONNX's nodes: response normalisation as exporters spell it out, towers, a flattening's shape.

PyTorch's exporters write torch.nn.functional.local_response_norm as its own source does: squares, one axis more, zeros
before and behind the channels, an average, alpha, k, a power, a quotient. Our own export does the same with the
channels of each tower as the height of a map, and within a map for the 2012 source's spatial norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.reading.onnx_constants import text
from harness.reading.onnx_nodes import Nodes, Region
from harness.reading.onnx_operator import Node
from impls.spec import LRN, SpatialNorm

# Nodes that leave the values as they are, and nodes that only work out a shape.
SHAPE_ONLY = {"Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten"}
SHAPE_WORK = SHAPE_ONLY | {"Shape", "Gather", "Concat", "Slice", "Cast", "Equal", "Transpose", "ConstantOfShape", "Pad"}
MOST_GROUPS = 64


@dataclass(frozen=True, slots=True)
class Mean:
    """An average pool over squares of a value."""

    kernel: tuple[int, ...]
    pads: tuple[int, ...]  # before and behind each axis of the kernel, whose zeros count
    shape: tuple[int, ...] | None  # the squares' while they were averaged, where the file tells
    reshaped: bool


def flattening(region: Region) -> tuple[Node, ...]:
    """A Reshape of the whole value, whose other nodes work out its shape; before it the Transpose of a map, if any.

    Empty for anything else.
    """
    last = region.last
    if last.kind != "Reshape" or not all(node.kind in SHAPE_WORK for node in region.nodes):
        return ()
    if last.input(0) == region.start:
        return (last,)
    turned = region.makers.get(last.input(0))
    if turned is None or turned.kind != "Transpose" or turned.input(0) != region.start:
        return ()
    return turned, last


def normalisation(nodes: Nodes, region: Region, channels: int | None) -> LRN | SpatialNorm | None:
    """x / (k + alpha * mean of squares) ** beta."""
    last, start = region.last, region.start
    if last.kind == "Div" and last.input(0) == start:
        value, sign = last.input(1), 1.0
    elif last.kind == "Mul" and start in last.inputs[:2]:
        value, sign = last.input(0 if last.input(1) == start else 1), -1.0
    else:
        return None
    power = region.makers.get(value)
    beta = nodes.scalar(power.input(1)) if power is not None and power.kind == "Pow" else None
    if power is None or beta is None:
        return None
    base, k = _with_scalar(nodes, region, power.input(0), "Add")
    if k is None:
        return None
    inner, alpha = _with_scalar(nodes, region, base, "Mul")
    mean = _mean_of_squares(nodes, region, inner)
    return (
        None if mean is None else _layer(last.name, mean, (1.0 if alpha is None else alpha, sign * beta, k), channels)
    )


def _with_scalar(nodes: Nodes, region: Region, value: str, kind: str) -> tuple[str, float | None]:
    """The other operand and the number, where a node of that kind made the value; else the value and None."""
    value = _before_shapes(nodes, region, value)
    node = region.makers.get(value)
    if node is None or node.kind != kind:
        return value, None
    for place in (0, 1):
        number = nodes.scalar(node.input(place))
        if number is not None:
            return node.input(1 - place), number
    return value, None


def _before_shapes(nodes: Nodes, region: Region, value: str) -> str:
    """The value before changes of its shape. A chain has as many steps as the region has nodes, at most."""
    for _ in region.nodes:
        node = region.makers.get(value)
        if node is None:
            return value
        if node.kind in SHAPE_ONLY:
            value = node.input(0)
        elif node.kind == "If" and (outer := _chosen(node)) is not None:
            value = outer
        else:
            return value
    return value


def _chosen(node: Node) -> str | None:
    """The one outer value that both branches of an If give back, whatever its shape."""
    found = set()
    for name in ("then_branch", "else_branch"):
        branch = node.attributes.get(name)
        if branch is None or not hasattr(branch, "output") or len(branch.output) != 1:
            return None
        made = {text(value): one for one in branch.node for value in one.output}
        value = text(branch.output[0].name)
        for _ in branch.node:
            if value not in made:
                break
            one = made[value]
            if one.op_type not in SHAPE_ONLY or not one.input:
                return None
            value = text(one.input[0])
        found.add(value)
    return found.pop() if len(found) == 1 else None


def _mean_of_squares(nodes: Nodes, region: Region, value: str) -> Mean | None:
    """The average that made a value, if it is one of the region's squares and nothing else was computed beside it."""
    pool = region.makers.get(_before_shapes(nodes, region, value))
    if pool is None or pool.kind != "AveragePool" or not _is_plain(pool):
        return None
    kernel = tuple(pool.numbers("kernel_shape"))
    own = pool.numbers("pads") or [0] * (2 * len(kernel))
    if len(own) != 2 * len(kernel) or (any(own) and not pool.whole("count_include_pad", 0)):
        return None
    value, outer = pool.input(0), [0] * len(own)
    pad = region.makers.get(value)
    if pad is not None and pad.kind == "Pad":
        found = _pads(nodes, pad, len(kernel))
        if found is None:
            return None
        value, outer = pad.input(0), found
    reshape = region.makers.get(value)
    before = _before_shapes(nodes, region, value)
    squares = region.makers.get(before)
    if squares is None or not _is_square(nodes, squares, region.start):
        return None
    if sum(node.kind not in SHAPE_WORK and node.kind != "If" for node in region.nodes) > 6:
        return None  # squares, average, alpha, k, power, quotient
    shape = None
    if reshape is not None and reshape.kind == "Reshape":
        shape = tuple(nodes.whole_numbers(reshape.input(1)) or ()) or None
    pads = tuple(a + b for a, b in zip(own, outer, strict=True))
    return Mean(kernel, pads, shape, before != value)


def _is_plain(pool: Node) -> bool:
    strides = pool.numbers("strides")
    plain = all(stride == 1 for stride in strides) and not pool.whole("ceil_mode", 0)
    return plain and pool.text("auto_pad", "NOTSET") == "NOTSET" and all(x == 1 for x in pool.numbers("dilations"))


def _is_square(nodes: Nodes, node: Node, start: str) -> bool:
    if node.kind == "Mul":
        return node.input(0) == start and node.input(1) == start
    return node.kind == "Pow" and node.input(0) == start and nodes.scalar(node.input(1)) == 2


def _pads(nodes: Nodes, node: Node, axes: int) -> list[int] | None:
    """Zeros before and behind the last `axes` axes, by a Pad that adds no others."""
    found = pad_numbers(nodes, node)
    if found is None or pad_value(nodes, node) != 0:
        return None
    half = len(found) // 2
    if half < axes or any(found[: half - axes]) or any(found[half : len(found) - axes]):
        return None
    return [*found[half - axes : half], *found[len(found) - axes :]]


def pad_numbers(nodes: Nodes, node: Node) -> list[int] | None:
    """All numbers of a Pad of constants, before each axis and then behind each; None where they are not known."""
    if node.text("mode", "constant") != "constant" or node.input(3):
        return None
    found = node.numbers("pads") or (nodes.whole_numbers(node.input(1)) if node.input(1) else None)
    return found if found and len(found) % 2 == 0 and min(found) >= 0 else None


def pad_value(nodes: Nodes, node: Node) -> float | None:
    """What a Pad adds; None where it is not known."""
    return nodes.scalar(node.input(2)) if node.input(2) else node.number("value", 0.0)


def _layer(
    name: str, mean: Mean, numbers: tuple[float, float, float], channels: int | None
) -> LRN | SpatialNorm | None:
    """The layer by the window's place: channels alone, channels of a tower, or a square within the map."""
    alpha, beta, k = numbers
    size, half = max(mean.kernel, default=0), len(mean.kernel)
    if size < 1 or size % 2 == 0:
        return None
    wanted = tuple(side // 2 for side in mean.kernel)
    if mean.pads[:half] != wanted or mean.pads[half:] != wanted:
        return None
    if mean.kernel == (size, size) and not mean.reshaped:
        return SpatialNorm(name=name, size=size, alpha=alpha / size**2, beta=beta, k=k)
    if mean.kernel not in ((size, 1), (size, 1, 1)) or not mean.reshaped:
        return None
    groups = _groups(mean, channels)
    if groups is None:
        return None
    return LRN(name=name, size=size, alpha=alpha / size, beta=beta, k=k, groups=groups)


def _groups(mean: Mean, channels: int | None) -> int | None:
    """[N, towers, channels of one, …] while averaged; one tower where the file does not tell."""
    if mean.shape is None:
        return 1
    if len(mean.shape) != len(mean.kernel) + 2 or not 1 <= mean.shape[1] <= MOST_GROUPS:
        return None
    return mean.shape[1] if channels is None or mean.shape[1] * mean.shape[2] == channels else None


# --- towers -----------------------------------------------------------------------------------------------------------


def towers(nodes: Nodes, region: Region, kind: str) -> list[Node] | None:
    """One node of that kind for each equal part of the channels, put together again in their order."""
    split, last = region.nodes[0], region.last
    parts = list(split.outputs)
    if split.kind != "Split" or last.kind != "Concat" or split.whole("axis", 0) != 1 or last.whole("axis", -1) != 1:
        return None
    found = list(region.nodes[1:-1])
    sizes = split.numbers("split") or (nodes.whole_numbers(split.input(1)) if split.input(1) else None)
    if len(found) != len(parts) or not 2 <= len(parts) <= MOST_GROUPS or (sizes and len(set(sizes)) != 1):
        return None
    by_part = {node.input(0): node for node in found if node.kind == kind}
    chosen = [by_part[part] for part in parts if part in by_part]
    outputs = [node.outputs[0] for node in chosen]
    return chosen if len(chosen) == len(parts) and outputs == last.inputs else None


def alike(layers: Sequence[LRN]) -> LRN | None:
    """One layer over as many groups, where all have the same numbers."""
    same = {(one.size, one.alpha, one.beta, one.k, one.groups) for one in layers}
    return replace(layers[0], groups=len(layers)) if len(same) == 1 and layers[0].groups == 1 else None
