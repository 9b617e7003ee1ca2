"""A `Network` as an ONNX graph: images [N, C, H, W] in, logits out, every node of a layer named after it.

Weights are [out, in / groups, h, w] and [out, in], the first dense layer's inputs in the order C, H, W, as `Flatten`
leaves them. What ONNX has no operator for is composed: response normalisation, per tower and within a map, of an
average of squares (the zeros outside counted), the paper's dropout of Dropout and a factor. The library `onnx` is
imported when a graph is made.

References:
    github.com/onnx/onnx, docs/Operators.md (operator set 17) and docs/IR.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls import derive
from impls.spec import (
    LRN,
    Conv,
    Dense,
    Dropout,
    DropoutScaling,
    Layer,
    MaxPool,
    Network,
    Padding,
    ReLU,
    SpatialNorm,
    Tanh,
)
from impls.tensor_file import WeightsError

Array = NDArray[np.float32]

OPERATOR_SET = 17
IR_VERSION = 8  # of 2022: ONNX Runtime reads it since 1.11
LARGEST_FILE = 2**31 - 1  # bytes, of any protocol buffer
FLOAT32_BYTES = 4
IMAGES, LOGITS, BATCH = "images", "logits", "N"


def write(network: Network, weights: Mapping[str, Array], path: Path, metadata: Mapping[str, str]) -> None:
    """Write the network with these canonical weights as one file, `metadata` among the model's own properties.

    Raises WeightsError for a network over the 2 GB of a protocol buffer, ModuleNotFoundError without `onnx`, OSError.
    """
    path.write_bytes(model(network, weights, metadata).SerializeToString())


def model(
    network: Network, weights: Mapping[str, Array], metadata: Mapping[str, str], *, every_layer: bool = False
) -> Any:
    """The `onnx.ModelProto`; with `every_layer` each layer's output, by the layer's name, is one of the graph's too.

    Raises WeightsError for a network over 2 GB, InvalidNetwork, and ValueError for a missing or misshapen tensor.
    """
    size = FLOAT32_BYTES * derive.parameter_count(network)
    if size > LARGEST_FILE:
        raise WeightsError(
            f"network {network.name!r} has {size / 1e9:.1f} GB of weights, an ONNX file at most"
            f" {LARGEST_FILE / 1e9:.1f}: export it in another format"
        )
    derive.require_tensors(network, weights)
    graph = _Graph()
    value = IMAGES
    for row in derive.facts(network):
        parameters = {name: np.asarray(weights[name]) for name in row.parameters}
        out = LOGITS if row.layer.name == network.logits else row.layer.name
        value = graph.layer(row.layer, row.input_shape, value, out, parameters)
        if every_layer and value != LOGITS:
            graph.outputs.append((value, row.output_shape))
    graph.outputs.append((LOGITS, (network.classes,)))
    shape = (network.height, network.width, network.channels)
    return graph.finish(network.name, (IMAGES, shape), metadata)


def layer_model(layer: Layer, shape: derive.Shape, parameters: Mapping[str, Array]) -> Any:
    """One layer alone as an `onnx.ModelProto`, from x of `shape` (no batch; a map goes in as [N, C, H, W]) to y.

    `parameters` has "weight" and "bias" for Conv and Dense. Raises InvalidNetwork.
    """
    facts, graph = derive.layer_facts(layer, shape), _Graph()
    named = {f"{layer.name}/{kind}": np.asarray(value) for kind, value in parameters.items()}
    graph.layer(layer, shape, "x", "y", named)
    graph.outputs.append(("y", facts.output_shape))
    return graph.finish(layer.name, ("x", shape), {})


def native_shape(shape: derive.Shape) -> derive.Shape:
    """(H, W, C) as ONNX has it, (C, H, W); (features,) as it is."""
    return (shape[2], *shape[:2]) if len(shape) == 3 else shape


def native_weight(weight: Array, flattened: derive.Shape = ()) -> Array:
    """[h, w, in / groups, out] to [out, in / groups, h, w], [in, out] to [out, in].

    `flattened` is the map (H, W, C) that a dense layer's inputs were; they change their order to C, H, W.
    """
    if weight.ndim == 4:
        return np.ascontiguousarray(weight.transpose(3, 2, 0, 1))
    if len(flattened) == 3:
        weight = weight.reshape(*flattened, -1).transpose(2, 0, 1, 3).reshape(weight.shape)
    return np.ascontiguousarray(weight.T)


def _pads(padding: Padding) -> list[int]:
    return [padding.top, padding.left, padding.bottom, padding.right]


class _Graph:
    """Nodes and initializers as they are added."""

    def __init__(self) -> None:
        import onnx  # here, because most of the project runs without it

        self._onnx = onnx
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self.outputs: list[tuple[str, derive.Shape]] = []

    def finish(self, name: str, given: tuple[str, derive.Shape], metadata: Mapping[str, str]) -> Any:
        """The model of what was added."""
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes, name, [self._value(*given)], [self._value(*one) for one in self.outputs], self._initializers
        )
        operators = [helper.make_opsetid("", OPERATOR_SET)]
        made = helper.make_model(graph, producer_name="alexbench", opset_imports=operators, ir_version=IR_VERSION)
        helper.set_model_props(made, dict(metadata))
        return made

    def layer(self, layer: Layer, shape: derive.Shape, x: str, out: str, parameters: Mapping[str, Array]) -> str:
        """Add one layer's nodes from value `x` of `shape` (no batch, canonical) to value `out`, whose name it gives."""
        match layer:
            case Conv():
                self._conv(layer, x, out, parameters)
            case Dense():
                self._dense(layer, shape, x, out, parameters)
            case ReLU():
                self._node("Relu", [x], layer.name, out)
            case Tanh():
                self._node("Tanh", [x], layer.name, out)
            case LRN():
                self._lrn(layer, shape, x, out)
            case SpatialNorm():
                self._spatial_norm(layer, x, out)
            case MaxPool():
                window = {"kernel_shape": [layer.size] * 2, "strides": [layer.stride] * 2}
                self._node("MaxPool", [x], layer.name, out, **window, pads=_pads(layer.padding))
            case Dropout():
                self._dropout(layer, x, out)
        return out

    def _conv(self, layer: Conv, x: str, out: str, parameters: Mapping[str, Array]) -> None:
        weight, bias = f"{layer.name}/weight", f"{layer.name}/bias"
        self._constant(weight, native_weight(parameters[weight]))
        self._constant(bias, parameters[bias])
        self._node(
            "Conv",
            [x, weight, bias],
            layer.name,
            out,
            kernel_shape=[layer.size] * 2,
            strides=[layer.stride] * 2,
            pads=_pads(layer.padding),
            group=layer.groups,
        )

    def _dense(self, layer: Dense, shape: derive.Shape, x: str, out: str, parameters: Mapping[str, Array]) -> None:
        weight, bias = f"{layer.name}/weight", f"{layer.name}/bias"
        if len(shape) == 3:
            x = self._node("Flatten", [x], f"{layer.name}/flatten", axis=1)
        self._constant(weight, native_weight(parameters[weight], shape))
        self._constant(bias, parameters[bias])
        self._node("Gemm", [x, weight, bias], layer.name, out, transB=1)

    def _lrn(self, layer: LRN, shape: derive.Shape, x: str, out: str) -> None:
        """The mean of squares over channels as over the height of a map, a tower's channels high, for each tower.

        Not ONNX's LRN: that of ONNX Runtime's CPU keeps a running sum, from which it takes away what leaves the window.
        Where that was large the rest cancels: on norm1 of the paper's network the error was 3.4 times what rounding
        explains (onnxruntime/core/providers/cpu/nn/lrn.cc, version 1.32).
        """
        name, (height, width, channels) = layer.name, shape
        squares = self._node("Mul", [x, x], f"{name}/squares")
        towers = self._whole(f"{name}/by-tower", [0, layer.groups, channels // layer.groups, height * width])
        high = self._node("Reshape", [squares, towers], f"{name}/channels")
        half = layer.size // 2
        mean = self._average(high, f"{name}/mean", [layer.size, 1], [half, 0, half, 0])
        back = self._whole(f"{name}/as-before", [0, channels, height, width])
        self._normalised(layer, layer.size, x, self._node("Reshape", [mean, back], f"{name}/maps"), out)

    def _spatial_norm(self, layer: SpatialNorm, x: str, out: str) -> None:
        """The 2012 source clips its windows at the map's edges: zeros outside add nothing."""
        squares = self._node("Mul", [x, x], f"{layer.name}/squares")
        mean = self._average(squares, f"{layer.name}/mean", [layer.size] * 2, [layer.size // 2] * 4)
        self._normalised(layer, layer.size**2, x, mean, out)

    def _average(self, x: str, name: str, kernel: list[int], pads: list[int]) -> str:
        return self._node("AveragePool", [x], name, kernel_shape=kernel, pads=pads, count_include_pad=1)

    def _normalised(self, layer: LRN | SpatialNorm, terms: int, x: str, mean: str, out: str) -> None:
        """x / (k + alpha * sum) ** beta, the sum as `terms` times the mean."""
        name = layer.name
        scaled = self._node("Mul", [mean, self._number(f"{name}/alpha", layer.alpha * terms)], f"{name}/scaled")
        base = self._node("Add", [scaled, self._number(f"{name}/k", layer.k)], f"{name}/base")
        power = self._node("Pow", [base, self._number(f"{name}/beta", layer.beta)], f"{name}/power")
        self._node("Div", [x, power], name, out)

    def _dropout(self, layer: Dropout, x: str, out: str) -> None:
        """ONNX's Dropout divides by 1 - rate in training. A factor of 1 - rate makes it the paper's in either mode."""
        ratio = self._number(f"{layer.name}/ratio", layer.rate)
        if layer.scaling is DropoutScaling.IN_TRAINING:
            self._node("Dropout", [x, ratio], layer.name, out)
            return
        dropped = self._node("Dropout", [x, ratio], f"{layer.name}/dropped")
        self._node("Mul", [dropped, self._number(f"{layer.name}/factor", 1 - layer.rate)], layer.name, out)

    def _node(self, kind: str, inputs: Sequence[str], name: str, out: str = "", **attributes: Any) -> str:
        """Add a node; the name of its output, which is the node's where none is given."""
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [out or name], name, **attributes))
        return out or name

    def _whole(self, name: str, values: list[int]) -> str:
        self._initializers.append(self._onnx.numpy_helper.from_array(np.asarray(values, np.int64), name))
        return name

    def _number(self, name: str, value: float) -> str:
        return self._constant(name, np.asarray(value, np.float32))

    def _constant(self, name: str, value: Array) -> str:
        self._initializers.append(self._onnx.numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def _value(self, name: str, shape: derive.Shape) -> Any:
        helper, number = self._onnx.helper, self._onnx.TensorProto.FLOAT
        return helper.make_tensor_value_info(name, number, [BATCH, *native_shape(shape)])
