"""ONNX graphs as networks: PyTorch's own exports, our own, and what others write node by node."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.exchange import onnx_file
from harness.exchange.foreign import FormatError
from harness.reading import onnx_network
from impls import catalog, onnx_graph, weights
from impls.reading import Foreign, Reading, ReadLayer, numbered
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, MaxPool, Network, Padding, ReLU, SpatialNorm, Tanh

pytestmark = pytest.mark.needs("onnxruntime")  # and so onnx

HERE = Path(__file__).parent


def kinds(reading: Reading) -> list[str]:
    return [layer.kind if isinstance(layer, Foreign) else type(layer).__name__ for layer in reading.layers]


# --- exported by PyTorch ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    command = [sys.executable, str(HERE / "onnx_torch_program.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


NORMALISED: tuple[ReadLayer, ...] = (
    Conv(name="conv1", kernels=6, size=5, stride=2, padding=Padding.same(1)),
    ReLU(name="relu1"),
    LRN(name="norm1", size=5, alpha=1e-4 / 5, beta=0.75, k=2.0),
    MaxPool(name="pool1", size=3, stride=2),
    Conv(name="conv2", kernels=4, size=3, padding=Padding.same(1), groups=2),
    ReLU(name="relu2"),
    MaxPool(name="pool2", size=3, stride=2, padding=Padding(right=1)),  # ceil mode changes the width alone
    Dropout(name="drop2", rate=0.3, scaling=DropoutScaling.IN_TRAINING),
    Dense(name="fc3", units=7),
    Tanh(name="tanh3"),
    Dropout(name="drop3", rate=0.3, scaling=DropoutScaling.IN_TRAINING),
    Dense(name="fc4", units=5),
)
TEST_TIME = tuple(layer for layer in NORMALISED if not isinstance(layer, Dropout))


@pytest.mark.needs("torch")
@pytest.mark.parametrize("form", ["dynamo", "dynamo-batch", "script", "script-batch", "script-train"])
def test_what_pytorch_exports_is_read_layer_by_layer(exported: Path, form: str) -> None:
    found = onnx_network.read(exported / f"normalised-{form}.onnx")
    expected = NORMALISED if form == "script-train" else TEST_TIME
    assert tuple(replace(layer, source="") for layer in found.layers) == expected
    silent = {"init", "preprocessing"} | (set() if form == "script-train" else {"dropout", "dropout-scaling"})
    assert (found.silent, found.remarks) == (silent, ())
    assert (found.height, found.width, found.channels, found.classes) == (32, 28, 3, 5)
    assert found.network().layers == found.layers


@pytest.mark.needs("torch")
@pytest.mark.parametrize("form", ["dynamo", "script"])
def test_torchvisions_layers_are_those_of_the_catalog(exported: Path, form: str) -> None:
    found = onnx_network.read(exported / f"torchvision-{form}.onnx")
    ours = [layer for layer in catalog.get("torchvision").layers if not isinstance(layer, Dropout)]
    assert plain([wide(layer) for layer in found.layers]) == plain(numbered(ours))


def wide(layer: ReadLayer) -> ReadLayer:
    """Of the network an eighth as wide, the layer at full width."""
    if isinstance(layer, Conv):
        return replace(layer, kernels=layer.kernels * 8)
    if isinstance(layer, Dense):
        return replace(layer, units=layer.units * (100 if layer.name == "fc8" else 256))
    return layer


def plain(layers: Sequence[ReadLayer]) -> list[ReadLayer]:
    """Without what an ONNX file does not say."""
    found = [replace(layer, source="") for layer in layers]
    return [replace(one, init=0.01, init_bias=0.0) if isinstance(one, Conv | Dense) else one for one in found]


@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    "name",
    ["normalised-dynamo-batch", "normalised-script-batch", "normalised-script-train", "torchvision-dynamo",
     "torchvision-script"],
)  # fmt: skip
def test_the_weights_are_those_that_pytorch_put_in(exported: Path, name: str) -> None:
    """The dynamo exporter puts them into a file beside the model's."""
    found = onnx_file.read(exported / f"{name}.onnx")
    with np.load(exported / f"{name}.npz") as given:
        named = [(key, given[key]) for key in given]
    tensors = [tensor for layer in found.layers for tensor in (layer.weight, layer.bias) if tensor is not None]
    assert len(tensors) == len(named)
    for tensor, (key, values) in zip(tensors, named, strict=True):
        assert tensor.name == key
        np.testing.assert_array_equal(tensor.read(), values, key)
    assert {layer.axes for layer in found.layers} == {"oihw", "oi"} and found.flatten == "chw"
    assert "'pytorch'" in found.hint


