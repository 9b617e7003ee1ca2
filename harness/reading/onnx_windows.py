"""Windows of convolutions and pools: their size, stride and four-sided padding, however the graph has them.

References:
    github.com/onnx/onnx, docs/Operators.md: Conv and MaxPool (auto_pad, ceil_mode, pads)
"""

from __future__ import annotations

import math

from harness.reading.onnx_operator import Node
from harness.reading.onnx_walk import Walk
from impls.spec import Padding


def window(walk: Walk, node: Node, kernel: list[int]) -> tuple[int, int, Padding] | None:
    """Size, stride and padding of a square window; None for any other."""
    strides = node.numbers("strides") or [1, 1]
    if len(kernel) != 2 or kernel[0] != kernel[1] or len(strides) != 2 or strides[0] != strides[1]:
        return None
    size, stride = kernel[0], strides[0]
    if size < 1 or stride < 1 or any(step != 1 for step in node.numbers("dilations")):
        return None
    automatic = node.text("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        padding = _same(walk, size, stride, upper=automatic == "SAME_UPPER")
        return None if padding is None else (size, stride, padding)
    pads = node.numbers("pads") if automatic == "NOTSET" else []
    top, left, bottom, right = pads if len(pads) == 4 else (0, 0, 0, 0)
    if min(top, left, bottom, right) < 0:
        return None
    return size, stride, Padding(top, bottom, left, right)


def _same(walk: Walk, size: int, stride: int, *, upper: bool) -> Padding | None:
    """So many zeros that the output has ceil(input / stride) on a side, the odd one behind (upper) or before."""
    if walk.shape is None or len(walk.shape) != 3:
        return None
    sides: list[int] = []
    extra = walk.pad.padding if walk.pad is not None else Padding()
    for length in (walk.shape[0] + extra.top + extra.bottom, walk.shape[1] + extra.left + extra.right):
        total = max(0, (math.ceil(length / stride) - 1) * stride + size - length)
        before = total // 2 if upper else total - total // 2
        sides += [before, total - before]
    return Padding(*sides)


def with_pad(walk: Walk, padding: Padding) -> Padding:
    """A layer's own padding and that of the Pad before it."""
    waiting, walk.pad = walk.pad, None
    return padding if waiting is None else Padding(*(a + b for a, b in zip(padding, waiting.padding, strict=True)))


def with_ceiling(shape: tuple[int, ...], size: int, stride: int, pad: Padding) -> Padding:
    """As many pixels more behind as a last window needs that begins inside the input or the padding before it."""
    sides: list[int] = []
    for length, before, after in ((shape[0], pad.top, pad.bottom), (shape[1], pad.left, pad.right)):
        room = length + before + after - size
        count = -(-room // stride) + 1
        if (count - 1) * stride >= length + before:
            count -= 1
        sides.append(after + max(0, (count - 1) * stride - room))
    return pad._replace(bottom=sides[0], right=sides[1])


def without_idle(shape: tuple[int, ...], size: int, stride: int, pad: Padding) -> Padding:
    """Without pixels behind that no window reaches: where there are none before, they stand for a ceil mode."""
    sides: list[int] = []
    for length, before, after in ((shape[0], pad.top, pad.bottom), (shape[1], pad.left, pad.right)):
        idle = before == 0 and (length + after - size) // stride == (length - size) // stride
        sides.append(0 if idle else after)
    return pad._replace(bottom=sides[0], right=sides[1])
