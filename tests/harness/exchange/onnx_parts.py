"""ONNX models that parse, and are wrong: operators, names, numbers, shapes and types exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mutator import WHOLE, Chance

KINDS = (
    "Conv", "Gemm", "MatMul", "Add", "Relu", "Tanh", "LRN", "MaxPool", "Dropout", "Mul", "Pad", "Flatten", "Reshape",
    "Squeeze", "Unsqueeze", "Transpose", "Identity", "AveragePool", "GlobalAveragePool", "ReduceMean", "Split",
    "Concat", "If", "Constant", "ConstantOfShape", "Slice", "Gather", "Shape", "Pow", "Div", "Softmax", "Sigmoid",
)  # fmt: skip
NUMBERS = (0.0, -1.0, float("nan"), float("inf"), 1e38, 5e-324, 3.0)
TEXTS = (b"SAME_UPPER", b"SAME_LOWER", b"VALID", b"\xff")
PLACES = ("x", "../x", "-1", "9" * 30, "/etc/passwd", "")


def by_parts(original: bytes, originals: Sequence[bytes], chance: Chance) -> bytes:
    """A kind of mutant (see `mutator`)."""
    import onnx

    model = onnx.ModelProto.FromString(original)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        if chance.random() < 0.5 and model.graph.node:
            _change_nodes(model.graph, chance)
        elif model.graph.initializer:
            _change_tensors(model.graph, chance)
    return bytes(model.SerializeToString())


def _change_nodes(graph: Any, chance: Chance) -> None:
    node = chance.choice(graph.node)
    names = [name for one in graph.node for name in (*one.input, *one.output)] + ["images", ""]
    match chance.randrange(7):
        case 0:
            node.op_type = chance.choice(KINDS)
        case 1 if node.input:
            node.input[chance.randrange(len(node.input))] = chance.choice(names)
        case 2 if node.attribute:
            _change_attribute(chance.choice(node.attribute), chance)
        case 3:
            del graph.node[chance.randrange(len(graph.node))]
        case 4:
            graph.node.add().CopyFrom(node)
        case 5:
            node.input.append(chance.choice(names))
        case _ if node.input:
            del node.input[chance.randrange(len(node.input))]


def _change_attribute(attribute: Any, chance: Chance) -> None:
    if attribute.ints:
        attribute.ints[chance.randrange(len(attribute.ints))] = chance.choice(WHOLE)
    elif attribute.HasField("i"):
        attribute.i = chance.choice(WHOLE)
    elif attribute.HasField("f"):
        attribute.f = chance.choice(NUMBERS)
    elif attribute.HasField("s"):
        attribute.s = chance.choice(TEXTS)
    if chance.random() < 0.2:
        attribute.type = chance.randrange(12)


def _change_tensors(graph: Any, chance: Chance) -> None:
    tensor = chance.choice(graph.initializer)
    match chance.randrange(6):
        case 0 if tensor.dims:
            tensor.dims[chance.randrange(len(tensor.dims))] = chance.choice(WHOLE)
        case 1:
            tensor.data_type = chance.randrange(20)
        case 2:
            tensor.data_location = 1
            entry = tensor.external_data.add()
            entry.key, entry.value = chance.choice(("location", "offset", "length")), chance.choice(PLACES)
        case 3:
            tensor.raw_data = chance.randbytes(len(tensor.raw_data))
        case 4 if graph.input:
            side = chance.choice(graph.input[0].type.tensor_type.shape.dim)
            side.dim_value = chance.choice(WHOLE)
        case _:
            graph.initializer.add().CopyFrom(tensor)