@pytest.mark.needs("torch")
def test_what_this_project_lacks_is_named_with_its_parameters(exported: Path) -> None:
    found = onnx_network.read(exported / "modern-script-train.onnx")
    assert kinds(found) == ["Conv", "BatchNormalization", "Gelu", "Residual", "ReLU", "GlobalAveragePool", "Dense"]
    assert [(one.parameters, one.output_shape) for one in found.foreign] == [
        (16, (16, 12, 8)), (0, (16, 12, 8)), (8 * 8 * 9 + 8, (16, 12, 8)), (0, (1, 1, 8)),
    ]  # fmt: skip
    assert found.foreign[0].detail.startswith("epsilon 1e-05, momentum 0.9")


# --- exported by this project -----------------------------------------------------------------------------------------


def narrow(network: Network) -> Network:
    layers = [replace(one, kernels=one.kernels // 8) if isinstance(one, Conv) else one for one in network.layers]
    hidden = [
        replace(one, units=16) if isinstance(one, Dense) and one.name != network.logits else one for one in layers
    ]
    return replace(network, layers=tuple(hidden))


@pytest.mark.parametrize("every_layer", [False, True], ids=["logits", "every-layer"])
@pytest.mark.parametrize("name", catalog.NETWORKS)
def test_our_own_exports_come_back_exactly(name: str, every_layer: bool) -> None:
    network = narrow(catalog.get(name))
    model = onnx_graph.model(network, weights.generate(network), {}, every_layer=every_layer)
    found = onnx_network.of_model(model, name, "test")
    assert plain(found.layers) == plain(numbered(network.layers))
    assert [layer.source for layer in found.layers] == [layer.name for layer in network.layers]
    assert (found.height, found.width, found.channels) == (network.height, network.width, network.channels)
    has_dropout = any(isinstance(layer, Dropout) for layer in network.layers)
    assert ("dropout" in found.silent) is not has_dropout
    assert found.remarks == ()


# --- node by node -----------------------------------------------------------------------------------------------------

Builder = Callable[..., Any]


def graph(nodes: list[tuple[Any, ...]], arrays: dict[str, Any], sides: Sequence[Any] = ("N", 3, 12, 10)) -> Any:
    """A model of nodes (operator, inputs, output or outputs, attributes) over constants; `x` is its input."""
    from onnx import TensorProto, helper, numpy_helper

    made = []
    for index, (kind, inputs, outputs, *attributes) in enumerate(nodes):
        named = dict(attributes[0]) if attributes else {}
        ends = [outputs] if isinstance(outputs, str) else list(outputs)
        made.append(helper.make_node(kind, inputs, ends, f"{kind.lower()}{index}", **named))
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(sides))
    end = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    return helper.make_model(helper.make_graph(made, "made", [value], [end], constants))


def read(nodes: list[tuple[Any, ...]], arrays: dict[str, Any], sides: Sequence[Any] = ("N", 3, 12, 10)) -> Reading:
    return onnx_network.of_model(graph(nodes, arrays, sides), "made", "made.onnx")


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


W, B = {"w": draw(4, 3, 3, 3)}, {"b": draw(4)}
CONV = ("Conv", ["x", "w", "b"], "c")


def test_a_pad_of_zeros_is_the_next_convolutions_own() -> None:
    pads = {"p": np.array([0, 0, 1, 0, 0, 0, 2, 3], np.int64)}
    found = read([("Pad", ["x", "p"], "q"), ("Conv", ["q", "w", "b"], "y", {"pads": [1, 1, 1, 1]})], {**W, **B, **pads})
    assert plain(found.layers) == [Conv(name="conv1", kernels=4, size=3, padding=Padding(2, 3, 1, 4))]


def test_a_pad_that_no_layer_can_take_in_is_named() -> None:
    pads = {"p": np.array([0, 0, 1, 0, 0, 0, 2, 3], np.int64), "one": np.float32(1)}
    found = read([("Pad", ["x", "p", "one"], "q"), ("Conv", ["q", "w", "b"], "y")], {**W, **B, **pads})
    assert kinds(found) == ["Pad", "Conv"] and found.foreign[0].output_shape == (15, 13, 3)
    before_relu = read([("Pad", ["x", "p"], "q"), ("Relu", ["q"], "y")], pads)
    assert kinds(before_relu) == ["Pad", "ReLU"]


def test_minus_infinity_around_a_map_is_the_max_pools_own() -> None:
    arrays = {"p": np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64), "low": np.float32(-np.inf)}
    window = {"kernel_shape": [3, 3], "strides": [2, 2]}
    found = read([("Pad", ["x", "p", "low"], "q"), ("MaxPool", ["q"], "y", window)], arrays)
    assert plain(found.layers) == [MaxPool(name="pool0", size=3, stride=2, padding=Padding(bottom=1, right=1))]


