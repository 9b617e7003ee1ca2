"""ONNX files as weights: every value as it was put in, and nothing believed that a file claims."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import TINY, made

from harness.exchange import onnx_file, opening
from harness.exchange.foreign import ForeignWeights, FormatError
from impls import catalog, derive, weights
from impls.spec import Network

pytestmark = pytest.mark.needs("onnxruntime")  # and so onnx


def written(model: Any, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def canonical(found: ForeignWeights, network: Network) -> dict[str, np.ndarray]:
    """What the file holds in this project's layouts, worked out here from the axes it says."""
    rows = [row for row in derive.facts(network) if row.parameters]
    arrays: dict[str, np.ndarray] = {}
    for learned, row in zip(found.layers, rows, strict=True):
        assert learned.canonical_shape == row.parameters[f"{row.layer.name}/weight"]
        values, wanted = learned.weight.read(), "hwio" if len(learned.axes) == 4 else "io"
        weight = np.transpose(values, [learned.axes.index(axis) for axis in wanted])
        if len(wanted) == 2 and len(row.input_shape) == 3 and found.flatten == "chw":
            h, w, c = row.input_shape
            weight = weight.reshape(c, h, w, -1).transpose(1, 2, 0, 3).reshape(weight.shape)
        arrays[f"{row.layer.name}/weight"] = np.ascontiguousarray(weight, np.float32)
        assert learned.bias is not None
        arrays[f"{row.layer.name}/bias"] = np.asarray(learned.bias.read(), np.float32)
    return arrays


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [TINY, catalog.get("cifar-4layer")], ids=["tiny", "cifar-4layer"])
def test_our_own_export_comes_back_to_the_last_bit(network: Network, file: Path) -> None:
    mark = json.dumps({"network": network.name, "preprocessing": "some text"})
    found = opening.read(written(made(network, {"alexbench": mark}), file))
    assert (found.format, found.network, found.preprocessing) == ("ONNX", network.name, "some text")
    assert weights.content_hash(canonical(found, network)) == weights.content_hash(weights.generate(network))
    assert found.reading is not None and len(found.reading.layers) == len(network.layers)
    assert (found.flatten, found.colours, found.notes) == ("chw", "rgb", ())


def test_weights_in_foreign_parts_are_noted(file: Path) -> None:
    from onnx import helper

    model = made()
    first = model.graph.node[0]
    first.attribute.append(helper.make_attribute("dilations", [2, 2]))
    found = onnx_file.read(written(model, file))
    assert [layer.name for layer in found.layers] == ["fc2"]
    assert found.notes == ("weights left out, in parts that have no class here: 1",)


@pytest.mark.parametrize("kind", ["float32", "float16", "float64", "bfloat16", "fields"])
def test_every_type_of_float_is_read(kind: str, file: Path) -> None:
    from onnx import TensorProto, numpy_helper

    model, values = made(), np.array([0.5, -2.0, 1.25, 0.0], np.float32)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "conv1/bias")
    bias.Clear()
    if kind == "fields":
        bias.data_type, bias.float_data[:] = TensorProto.FLOAT, values
    elif kind == "bfloat16":
        bias.data_type = TensorProto.BFLOAT16
        bias.int32_data[:] = [int(bits) >> 16 for bits in values.view(np.uint32)]
    else:
        bias.CopyFrom(numpy_helper.from_array(values.astype(kind)))
    bias.name, bias.dims[:] = "conv1/bias", [4]
    tensor = onnx_file.read(written(model, file)).layers[0].bias
    assert tensor is not None and tensor.dtype == ("float32" if kind == "fields" else kind)
    np.testing.assert_array_equal(tensor.read().astype(np.float32), values)


def test_towers_come_together_as_groups_and_channels_last_is_said(file: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(2)
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in (
        ("w1", (3, 2, 3, 3)), ("w2", (3, 2, 3, 3)), ("b1", (3,)), ("b2", (3,)), ("v", (6 * 20, 5)), ("c", (5,)),
    )}  # fmt: skip
    nodes = [
        helper.make_node("Split", ["x"], ["p", "q"], axis=1),
        helper.make_node("Conv", ["p", "w1", "b1"], ["r"]), helper.make_node("Conv", ["q", "w2", "b2"], ["s"]),
        helper.make_node("Concat", ["r", "s"], ["t"], axis=1), helper.make_node("Transpose", ["t"], ["u"],
                                                                                perm=[0, 2, 3, 1]),
        helper.make_node("Flatten", ["u"], ["f"]), helper.make_node("Gemm", ["f", "v", "c"], ["y"]),
    ]  # fmt: skip
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 7, 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    found = onnx_file.read(written(helper.make_model(helper.make_graph(nodes, "g", [x], [y], constants)), file))
    conv, dense = found.layers
    np.testing.assert_array_equal(conv.weight.read(), np.concatenate([arrays["w1"], arrays["w2"]]))
    assert conv.bias is not None
    np.testing.assert_array_equal(conv.bias.read(), np.concatenate([arrays["b1"], arrays["b2"]]))
    assert (dense.axes, found.flatten) == ("io", "hwc")


@pytest.mark.parametrize("mark", ["[1]", "{", '{"network": 5}', "x" * 100_000, "[" * 50_000], ids=range(5))
def test_what_a_file_says_of_itself_is_not_believed(mark: str, file: Path) -> None:
    found = onnx_file.read(written(made(metadata={"alexbench": mark}), file))
    assert found.network is None and found.preprocessing is None


# --- hostile files ----------------------------------------------------------------------------------------------------


def elsewhere(model: Any, **entries: str) -> Any:
    """The model with its first weight's data in another file."""
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "conv1/weight")
    data = bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, value in entries.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return data


