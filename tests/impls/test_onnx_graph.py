"""A network as an ONNX graph: valid by ONNX's own checker, and computing what the reference computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impls import catalog, derive, onnx_graph, weights
from impls.oracle import network as reference
from impls.spec import (
    LRN,
    Conv,
    Dense,
    Dropout,
    DropoutScaling,
    MaxPool,
    Network,
    Padding,
    ReLU,
    SpatialNorm,
    Tanh,
)
from impls.weights import WeightsError

pytestmark = pytest.mark.needs("onnxruntime")  # and so onnx; the runtime itself is asked in test_with_onnxruntime.py

EVERY = Network(
    name="every-layer",
    summary="every kind of layer",
    source="this test",
    height=11,
    width=9,
    channels=4,
    classes=3,
    layers=(
        Conv(name="conv1", kernels=8, size=3, stride=2, padding=Padding(0, 1, 2, 0), groups=2),
        LRN(name="norm1", size=5, alpha=1e-3, beta=0.75, k=2.0, groups=2),
        SpatialNorm(name="cnorm1", size=3, alpha=1e-3, beta=0.5, k=1.0),
        MaxPool(name="pool1", size=3, stride=2, padding=Padding(bottom=1, right=1)),
        ReLU(name="relu1"),
        LRN(name="norm1b", size=3, alpha=1e-2, beta=0.75, k=1.0),
        Dense(name="fc2", units=7),
        Tanh(name="tanh2"),
        Dropout(name="drop2", rate=0.25),
        Dropout(name="drop2b", rate=0.5, scaling=DropoutScaling.IN_TRAINING),
        Dense(name="fc3", units=3),
    ),
)


def narrow(network: Network) -> Network:
    """The same layers with an eighth of the kernels and few units, so that they are made in milliseconds."""
    layers = [replace(one, kernels=one.kernels // 8) if isinstance(one, Conv) else one for one in network.layers]
    hidden = [
        replace(one, units=16) if isinstance(one, Dense) and one.name != network.logits else one for one in layers
    ]
    return replace(network, layers=tuple(hidden))


def run(model: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """By ONNX's own reference evaluator, which is NumPy."""
    from onnx.reference import ReferenceEvaluator

    found = ReferenceEvaluator(model).run(None, {onnx_graph.IMAGES: images.transpose(0, 3, 1, 2)})
    return dict(zip([value.name for value in model.graph.output], found, strict=True))


@pytest.mark.parametrize("name", catalog.NETWORKS)
def test_every_network_is_a_valid_graph_with_nodes_named_as_its_layers(name: str) -> None:
    from onnx import checker

    network = narrow(catalog.get(name))
    model = onnx_graph.model(network, weights.generate(network), {"alexbench": "{}"}, every_layer=True)
    checker.check_model(model, full_check=True)
    names = [node.name for node in model.graph.node]
    assert [name for name in names if "/" not in name] == [layer.name for layer in network.layers]
    outputs = [layer.name for layer in network.layers[:-1]]
    assert [value.name for value in model.graph.output] == [*outputs, "logits"]
    constants = {tensor.name for tensor in model.graph.initializer}
    assert set(derive.parameter_shapes(network)) <= constants
    assert [(entry.key, entry.value) for entry in model.metadata_props] == [("alexbench", "{}")]


def test_the_graph_computes_what_the_reference_computes() -> None:
    arrays = weights.generate(EVERY)
    images = np.random.default_rng(3).normal(0, 20, (2, 11, 9, 4)).astype(np.float32)
    found = run(onnx_graph.model(EVERY, arrays, {}, every_layer=True), images)
    expected = reference.forward(EVERY, {k: v.astype(np.float64) for k, v in arrays.items()}, images.astype(np.float64))
    for layer in EVERY.layers:
        y = found["logits" if layer.name == EVERY.logits else layer.name]
        canonical = y.transpose(0, 2, 3, 1) if y.ndim == 4 else y
        np.testing.assert_allclose(canonical, expected[layer.name], rtol=2e-5, atol=1e-5, err_msg=layer.name)


def test_the_first_dense_layer_takes_its_inputs_channel_by_channel() -> None:
    weight = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2 * 3 * 4, 5)
    native = onnx_graph.native_weight(weight, (2, 3, 4))
    for h, w, c in np.ndindex(2, 3, 4):
        np.testing.assert_array_equal(native[:, (c * 2 + h) * 3 + w], weight[(h * 3 + w) * 4 + c])


def test_only_the_logits_leave_an_exported_graph(tmp_path: Path) -> None:
    import onnx

    network = catalog.get("cifar-4layer")
    onnx_graph.write(network, weights.generate(network), tmp_path / "one.onnx", {})
    model = onnx.load(tmp_path / "one.onnx")
    (images,) = model.graph.input
    assert [value.name for value in model.graph.output] == ["logits"]
    assert [side.dim_param or side.dim_value for side in images.type.tensor_type.shape.dim] == ["N", 3, 32, 32]


def test_a_network_over_two_gigabytes_is_refused_in_one_line() -> None:
    network = catalog.get("note-004")
    shapes = derive.parameter_shapes(network)
    nothing = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    with pytest.raises(WeightsError, match=r"^network 'note-004' has 3\.6 GB of weights, an ONNX file at most 2\.1"):
        onnx_graph.model(network, nothing, {})


def test_a_missing_tensor_is_named() -> None:
    arrays = weights.generate(EVERY)
    del arrays["fc2/bias"]
    with pytest.raises(ValueError, match="tensor 'fc2/bias' is missing"):
        onnx_graph.model(EVERY, arrays, {})