@pytest.mark.parametrize(
    ("automatic", "padding"),
    [("SAME_UPPER", Padding(0, 1, 0, 1)), ("SAME_LOWER", Padding(1, 0, 1, 0)), ("VALID", Padding())],
)
def test_automatic_padding_becomes_numbers(automatic: str, padding: Padding) -> None:
    found = read([("Conv", ["x", "w", "b"], "y", {"auto_pad": automatic, "strides": [2, 2]})], {**W, **B})
    assert plain(found.layers) == [Conv(name="conv1", kernels=4, size=3, stride=2, padding=padding)]


@pytest.mark.parametrize(
    ("side", "extra"),
    [(7, 0), (8, 1), (5, 0), (4, 1)],
)
def test_ceil_mode_is_padding_where_it_changes_the_size(side: int, extra: int) -> None:
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}
    found = read([("MaxPool", ["x"], "y", window)], {}, ("N", 3, side, side))
    assert plain(found.layers) == [MaxPool(name="pool0", size=3, stride=2, padding=Padding(bottom=extra, right=extra))]


@pytest.mark.parametrize(("side", "extra"), [(7, 0), (8, 1)])
def test_padding_behind_that_no_window_reaches_is_none(side: int, extra: int) -> None:
    """As converters write Caffe's pools: the pixel is always there."""
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}
    found = read([("MaxPool", ["x"], "y", window)], {}, ("N", 3, side, side))
    assert plain(found.layers) == [MaxPool(name="pool0", size=3, stride=2, padding=Padding(bottom=extra, right=extra))]


def test_a_last_window_that_would_begin_in_the_padding_is_none() -> None:
    """Size 2, stride 2, padding 1: of 3 pixels ceil mode makes 3 windows, the last one of padding alone is dropped."""
    window = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}
    found = read([("MaxPool", ["x"], "y", window)], {}, ("N", 3, 3, 3))
    assert plain(found.layers) == [MaxPool(name="pool0", size=2, stride=2, padding=Padding.same(1))]


@pytest.mark.parametrize("form", ["transB", "plain", "matmul", "transposed", "identity"])
def test_a_dense_layer_is_read_from_every_form(form: str) -> None:
    native = (
        {"w": draw(5, 360), "b": draw(5)} if form in ("transB", "transposed") else {"w": draw(360, 5), "b": draw(5)}
    )
    turned = ("Transpose", ["w"], "t", {"perm": [1, 0]})
    nodes: dict[str, list[tuple[Any, ...]]] = {
        "transB": [("Gemm", ["f", "w", "b"], "y", {"transB": 1})],
        "plain": [("Gemm", ["f", "w", "b"], "y")],
        "matmul": [("MatMul", ["f", "w"], "m"), ("Add", ["b", "m"], "y")],
        "transposed": [turned, ("MatMul", ["f", "t"], "m"), ("Add", ["m", "b"], "y")],
        "identity": [("Identity", ["w"], "t"), ("Gemm", ["f", "t", "b"], "y")],
    }  # fmt: skip
    found = read([("Flatten", ["x"], "f"), *nodes[form]], native)
    assert plain(found.layers) == [Dense(name="fc1", units=5)] and found.remarks == ()


