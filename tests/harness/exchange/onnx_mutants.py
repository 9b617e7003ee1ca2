"""Damaged ONNX files, drawn from a seed: bytes changed, moved and lost, and models whose parts are exchanged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

KINDS = (
    "Conv", "Gemm", "MatMul", "Add", "Relu", "Tanh", "LRN", "MaxPool", "Dropout", "Mul", "Pad", "Flatten", "Reshape",
    "Squeeze", "Unsqueeze", "Transpose", "Identity", "AveragePool", "GlobalAveragePool", "ReduceMean", "Split",
    "Concat", "If", "Constant", "ConstantOfShape", "Slice", "Gather", "Shape", "Pow", "Div", "Softmax", "Sigmoid",
)  # fmt: skip
WHOLE = (0, 1, -1, 2, 3, 5, 7, 100, 2**31, 2**62, -(2**63), -5)
NUMBERS = (0.0, -1.0, float("nan"), float("inf"), 1e38, 5e-324, 3.0)
TEXTS = (b"SAME_UPPER", b"SAME_LOWER", b"VALID", b"\xff")
PLACES = ("x", "../x", "-1", "9" * 30, "/etc/passwd", "")


def mutants(whole: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Half of them by their bytes, half by their parts."""
    rng = random.Random(seed)
    for index in range(count):
        yield by_bytes(whole, rng) if index % 2 else by_parts(whole, rng)


def by_bytes(whole: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes overwritten, ranges cut out, doubled, moved; the end lost."""
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not data:
            break
        begin = rng.randrange(len(data))
        end = min(len(data), begin + rng.randrange(1, 40))
        match rng.randrange(7):
            case 0 | 1:
                data[begin] ^= 1 << rng.randrange(8)
            case 2:
                data[begin] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 3:
                del data[begin : end if rng.random() < 0.8 else len(data)]
            case 4:
                data[begin:begin] = data[begin:end]
            case 5:
                place = rng.randrange(len(data))
                data[place:place] = data[begin:end]
            case _:
                data[begin:end] = rng.randbytes(end - begin)
    return bytes(data)


def by_parts(whole: bytes, rng: random.Random) -> bytes:
    """A model that parses, with operators, names, numbers, shapes and types exchanged."""
    import onnx

    model = onnx.ModelProto.FromString(whole)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        if rng.random() < 0.5 and model.graph.node:
            _change_nodes(model.graph, rng)
        elif model.graph.initializer:
            _change_tensors(model.graph, rng)
    return bytes(model.SerializeToString())


def _change_nodes(graph: Any, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    names = [name for one in graph.node for name in (*one.input, *one.output)] + ["images", ""]
    match rng.randrange(7):
        case 0:
            node.op_type = rng.choice(KINDS)
        case 1 if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(names)
        case 2 if node.attribute:
            _change_attribute(rng.choice(node.attribute), rng)
        case 3:
            del graph.node[rng.randrange(len(graph.node))]
        case 4:
            graph.node.add().CopyFrom(node)
        case 5:
            node.input.append(rng.choice(names))
        case _ if node.input:
            del node.input[rng.randrange(len(node.input))]


def _change_attribute(attribute: Any, rng: random.Random) -> None:
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(WHOLE)
    elif attribute.HasField("i"):
        attribute.i = rng.choice(WHOLE)
    elif attribute.HasField("f"):
        attribute.f = rng.choice(NUMBERS)
    elif attribute.HasField("s"):
        attribute.s = rng.choice(TEXTS)
    if rng.random() < 0.2:
        attribute.type = rng.randrange(12)


def _change_tensors(graph: Any, rng: random.Random) -> None:
    tensor = rng.choice(graph.initializer)
    match rng.randrange(6):
        case 0 if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(WHOLE)
        case 1:
            tensor.data_type = rng.randrange(20)
        case 2:
            tensor.data_location = 1
            entry = tensor.external_data.add()
            entry.key, entry.value = rng.choice(("location", "offset", "length")), rng.choice(PLACES)
        case 3:
            tensor.raw_data = rng.randbytes(len(tensor.raw_data))
        case 4 if graph.input:
            side = rng.choice(graph.input[0].type.tensor_type.shape.dim)
            side.dim_value = rng.choice(WHOLE)
        case _:
            graph.initializer.add().CopyFrom(tensor)
