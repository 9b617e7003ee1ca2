"""What follows from a `Network`: shapes, parameters, neurons, multiply-adds. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from impls.spec import LRN, Conv, Dense, Dropout, Layer, MaxPool, Network, Padding, SpatialNorm

Shape = tuple[int, ...]  # without the batch: (H, W, C) or (features,)


class InvalidNetwork(ValueError):
    """A network whose layers do not fit together; the message names the layer and both numbers."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """One layer's shapes and counts, for one image."""

    layer: Layer
    input_shape: Shape
    output_shape: Shape
    parameters: dict[str, Shape]  # canonical tensor name -> shape
    multiply_adds: int

    @property
    def parameter_count(self) -> int:
        """Weights and biases."""
        return sum(volume(shape) for shape in self.parameters.values())

    @property
    def neurons(self) -> int:
        """Outputs of a learned layer; 0 for the others."""
        return volume(self.output_shape) if self.parameters else 0


def volume(shape: Shape) -> int:
    """Product of a shape's sides."""
    product = 1
    for side in shape:
        product *= side
    return product


def _side(layer: Conv | MaxPool, length: int, padding: int, axis: str) -> int:
    room = length + padding - layer.size
    if room < 0:
        raise InvalidNetwork(
            f"layer {layer.name!r}: window of {layer.size} does not fit {axis} {length} with padding {padding}"
        )
    return room // layer.stride + 1


def _window_shape(layer: Conv | MaxPool, shape: Shape, channels: int) -> Shape:
    pad: Padding = layer.padding
    if layer.size < 1 or layer.stride < 1 or min(pad) < 0:
        raise InvalidNetwork(f"layer {layer.name!r}: size {layer.size}, stride {layer.stride}, padding {tuple(pad)}")
    height = _side(layer, shape[0], pad.top + pad.bottom, "height")
    width = _side(layer, shape[1], pad.left + pad.right, "width")
    return (height, width, channels)


def _conv(layer: Conv, shape: Shape) -> LayerFacts:
    channels = shape[2]
    if channels % layer.groups or layer.kernels % layer.groups:
        raise InvalidNetwork(
            f"layer {layer.name!r}: {channels} channels and {layer.kernels} kernels must both be divisible by"
            f" groups = {layer.groups}"
        )
    out = _window_shape(layer, shape, layer.kernels)
    weight = (layer.size, layer.size, channels // layer.groups, layer.kernels)
    parameters = {f"{layer.name}/weight": weight, f"{layer.name}/bias": (layer.kernels,)}
    return LayerFacts(layer, shape, out, parameters, out[0] * out[1] * volume(weight))


def _dense(layer: Dense, shape: Shape) -> LayerFacts:
    weight = (volume(shape), layer.units)
    parameters = {f"{layer.name}/weight": weight, f"{layer.name}/bias": (layer.units,)}
    return LayerFacts(layer, shape, (layer.units,), parameters, volume(weight))


def _check(layer: Layer, shape: Shape) -> None:
    if len(shape) != 3 and isinstance(layer, Conv | MaxPool | LRN | SpatialNorm):
        raise InvalidNetwork(f"layer {layer.name!r} needs a feature map [H, W, C], its input has shape {shape}")
    if isinstance(layer, LRN) and shape[2] % layer.groups:
        raise InvalidNetwork(f"layer {layer.name!r}: {shape[2]} channels in {layer.groups} groups")
    if isinstance(layer, LRN | SpatialNorm) and layer.size % 2 == 0:
        raise InvalidNetwork(f"layer {layer.name!r}: window size {layer.size} must be odd")
    if isinstance(layer, Dropout) and not 0 <= layer.rate < 1:
        raise InvalidNetwork(f"layer {layer.name!r}: dropout rate {layer.rate} must be in [0, 1)")


def layer_facts(layer: Layer, shape: Shape) -> LayerFacts:
    """Shapes and counts of one layer on an input of `shape` (no batch). Raises InvalidNetwork."""
    _check(layer, shape)
    if isinstance(layer, Conv):
        return _conv(layer, shape)
    if isinstance(layer, Dense):
        return _dense(layer, shape)
    if isinstance(layer, MaxPool):
        return LayerFacts(layer, shape, _window_shape(layer, shape, shape[2]), {}, 0)
    return LayerFacts(layer, shape, shape, {}, 0)


def facts(network: Network) -> tuple[LayerFacts, ...]:
    """Every layer's shapes and counts, in order. Raises InvalidNetwork where layers do not fit together."""
    return tuple(_facts(network))


def _facts(network: Network) -> Iterator[LayerFacts]:
    shape: Shape = (network.height, network.width, network.channels)
    seen: set[str] = set()
    for layer in network.layers:
        if layer.name in seen:
            raise InvalidNetwork(f"network {network.name!r} has two layers called {layer.name!r}")
        seen.add(layer.name)
        found = layer_facts(layer, shape)
        yield found
        shape = found.output_shape
    if shape != (network.classes,):
        raise InvalidNetwork(f"network {network.name!r} ends with shape {shape}, expected ({network.classes},) classes")


def parameter_shapes(network: Network) -> dict[str, Shape]:
    """Canonical tensor name -> shape, in the order of the layers."""
    return {name: shape for row in facts(network) for name, shape in row.parameters.items()}


class _Shaped(Protocol):
    @property
    def shape(self) -> Shape: ...


def require_tensors(network: Network, arrays: Mapping[str, _Shaped], kind: str = "weights") -> None:
    """Raises ValueError for the first of the network's tensors that is missing among the arrays or misshapen."""
    for name, shape in parameter_shapes(network).items():
        if name not in arrays or arrays[name].shape != shape:
            found = arrays[name].shape if name in arrays else "missing"
            raise ValueError(f"{kind} for {network.name!r}: tensor {name!r} is {found}, expected {shape}")


def parameter_count(network: Network) -> int:
    """All weights and biases."""
    return sum(row.parameter_count for row in facts(network))


def neuron_count(network: Network) -> int:
    """Outputs of all learned layers."""
    return sum(row.neurons for row in facts(network))


def multiply_adds(network: Network) -> int:
    """Multiply-adds of one forward pass of one image (convolutions and dense layers, biases not counted)."""
    return sum(row.multiply_adds for row in facts(network))


def training_flops(network: Network) -> int:
    """Floating-point operations of one training step, per image: 2 * (3 * MACs - first layer's MACs).

    Forward, gradient of the weights, gradient of the inputs; none with respect to the images.
    """
    rows = [row for row in facts(network) if row.multiply_adds]
    return 2 * (3 * sum(row.multiply_adds for row in rows) - rows[0].multiply_adds)