def test_layers_without_biases_are_named_and_a_bias_that_is_added_is_one() -> None:
    flat = ("Flatten", ["c"], "f")
    arrays = {**W, **B, "v": draw(320, 5), "a": draw(5)}

    assert read([("Conv", ["x", "w"], "c"), flat, ("Gemm", ["f", "v"], "y")], arrays).biasless == ("conv0", "gemm2")
    assert read([CONV, flat, ("MatMul", ["f", "v"], "m"), ("Add", ["m", "a"], "y")], arrays).biasless == ()


@pytest.mark.parametrize("groups", [1, 2])
def test_lrn_nodes_are_read_alone_and_per_tower(groups: int) -> None:
    settings = {"alpha": 5e-4, "beta": 0.75, "bias": 2.0, "size": 5}
    alone = [("LRN", ["x"], "y", settings)]
    towers = [
        ("Split", ["x"], ["a", "b"], {"axis": 1}), ("LRN", ["a"], "c", settings), ("LRN", ["b"], "d", settings),
        ("Concat", ["c", "d"], "y", {"axis": 1}),
    ]  # fmt: skip
    found = read(alone if groups == 1 else towers, {}, ("N", 8, 6, 5))
    assert plain(found.layers) == [LRN(name="norm0", size=5, alpha=1e-4, beta=0.75, k=2.0, groups=groups)]


def test_towers_that_differ_or_change_places_are_no_lrn() -> None:
    one, other = {"size": 5, "alpha": 5e-4}, {"size": 3, "alpha": 5e-4}
    for second, order in ((other, ["c", "d"]), (one, ["d", "c"])):
        nodes = [
            ("Split", ["x"], ["a", "b"], {"axis": 1}), ("LRN", ["a"], "c", one), ("LRN", ["b"], "d", second),
            ("Concat", order, "y", {"axis": 1}),
        ]  # fmt: skip
        assert kinds(read(nodes, {}, ("N", 8, 6, 5))) == ["Split+LRN+Concat"]


def test_convolutions_of_two_towers_are_one_with_groups() -> None:
    arrays = {"w1": draw(6, 4, 3, 3), "b1": draw(6), "w2": draw(6, 4, 3, 3), "b2": draw(6)}
    nodes = [
        ("Split", ["x"], ["a", "b"], {"axis": 1}),
        ("Conv", ["a", "w1", "b1"], "c", {"pads": [1] * 4}), ("Conv", ["b", "w2", "b2"], "d", {"pads": [1] * 4}),
        ("Concat", ["c", "d"], "y", {"axis": 1}),
    ]  # fmt: skip
    found = read(nodes, arrays, ("N", 8, 6, 5))
    assert plain(found.layers) == [Conv(name="conv1", kernels=12, size=3, padding=Padding.same(1), groups=2)]


def normalising(kernel: list[int], pads: list[int], number: float) -> list[tuple[Any, ...]]:
    return [
        ("Mul", ["x", "x"], "s"), ("AveragePool", ["s"], "m", {"kernel_shape": kernel, "pads": pads,
         "count_include_pad": 1}), ("Mul", ["m", "alpha"], "a"), ("Add", ["a", "k"], "k1"),
        ("Pow", ["k1", "beta"], "p"), ("Div" if number > 0 else "Mul", ["x", "p"], "y"),
    ]  # fmt: skip


@pytest.mark.parametrize("beta", [0.75, -0.75], ids=["quotient", "product"])
def test_a_norm_within_the_map_is_a_spatial_norm(beta: float) -> None:
    numbers = {"alpha": np.float32(1e-3), "k": np.float32(1), "beta": np.float32(beta)}
    found = read(normalising([5, 5], [2] * 4, beta), numbers)
    assert plain(found.layers) == [SpatialNorm(name="cnorm0", size=5, alpha=1e-3 / 25, beta=0.75, k=1.0)]


