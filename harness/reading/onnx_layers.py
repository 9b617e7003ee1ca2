"""One ONNX node as one layer: each function takes in its node, or says that this project has no class for it.

References:
    github.com/onnx/onnx, docs/Operators.md: Conv, MaxPool (ceil_mode, auto_pad), LRN (alpha on the mean), Dropout
"""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.exchange.foreign import ForeignTensor
from harness.reading.onnx_constants import reshaped
from harness.reading.onnx_operator import Node
from harness.reading.onnx_patterns import pad_numbers, pad_value
from harness.reading.onnx_walk import Waiting, Walk
from harness.reading.onnx_windows import window, with_ceiling, with_pad, without_idle
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, MaxPool, Padding, ReLU, Tanh

LOWEST = -1e30  # what is below stands for minus infinity
FLOAT_KINDS = {1, 10, 11, 16}  # of a Cast: float32, float16, float64, bfloat16
TO_CHANNELS_LAST, TO_CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def conv(walk: Walk, node: Node) -> bool:
    """A square convolution with the same stride both ways, whose kernels are constant."""
    weight = walk.nodes.weight(node.input(1))
    if weight is None or len(weight.shape) != 4 or 0 in weight.shape or walk.channels_last:
        return False
    bias = _bias(walk, node.input(2), weight.shape[0])
    found = window(walk, node, list(weight.shape[2:]))
    groups = node.whole("group", 1)
    if found is None or groups < 1 or (node.input(2) and bias is None):
        return False
    size, stride, padding = found
    layer = Conv(
        name=node.name,
        kernels=weight.shape[0],
        size=size,
        stride=stride,
        padding=with_pad(walk, padding),
        groups=groups,
    )
    walk.learn(layer, weight, bias, "oihw")
    return True


def _bias(walk: Walk, name: str, units: int) -> ForeignTensor | None:
    found = walk.nodes.weight(name) if name else None
    return reshaped(found, (units,)) if found is not None and found.shape in ((units,), (1, units)) else None


def gemm(walk: Walk, node: Node) -> bool:
    """x W + b, the constant W as it is or transposed."""
    weight, plain = walk.nodes.weight(node.input(1)), not node.whole("transA", 0)
    scaled = node.number("alpha", 1.0) != 1 or (bool(node.input(2)) and node.number("beta", 1.0) != 1)
    if weight is None or len(weight.shape) != 2 or 0 in weight.shape or not plain or scaled:
        return False
    axes = "oi" if node.whole("transB", 0) else "io"
    units = weight.shape[axes.index("o")]
    bias = _bias(walk, node.input(2), units)
    if node.input(2) and bias is None:
        return False
    walk.learn(Dense(name=node.name, units=units), weight, bias, axes)
    return True


def matmul(walk: Walk, node: Node) -> bool:
    """x W; its bias may follow as an Add."""
    weight = walk.nodes.weight(node.input(1))
    if weight is None or len(weight.shape) != 2 or 0 in weight.shape or len(walk.shape or (1,)) != 1:
        return False
    walk.learn(Dense(name=node.name, units=weight.shape[1]), weight, None, "io")
    return True


def add(walk: Walk, node: Node) -> bool:
    """The bias of the layer before it."""
    constants = [found for name in node.inputs[:2] if (found := walk.nodes.weight(name)) is not None]
    return len(constants) == 1 and walk.bias(constants[0])


def relu(walk: Walk, node: Node) -> bool:
    """max(0, x)."""
    walk.add(ReLU(name=node.name))
    return True


def tanh(walk: Walk, node: Node) -> bool:
    """Hyperbolic tangent."""
    walk.add(Tanh(name=node.name))
    return True


def lrn(walk: Walk, node: Node) -> bool:
    """Response normalisation across channels. ONNX multiplies the mean of the squares by alpha."""
    layer = lrn_layer(node)
    if layer is None or walk.channels_last:
        return False
    walk.add(layer)
    return True


