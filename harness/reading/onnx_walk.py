"""The way through an ONNX graph: layers and weights found so far, the map's size and layout, a Pad that waits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from harness.exchange.foreign import MOST_LAYERS, Flatten, ForeignTensor, FormatError, Learned
from harness.reading.onnx_constants import reshaped
from harness.reading.onnx_nodes import Nodes, Region
from harness.reading.onnx_operator import Node
from impls import derive
from impls.derive import InvalidNetwork, volume
from impls.reading import Foreign, ReadLayer
from impls.spec import Conv, Dense, Layer, Padding

ELEMENTWISE = {
    "Abs", "Add", "BatchNormalization", "Celu", "Clip", "Div", "Elu", "Erf", "Exp", "GELU", "Gelu",
    "GroupNormalization", "HardSigmoid", "HardSwish", "InstanceNormalization", "LRN", "LayerNormalization",
    "LeakyRelu", "LogSoftmax", "LpNormalization", "Mish", "Mul", "Neg", "Normalization", "PRelu", "Pow", "Selu",
    "SiLU", "Sigmoid", "Softmax", "Softplus", "Softsign", "Sqrt", "Sub", "ThresholdedRelu",
}  # fmt: skip
MOVING = {
    "DepthToSpace", "Einsum", "Flatten", "If", "Loop", "Reshape", "Scan", "SpaceToDepth", "Squeeze", "Transpose",
    "Unsqueeze",
}  # fmt: skip
LONGEST_DETAIL = 120


class Waiting(NamedTuple):
    """A Pad before the layer that takes it in."""

    node: Node
    padding: Padding
    value: float


@dataclass
class Walk:
    """Where the reading stands. `shape` is canonical, (H, W, C) or (features,); None once it is not known."""

    nodes: Nodes
    shape: derive.Shape | None
    channels_last: bool = False  # how the graph has maps at this point
    flatten: Flatten | None = None  # until a map of known layout is flattened for the first dense layer
    in_order: bool = True  # whether a map still lies as it did: not behind a part that may have moved its axes
    layers: list[ReadLayer] = field(default_factory=list)
    learned: list[Learned] = field(default_factory=list)
    pad: Waiting | None = None
    fits: bool = True  # whether dense layers take as many inputs as arrive
    left_out: int = 0  # weights in parts that have no class here
    remarks: list[str] = field(default_factory=list)

    @property
    def channels(self) -> int | None:
        """Of the map at this point."""
        return self.shape[2] if self.shape is not None and len(self.shape) == 3 else None

    def add(self, layer: Layer) -> None:
        """One layer more."""
        self.layers.append(layer)
        if len(self.layers) > MOST_LAYERS:
            raise FormatError(f"{str(self.nodes.path)!r} has more than {MOST_LAYERS:,} layers")
        if self.shape is None:
            return
        try:
            self.shape = derive.layer_facts(layer, self.shape).output_shape
        except InvalidNetwork as error:
            self.remarks.append(str(error))
            self.shape = None

    def learn(self, layer: Conv | Dense, weight: ForeignTensor, bias: ForeignTensor | None, axes: str) -> None:
        """A convolution or a dense layer with its tensors."""
        if isinstance(layer, Dense):
            self.to_vector()
            taken = weight.shape[axes.index("i")]
            if self.shape is not None and volume(self.shape) != taken:
                self.fits, self.shape = False, (taken,)
        self.learned.append(Learned(layer.name, weight, bias, axes))
        self.add(layer)

    def bias(self, tensor: ForeignTensor) -> bool:
        """A bias that is added after its layer; whether there is one that has none."""
        if not self.layers or not self.learned or self.layers[-1].name != self.learned[-1].name:
            return False
        last, layer = self.learned[-1], self.layers[-1]
        if last.bias is not None or not isinstance(layer, Conv | Dense):
            return False
        units = last.canonical_shape[-1]
        sides = (units, 1, 1) if isinstance(layer, Conv) else (units,)
        if tensor.shape not in (sides, (1, *sides)):
            return False
        self.learned[-1] = replace(last, bias=reshaped(tensor, (units,)))
        return True

    def to_vector(self) -> None:
        """Flatten the map, if it is one."""
        if self.shape is None or len(self.shape) != 3:
            return
        is_first = not any(isinstance(layer, Dense) for layer in self.layers)
        if self.in_order and is_first and self.shape[0] * self.shape[1] > 1:
            self.flatten = "hwc" if self.channels_last else "chw"
        self.shape, self.channels_last = (volume(self.shape),), False

    def foreign(self, region: Region, kind: str, detail: str = "") -> None:
        """A part that has no class here."""
        constants = {name for node in region.nodes for name in _learnable(node) if self.nodes.weight(name) is not None}
        weights = [found for name in constants if (found := self.nodes.weight(name)) is not None]
        self.left_out += sum(len(weight.shape) > 1 for weight in weights)
        self.in_order = self.in_order and not self._may_move(region, kind)
        self.shape = self._shape_after(region, kind)
        self.add_foreign(region.last.name, kind, detail, sum(weight.elements for weight in weights))

    def add_foreign(self, name: str, kind: str, detail: str = "", parameters: int = 0) -> None:
        """The same, its output's shape being known or not."""
        made = Foreign(
            name=name,
            kind=kind,
            detail=detail[:LONGEST_DETAIL],
            parameters=parameters,
            output_shape=self.shape or (),
        )
        self.layers.append(made)
        if len(self.layers) > MOST_LAYERS:
            raise FormatError(f"{str(self.nodes.path)!r} has more than {MOST_LAYERS:,} layers")

    def _may_move(self, region: Region, kind: str) -> bool:
        return not _by_element(region, kind) and any(node.kind in MOVING or node.captured for node in region.nodes)

    def _shape_after(self, region: Region, kind: str) -> derive.Shape | None:
        if self.shape is None or _by_element(region, kind):
            return self.shape
        if kind.startswith("Global") and len(self.shape) == 3:
            return (1, 1, self.shape[2])
        known = self.nodes.shape_of(region.end)
        if known is None or len(known) not in (1, 3):
            return None
        return known if len(known) == 1 or self.channels_last else (known[1], known[2], known[0])

    def flush(self) -> None:
        """A Pad that no layer took in is a part of its own."""
        if self.pad is not None:
            waiting, self.pad = self.pad, None
            top, bottom, left, right = waiting.padding
            if self.shape is not None and len(self.shape) == 3:
                self.shape = (self.shape[0] + top + bottom, self.shape[1] + left + right, self.shape[2])
            self.add_foreign(waiting.node.name, "Pad", f"{tuple(waiting.padding)} with {waiting.value:g}")


def _by_element(region: Region, kind: str) -> bool:
    """Whether a part leaves every number in its place."""
    return kind in ELEMENTWISE or (region.last.kind in ELEMENTWISE and region.start in region.last.inputs)


def _learnable(node: Node) -> list[str]:
    """Inputs that a training would change: of a batch normalisation scale and shift, not the running figures."""
    return node.inputs[1:3] if node.kind == "BatchNormalization" else [name for name in node.inputs if name]