@pytest.mark.parametrize("pads", [[0] * 4, [2, 2, 1, 1]], ids=["without", "lopsided"])
def test_a_norm_whose_window_is_not_centred_is_foreign(pads: list[int]) -> None:
    numbers = {"alpha": np.float32(1e-3), "k": np.float32(1), "beta": np.float32(0.75)}
    assert kinds(read(normalising([5, 5], pads, 0.75), numbers)) == ["Normalization"]


def test_an_even_window_is_foreign() -> None:
    assert kinds(read([("LRN", ["x"], "y", {"size": 4})], {})) == ["LRN"]


@pytest.mark.parametrize("factor", [0.6, 0.5])
def test_a_factor_makes_dropout_the_papers_only_where_it_undoes_the_rate(factor: float) -> None:
    nodes = [("Dropout", ["x", "rate"], "d"), ("Mul", ["d", "factor"], "y")]
    found = read(nodes, {"rate": np.float32(0.4), "factor": np.float32(factor)})
    if factor == 0.6:
        assert plain(found.layers) == [Dropout(name="drop0", rate=0.4)]
    else:
        assert kinds(found) == ["Dropout", "Mul"]
    assert "dropout" not in found.silent


def test_an_old_dropout_has_its_ratio_as_an_attribute() -> None:
    from onnx import helper

    model = graph([("Dropout", ["x"], "y")], {})
    model.graph.node[0].attribute.append(helper.make_attribute("ratio", 0.3))
    (layer,) = plain(onnx_network.of_model(model, "old", "old.onnx").layers)
    assert layer == Dropout(name="drop0", rate=0.3, scaling=DropoutScaling.IN_TRAINING)


def test_a_final_softmax_is_left_out_and_one_between_is_not() -> None:
    dense = {"w": draw(360, 5), "v": draw(5, 4)}
    nodes = [("Flatten", ["x"], "f"), ("MatMul", ["f", "w"], "m"), ("Softmax", ["m"], "s"), ("MatMul", ["s", "v"], "z")]
    assert kinds(read([*nodes, ("LogSoftmax", ["z"], "y")], dense)) == ["Dense", "Softmax", "Dense"]


def test_an_open_size_is_taken_as_the_dense_layer_has_it() -> None:
    for side, name in ((227, 55), (224, 54)):
        maps = 4 * name * name
        nodes = [
            ("Conv", ["x", "w", "b"], "c", {"strides": [4, 4]}),
            ("Flatten", ["c"], "f"),
            ("MatMul", ["f", "v"], "y"),
        ]
        arrays = {"w": draw(4, 3, 11, 11), **B, "v": np.zeros((maps, 2), np.float32)}
        found = read(nodes, arrays, ("N", "C", "H", "W"))
        assert (found.height, found.width, found.channels) == (side, side, 3)
        assert found.remarks == (f"the file leaves the image's size open: {side} x {side} is taken",)


def test_a_dense_layer_that_does_not_fit_is_remarked_upon() -> None:
    found = read([("Flatten", ["x"], "f"), ("MatMul", ["f", "w"], "y")], {"w": draw(7, 5)})
    assert found.remarks == ("a dense layer takes another number of inputs than arrive",)


@pytest.mark.parametrize("form", ["old", "unsorted"])
def test_initializers_among_the_inputs_and_nodes_in_any_order_change_nothing(form: str) -> None:
    """Before IR version 4 a graph named its initializers as inputs too."""
    from onnx import TensorProto, helper

    network = narrow(catalog.get("caffe"))
    model = onnx_graph.model(network, weights.generate(network), {})
    expected = onnx_network.of_model(model, "caffe", "test")
    if form == "old":
        values = [
            helper.make_tensor_value_info(one.name, TensorProto.FLOAT, one.dims) for one in model.graph.initializer
        ]
        images = model.graph.input.pop()
        model.graph.input.extend([*values, images])
    else:
        nodes = list(model.graph.node)[::-1]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    assert onnx_network.of_model(model, "caffe", "test") == expected


