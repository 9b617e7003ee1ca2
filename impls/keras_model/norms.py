"""Response normalisations composed of `keras.ops`: how the exporter writes them, recognised to the last digit.

Keras has no such layer. Both are x / (k + alpha * (window * mean of squares)) ** beta, the mean being an average pool
of zero-padded squares: across channels on squares reshaped to [N, rows, channels of one group, 1], within a map on the
squares as they are. Whatever is composed otherwise is not guessed at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from impls.keras_model.graph import Argument, Node, Ref
from impls.spec import LRN, SpatialNorm

Shape = tuple[int, ...]


class _Step(NamedTuple):
    """A node of one input, and the number that it takes beside it."""

    node: Node
    source: str
    number: float | None


def of_segment(segment: Sequence[Node], x: str, shape: Shape) -> LRN | SpatialNorm | None:
    """The normalisation that a segment after node `x` with output [H, W, C] computes; None where it is none."""
    if len(shape) != 3 or len(segment) < 2:
        return None
    nodes = {node.name: node for node in segment}
    last = segment[-1]
    refs = [argument.node for argument in last.arguments if isinstance(argument, Ref)]
    if last.kind not in ("TrueDivide", "Divide") or len(last.arguments) != 2 or len(refs) != 2 or refs[0] != x:
        return None
    steps = _chain(nodes, refs[1], x)
    if steps is None or len(steps) + 1 != len(segment):
        return None
    kinds = [step.node.kind for step in steps]
    if kinds == ["Square", "Reshape", "Pad", "AveragePool", "Multiply", "Multiply", "Reshape", "Add", "Power"]:
        return _lrn(steps, shape)
    if kinds == ["Square", "Pad", "AveragePool", "Multiply", "Multiply", "Add", "Power"]:
        return _spatial(steps)
    return None


def _chain(nodes: Mapping[str, Node], last: str, x: str) -> list[_Step] | None:
    """The nodes from `x` to `last`, where each has one input."""
    steps: list[_Step] = []
    name = last
    while name != x:
        if name not in nodes or len(steps) > len(nodes):
            return None
        step = _step(nodes[name])
        if step is None:
            return None
        steps.append(step)
        name = step.source
    return steps[::-1]


def _step(node: Node) -> _Step | None:
    refs = [argument for argument in node.arguments if isinstance(argument, Ref)]
    numbers = [argument for argument in node.arguments if _is_number(argument)]
    if len(refs) != 1 or len(refs) + len(numbers) != len(node.arguments) or len(numbers) > 1:
        return None
    if node.kind == "Power" and isinstance(node.arguments[-1], Ref):
        return None  # a number to the power of x
    return _Step(node, refs[0].node, float(numbers[0]) if numbers else None)


def _is_number(value: Argument) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30 and math.isfinite(value)


def _size(pool: Node, pads: object, window: int) -> bool:
    """Whether an average pool slides `window` pixels by one over what was padded by half of it, and nothing more."""
    stride = pool.config.get("strides")
    return (
        window % 2 == 1
        and stride in (1, [1, 1], (1, 1))
        and pool.config.get("padding") == "valid"
        and pool.config.get("data_format") in (None, "channels_last")
        and isinstance(pads, list)
    )


def _constants(steps: Sequence[_Step]) -> tuple[float, float, float, float] | None:
    """Window, alpha, k and beta of the last Multiply, Multiply, Add and Power."""
    found = [step.number for step in steps if step.node.kind in ("Multiply", "Add", "Power")]
    window, alpha, k, beta = found
    if window is None or alpha is None or k is None or beta is None:
        return None
    return window, alpha, k, beta


def _is_zero_padded(node: Node) -> bool:
    value = node.named.get("constant_values")
    return node.config.get("mode", "constant") == "constant" and value in (None, 0)


def _lrn(steps: Sequence[_Step], shape: Shape) -> LRN | None:
    height, width, channels = shape
    _, split, pad, pool, *_, back, _, _ = (step.node for step in steps)
    rows, constants = split.config.get("newshape"), _constants(steps)
    if constants is None or not _is_zero_padded(pad) or not isinstance(rows, list) or len(rows) != 4:
        return None
    window, alpha, k, beta = constants
    tower, size = rows[2], int(window)
    if type(tower) is not int or not 0 < tower <= channels or channels % tower or size != window:
        return None
    groups, half = channels // tower, size // 2
    same = (
        rows == [-1, height * width * groups, tower, 1]
        and back.config.get("newshape") == [-1, height, width, channels]
        and pad.config.get("pad_width") == [[0, 0], [0, 0], [half, half], [0, 0]]
        and pool.config.get("pool_size") in ([1, size], (1, size))
        and _size(pool, pad.config.get("pad_width"), size)
    )
    return LRN(name="", size=size, alpha=alpha, beta=beta, k=k, groups=groups) if same else None


def _spatial(steps: Sequence[_Step]) -> SpatialNorm | None:
    _, pad, pool, *_ = (step.node for step in steps)
    constants = _constants(steps)
    if constants is None or not _is_zero_padded(pad):
        return None
    area, alpha, k, beta = constants
    size = math.isqrt(int(abs(area)))
    half = size // 2
    same = (
        size * size == area
        and pad.config.get("pad_width") == [[0, 0], [half, half], [half, half], [0, 0]]
        and pool.config.get("pool_size") in (size, [size, size], (size, size))
        and _size(pool, pad.config.get("pad_width"), size)
    )
    return SpatialNorm(name="", size=size, alpha=alpha, beta=beta, k=k) if same else None