def lrn_layer(node: Node) -> LRN | None:
    """An LRN node as a layer; None for an even window."""
    size = node.whole("size", 0)
    alpha, beta, k = (node.number(name, or_else) for name, or_else in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    if size < 1 or size % 2 == 0 or not all(map(math.isfinite, (alpha, beta, k))):
        return None
    return LRN(name=node.name, size=size, alpha=alpha / size, beta=beta, k=k)


def max_pool(walk: Walk, node: Node) -> bool:
    """A square max-pool; ceil mode becomes padding behind, where it changes the output's size."""
    found = window(walk, node, node.numbers("kernel_shape"))
    if found is None or walk.channels_last:
        return False
    size, stride, padding = found
    padding = with_pad(walk, padding)
    if node.whole("ceil_mode", 0):
        if walk.shape is None or len(walk.shape) != 3:
            walk.remarks.append(f"{node.name} pools in ceil mode; its input's size is not known: taken as floor mode")
        else:
            padding = with_ceiling(walk.shape, size, stride, padding)
    elif walk.shape is not None and len(walk.shape) == 3:
        padding = without_idle(walk.shape, size, stride, padding)
    walk.add(MaxPool(name=node.name, size=size, stride=stride, padding=padding))
    return True


def dropout(walk: Walk, node: Node) -> bool:
    """ONNX's divides by 1 - ratio in training, and does nothing at test time."""
    ratio = walk.nodes.scalar(node.input(1)) if node.input(1) else node.number("ratio", 0.5)
    if ratio is None or not 0 <= ratio < 1:
        return False
    walk.add(Dropout(name=node.name, rate=ratio, scaling=DropoutScaling.IN_TRAINING))
    return True


def factor(walk: Walk, node: Node) -> bool:
    """A factor of 1 - rate after a dropout: the paper's, which scales at test time and not in training."""
    last = walk.layers[-1] if walk.layers else None
    numbers = [found for name in node.inputs[:2] if (found := walk.nodes.scalar(name)) is not None]
    if not isinstance(last, Dropout) or last.scaling is DropoutScaling.AT_TEST or len(numbers) != 1:
        return False
    if abs(numbers[0] - (1 - last.rate)) > 1e-6:
        return False
    walk.layers[-1] = Dropout(name=node.name, rate=last.rate)
    return True


def pad(walk: Walk, node: Node) -> bool:
    """Pixels around a map, kept for the layer that follows."""
    numbers, value = pad_numbers(walk.nodes, node), pad_value(walk.nodes, node)
    if numbers is None or value is None or len(numbers) != 8 or walk.pad is not None:
        return False
    rows = 1 if walk.channels_last else 2
    top, left, bottom, right = numbers[rows], numbers[rows + 1], numbers[rows + 4], numbers[rows + 5]
    if top + left + bottom + right != sum(numbers):
        return False
    walk.pad = Waiting(node, Padding(top, bottom, left, right), value)
    return True


def takes_pad(walk: Walk, node: Node) -> bool:
    """Whether a layer's own padding can be what a Pad before it adds."""
    if walk.pad is None:
        return True
    return walk.pad.value == 0 if node.kind == "Conv" else node.kind == "MaxPool" and walk.pad.value <= LOWEST


def flatten(walk: Walk, node: Node) -> bool:
    """All but the batch as one axis."""
    if node.whole("axis", 1) not in (1, 1 - len(walk.shape or ()) - 1):
        return False
    walk.to_vector()
    return True


def reshape(walk: Walk, node: Node) -> bool:
    """A flattening, or a change that leaves the shape as it is."""
    target = walk.nodes.whole_numbers(node.input(1)) or []
    if target and len(target) != 2:
        return _leaves(walk, target)
    walk.to_vector()
    return True


def _leaves(walk: Walk, target: list[int]) -> bool:
    shape = walk.shape
    if shape is None or len(target) != 4:
        return False
    if len(shape) == 1 and target[2:] == [1, 1]:
        walk.shape = (1, 1, shape[0])
        return True
    if len(shape) != 3:
        return False
    native = shape if walk.channels_last else (shape[2], shape[0], shape[1])
    return all(wanted in (side, 0, -1) for wanted, side in zip(target[1:], native, strict=True))


def squeeze(walk: Walk, node: Node) -> bool:
    """Of a map of one pixel: a vector."""
    if walk.shape is None or walk.shape[:-1] not in ((), (1, 1)):
        return False
    walk.to_vector()
    return True


def unsqueeze(walk: Walk, node: Node) -> bool:
    """Of a vector: a map of one pixel."""
    axes = node.numbers("axes") or walk.nodes.whole_numbers(node.input(1)) or []
    if walk.shape is None or len(walk.shape) != 1 or sorted(axes) != [2, 3]:
        return False
    walk.shape = (1, 1, walk.shape[0])
    return True


def transpose(walk: Walk, node: Node) -> bool:
    """Channels to the end or back again."""
    order = node.numbers("perm")
    if order == sorted(order) and order:
        return True
    if walk.shape is None or len(walk.shape) != 3:
        return False
    wanted = TO_CHANNELS_FIRST if walk.channels_last else TO_CHANNELS_LAST
    if order != wanted:
        return False
    walk.channels_last = not walk.channels_last
    return True


def cast(walk: Walk, node: Node) -> bool:
    """From one kind of floats to another, as converters to half precision put before and behind a graph."""
    return node.whole("to", 0) in FLOAT_KINDS


def identity(walk: Walk, node: Node) -> bool:
    """Nothing."""
    return True


def pool_of_one(walk: Walk, node: Node) -> bool:
    """An average over windows of one pixel, or over a map that has only one: what an adaptive pool may come to."""
    if node.kind == "AveragePool":
        strides, pads = node.numbers("strides"), node.numbers("pads")
        return node.numbers("kernel_shape") == [1, 1] and all(s == 1 for s in strides) and not any(pads)
    if node.kind == "ReduceMean" and not over_maps(walk, node):
        return False
    return walk.shape is not None and walk.shape[:-1] == (1, 1)


def over_maps(walk: Walk, node: Node) -> bool:
    """Whether a mean goes over height and width."""
    axes = node.numbers("axes") or (walk.nodes.whole_numbers(node.input(1)) if node.input(1) else None) or []
    return sorted(axis % 4 for axis in axes) == ([1, 2] if walk.channels_last else [2, 3])


HANDLERS: dict[str, Callable[[Walk, Node], bool]] = {
    "Conv": conv, "Gemm": gemm, "MatMul": matmul, "Add": add, "Relu": relu, "Tanh": tanh, "LRN": lrn,
    "MaxPool": max_pool, "Dropout": dropout, "Mul": factor, "Pad": pad, "Flatten": flatten, "Reshape": reshape,
    "Squeeze": squeeze, "Unsqueeze": unsqueeze, "Transpose": transpose, "Identity": identity,
    "Cast": cast,
    "AveragePool": pool_of_one, "ReduceMean": pool_of_one, "GlobalAveragePool": pool_of_one,
    "GlobalMaxPool": pool_of_one,
}  # fmt: skip