def test_a_network_with_channels_last_at_its_ends_is_read() -> None:
    """As converters write TensorFlow's graphs."""
    arrays = {**W, **B, "v": draw(480, 5), "shape": np.array([-1, 480], np.int64)}
    nodes = [
        ("Transpose", ["x"], "t", {"perm": [0, 3, 1, 2]}), ("Conv", ["t", "w", "b"], "c", {"pads": [1] * 4}),
        ("Transpose", ["c"], "u", {"perm": [0, 2, 3, 1]}), ("Reshape", ["u", "shape"], "f"),
        ("MatMul", ["f", "v"], "y"),
    ]  # fmt: skip
    found = read(nodes, arrays, ("N", 12, 10, 3))
    assert plain(found.layers) == [
        Conv(name="conv1", kernels=4, size=3, padding=Padding.same(1)), Dense(name="fc2", units=5),
    ]  # fmt: skip
    assert (found.height, found.width, found.channels, found.remarks) == (12, 10, 3, ())


# Between a convolution's map [N, 4, 12, 10], "c", and what a dense layer takes, "f".
TO_THE_DENSE: dict[str, tuple[list[tuple[Any, ...]], str | None, int]] = {
    "flattened": ([("Flatten", ["c"], "f")], "chw", 0),
    "turned": ([("Transpose", ["c"], "t", {"perm": [0, 2, 3, 1]}), ("Flatten", ["t"], "f")], "hwc", 0),
    "turned, its shape worked out": (
        [
            ("Transpose", ["c"], "t", {"perm": [0, 2, 3, 1]}), ("Shape", ["c"], "s"),
            ("Gather", ["s", "first"], "n"), ("Cast", ["n"], "m", {"to": 7}),
            ("Concat", ["m", "rest"], "k", {"axis": 0}), ("Reshape", ["t", "k"], "f"),
        ],
        "hwc",
        0,
    ),
    "its shape worked out": (
        [
            ("Shape", ["c"], "s"), ("Gather", ["s", "first"], "n"), ("Concat", ["n", "rest"], "k", {"axis": 0}),
            ("Reshape", ["c", "k"], "f"),
        ],
        "chw",
        0,
    ),
    "height and width exchanged": (
        [("Transpose", ["c"], "t", {"perm": [0, 1, 3, 2]}), ("Flatten", ["t"], "f")], None, 1
    ),
    "exchanged, its shape worked out": (
        [
            ("Transpose", ["c"], "t", {"perm": [0, 3, 2, 1]}), ("Shape", ["c"], "s"),
            ("Gather", ["s", "first"], "n"), ("Concat", ["n", "rest"], "k", {"axis": 0}),
            ("Reshape", ["t", "k"], "f"),
        ],
        None,
        1,
    ),
    "behind a sigmoid": ([("Sigmoid", ["c"], "t"), ("Flatten", ["t"], "f")], "chw", 1),
    "through half precision": (
        [("Cast", ["c"], "h", {"to": 10}), ("Cast", ["h"], "t", {"to": 1}), ("Flatten", ["t"], "f")], "chw", 0
    ),
    "through whole numbers": ([("Cast", ["c"], "h", {"to": 6}), ("Flatten", ["h"], "f")], None, 1),
}  # fmt: skip


@pytest.mark.parametrize("way", TO_THE_DENSE)
@pytest.mark.parametrize("sizes_said", [False, True])
def test_the_order_of_a_dense_layers_inputs_is_known_or_said_to_be_unknown(way: str, sizes_said: bool) -> None:
    from onnx import TensorProto, helper

    between, flatten, foreign = TO_THE_DENSE[way]
    nodes = [("Conv", ["x", "w", "b"], "c", {"pads": [1] * 4}), *between, ("MatMul", ["f", "v"], "y")]
    arrays = {**W, **B, "v": draw(480, 5), "first": np.array([0]), "rest": np.array([480])}
    model = graph(nodes, arrays)
    if sizes_said:  # which must not make an unknown order a known one
        model.graph.value_info.append(helper.make_tensor_value_info("f", TensorProto.FLOAT, ["N", 480]))
        exchanged = helper.make_tensor_value_info("t", TensorProto.FLOAT, ["N", 4, 10, 12])
        model.graph.value_info.extend([exchanged] if way == "height and width exchanged" else [])
    walk = onnx_network.follow(model, Path("net.onnx")).walk
    assert walk.flatten == flatten
    assert sum(isinstance(layer, Foreign) for layer in walk.layers) == foreign