def test_data_in_the_models_own_folder_are_read(file: Path) -> None:
    model = made()
    data = elsewhere(model, location="parts/one.bin", offset="7", length=str(4 * 4 * 9))
    (file.parent / "parts").mkdir()
    (file.parent / "parts" / "one.bin").write_bytes(b"1234567" + data)
    found = onnx_file.read(written(model, file))
    np.testing.assert_array_equal(found.layers[0].weight.read().tobytes(), data)


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "/etc/passwd", "a/../../secret.bin", "..\\secret.bin", "C:\\secret.bin", "C:secret.bin", "",
     "\0", "link.bin", "loop.bin"],
    ids=range(10),
)  # fmt: skip
def test_data_outside_the_models_folder_are_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "loop.bin").symlink_to(folder / "loop.bin")
    model = made()
    elsewhere(model, location=location)
    with pytest.raises(FormatError, match=r"^'[^\n]*model\.onnx': tensor 'conv1/weight' has its data in [^\n]+$"):
        onnx_file.read(written(model, folder / "model.onnx"))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "missing.bin"}, r"cannot read .*missing\.bin"),
        ({"location": "a.bin", "offset": "900"}, r"needs 144 bytes of 'a\.bin', it has 100"),
        ({"location": "a.bin", "length": "100"}, r"needs 144 bytes of 'a\.bin', it has 100"),
        ({"location": "a.bin", "offset": "-4"}, r"at -4, -1 bytes, expected none below 0"),
        ({"location": "a.bin", "offset": "9" * 30}, r"no numbers"),
        ({"location": "a.bin", "offset": "four"}, r"no numbers"),
        ({"location": "folder"}, r"folder"),
        ({"location": "pipe"}, r"is no regular file"),
    ],
    ids=["missing", "offset", "length", "negative", "huge", "text", "folder", "pipe"],
)
def test_data_that_are_not_there_in_full_are_refused(entries: dict[str, str], message: str, file: Path) -> None:
    (file.parent / "a.bin").write_bytes(bytes(1000))
    (file.parent / "folder").mkdir()
    os.mkfifo(file.parent / "pipe")
    model = made()
    elsewhere(model, **entries)
    with pytest.raises(FormatError, match=message):
        onnx_file.read(written(model, file))


def tensor_of(model: Any, name: str = "conv1/weight") -> Any:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def enlarge(model: Any) -> None:
    tensor_of(model).dims[:] = [50_000, 50_000, 5, 2]


def below_zero(model: Any) -> None:
    tensor_of(model).dims[0] = -4


def many_sides(model: Any) -> None:
    tensor_of(model).dims[:] = [1] * 9


def shorten(model: Any) -> None:
    tensor_of(model).raw_data = tensor_of(model).raw_data[:-1]


def double(model: Any) -> None:
    model.graph.initializer.add().CopyFrom(tensor_of(model))


def lose(model: Any) -> None:
    model.graph.initializer.remove(tensor_of(model))


def without_weights(model: Any) -> None:
    del model.graph.node[:]
    node = model.graph.node.add()
    node.op_type, node.input[:], node.output[:] = "Relu", ["images"], ["logits"]


def without_graph(model: Any) -> None:
    model.ClearField("graph")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (enlarge, r"would have 25,000,000,000 elements, at most 1,200,000,000 are read"),
        (below_zero, r"has shape \(-4, 1, 3, 3\), expected at most 8 sides, none below 0"),
        (many_sides, r"expected at most 8 sides"),
        (shorten, r"of shape \(4, 1, 3, 3\) needs 144 bytes, it has 143"),
        (double, r"has two initializers called 'conv1/weight'"),
        (lose, r"node 'conv1' uses 'conv1/weight', which nothing makes"),
        (without_weights, r"has no convolution and no dense layer whose weights are constant"),
        (without_graph, r"is no ONNX file: it has no graph"),
    ],
)
def test_a_model_that_cannot_be_is_refused_in_one_line(change: Callable[[Any], None], message: str, file: Path) -> None:
    model = made()
    change(model)
    with pytest.raises(FormatError, match=message) as refused:
        onnx_file.read(written(model, file))
    assert "\n" not in str(refused.value) and str(file) in str(refused.value)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.5, 0.99])
def test_a_file_cut_short_is_refused(part: float, file: Path) -> None:
    whole = made().SerializeToString()
    file.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(FormatError, match="is no ONNX file"):
        onnx_file.read(file)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _part(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


EMPTY_NODES = _part(1, b"") * 2_000_000
CROWDS = {
    "nodes": EMPTY_NODES,
    "values": _part(13, b"") * 2_000_000,
    "attributes": _part(1, _part(5, b"") * 2_000_000),
    "subgraph": _part(1, _part(5, _part(6, EMPTY_NODES))),
    "text": _part(2, b"a" * 9_000_000),
}


@pytest.mark.parametrize("crowd", CROWDS)
def test_a_crowd_of_empty_parts_is_refused_before_it_is_parsed(crowd: str, file: Path) -> None:
    file.write_bytes(_part(7, CROWDS[crowd]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FormatError, match=r"more than 400,000 parts|bytes are not values of tensors"):
        onnx_file.read(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB; parsed, nodes would take 300 MB


def test_subgraphs_nested_deeply_are_refused_or_read(file: Path) -> None:
    inner = _part(1, _part(4, b"If"))
    for _ in range(5000):
        inner = _part(1, _part(4, b"If") + _part(5, _part(1, b"g") + _part(6, inner) + b"\xa0\x01\x05"))
    file.write_bytes(_part(7, inner))
    with pytest.raises(FormatError):
        onnx_file.read(file)