@pytest.mark.parametrize(
    ("node", "arrays", "kind"),
    [
        (("Conv", ["x", "v"], "y"), {"v": draw(4, 3, 3, 5)}, "Conv"),
        (("Conv", ["x", "w"], "y", {"dilations": [2, 2]}), W, "Conv"),
        (("Conv", ["x", "w"], "y", {"strides": [1, 2]}), W, "Conv"),
        (("AveragePool", ["x"], "y", {"kernel_shape": [3, 3]}), {}, "AveragePool"),
        (("Sigmoid", ["x"], "y"), {}, "Sigmoid"),
        (("Gemm", ["x", "v"], "y", {"alpha": 2.0}), {"v": draw(360, 5)}, "Gemm"),
    ],
    ids=["oblong", "dilated", "lopsided-stride", "average", "sigmoid", "scaled-gemm"],
)
def test_what_has_no_class_is_named_by_its_operator(node: tuple[Any, ...], arrays: dict[str, Any], kind: str) -> None:
    assert kinds(read([node], arrays)) == [kind]


# --- what is no graph -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("Relu", ["z"], "y")], r"node 'relu0' uses 'z', which nothing makes"),
        ([("Add", ["x", "b"], "a"), ("Relu", ["a"], "b"), ("Relu", ["b"], "y")], r"has a cycle through node 'add0'"),
        ([("Relu", ["x"], "y"), ("Tanh", ["x"], "y")], r"value 'y' is made twice"),
        ([("Relu", ["x"], "z")], r"no node makes an output of the graph"),
    ],
    ids=["missing-input", "cycle", "twice", "no-output"],
)
def test_what_is_no_graph_is_refused_in_one_line(nodes: list[tuple[Any, ...]], message: str) -> None:
    with pytest.raises(FormatError, match=rf"^'made.onnx': .*{message}$"):
        read(nodes, {})


def test_a_long_graph_takes_no_recursion_and_little_time() -> None:
    chain = [("Sigmoid", [f"v{i}" if i else "x"], f"v{i + 1}") for i in range(900)]
    assert len(read([*chain, ("Relu", ["v900"], "y")], {}).layers) == 901
    constant = [("Transpose", [f"w{i}" if i else "w"], f"w{i + 1}") for i in range(3000)]
    nodes = [*constant, ("Flatten", ["x"], "f"), ("MatMul", ["f", "w3000"], "y")]
    assert kinds(read(nodes, {"w": draw(360, 20)})) == ["MatMul"]


def test_constants_that_grow_are_not_computed() -> None:
    """A shape put together of one part named a hundred thousand times, and one doubled sixty times over."""
    part = {"p": np.ones(200, np.int64)}
    wide = [("Concat", ["p"] * 100_000, "q", {"axis": 0}), ("Reshape", ["x", "q"], "y")]
    doubled = [("Concat", [f"q{i}" if i else "p"] * 2, f"q{i + 1}", {"axis": 0}) for i in range(60)]
    full = [("ConstantOfShape", ["s"], "q"), ("Reshape", ["x", "q"], "y")]
    for nodes in (wide, [*doubled, ("Reshape", ["x", "q60"], "y")]):
        assert read(nodes, part).layers == ()
    assert read(full, {"s": np.array([2**40], np.int64)}).layers == ()


def test_more_layers_or_nodes_than_any_network_has_are_refused() -> None:
    chain = [("Relu", [f"v{i}" if i else "x"], f"v{i + 1}") for i in range(1200)]
    with pytest.raises(FormatError, match="more than 1,000 layers"):
        read([*chain, ("Relu", ["v1200"], "y")], {})
    with pytest.raises(FormatError, match=r"has 20,001 nodes, at most 20,000 are read"):
        read([("Relu", ["x"], f"v{i}") for i in range(20_001)], {})
