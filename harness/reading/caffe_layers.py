"""One layer of a Caffe network as a layer of `impls.spec`, or as `Foreign` where it has no word for it.

Values that Caffe itself refuses (no outputs, a stride of 0, a window that does not fit, an even LRN) raise FormatError.

Reference: BVLC/caffe, src/caffe/layers/{base_conv,conv,inner_product,lrn,pooling,dropout,relu}_layer.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.exchange.foreign import MOST_SIDES, FormatError
from harness.reading.caffe_fillers import Fans, decimal, start_of
from harness.reading.caffe_graph import Node
from harness.reading.caffe_schema import MOST_COUNT, blob_shape
from harness.reading.caffe_windows import Window, conv_window, pool_window
from impls.derive import Shape, volume
from impls.reading import Foreign, ReadLayer
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, MaxPool, ReLU, SpatialNorm, Tanh

AVE = 1  # enum PoolMethod
WITHIN_CHANNEL = 1  # enum NormRegion
MOST_BLOBS = 10  # of one layer that count

# Foreign layers that leave the shape as it is.
POINTWISE = frozenset({
    "AbsVal", "BNLL", "BatchNorm", "Bias", "Clip", "Dropout", "ELU", "Eltwise", "Exp", "LRN", "Log", "MVN", "PReLU",
    "Power", "ReLU", "Scale", "Sigmoid", "Softmax", "Swish", "TanH", "Threshold",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Read:
    """What became of a layer: None where it only changes how the same values are arranged."""

    layer: ReadLayer | None
    shape: Shape | None  # of its output, (H, W, C) or (features,); None where that is not known
    remarks: tuple[str, ...] = ()  # what is to be said of it beside
    parameters: int = 0  # of a convolution or a dense layer


def read_layer(node: Node, shape: Shape | None) -> Read:
    """A layer with one input of this shape. Raises FormatError."""
    if shape is None:
        return Read(foreign(node, None, "the shape of its input is not known"), None)
    if node.kind in MAPS_ONLY and len(shape) != 3:
        raise FormatError(f"layer {node.name!r} needs a feature map, its input has {shape[0]} features")
    found = READERS[node.kind](node, shape) if node.kind in READERS else _no_class(node, shape)
    if found.shape is not None and volume(found.shape) > MOST_COUNT:
        raise FormatError(f"layer {node.name!r} has {volume(found.shape):,} outputs, at most {MOST_COUNT:,} fit")
    return found


def foreign(node: Node, shape: Shape | None, detail: str = "", parameters: int = 0) -> Foreign:
    """A layer without a class here; `shape` is that of its output. `parameters` 0 is where others must tell."""
    return Foreign(
        name=node.name, kind=node.kind or "no type", detail=detail,
        parameters=parameters or _parameters(node, shape), output_shape=shape or (),
    )  # fmt: skip


def merged(node: Node, shapes: list[Shape | None]) -> Read:
    """A layer of several inputs, all of these shapes."""
    known = [shape for shape in shapes if shape is not None]
    shape: Shape | None = None
    if known and len(known) == len(shapes):
        if node.kind == "Eltwise":
            shape = known[0]
        elif node.kind == "Concat" and node.message.concat_param.axis == node.message.concat_param.concat_dim == 1:
            shape = (*known[0][:-1], sum(found[-1] for found in known))
    return Read(foreign(node, shape, f"of {len(shapes)} inputs"), shape)


def _parameters(node: Node, shape: Shape | None) -> int:
    """Weights and biases: as stored, or what follows from the output where that is all it takes."""
    blobs = node.message.blobs
    if len(blobs):
        return sum(max(0, math.prod(blob_shape(blob)[:MOST_SIDES])) for blob in blobs[:MOST_BLOBS])
    if not shape:
        return 0
    channels = shape[-1]
    match node.kind:
        case "PReLU":
            return 1 if node.message.prelu_param.channel_shared else channels
        case "Scale" if node.message.scale_param.axis == node.message.scale_param.num_axes == 1:
            return channels * (2 if node.message.scale_param.bias_term else 1)
        case "Bias":
            return channels
        case "BatchNorm":
            return (
                2 * channels + 1
            )  # mean, variance and the factor they are kept by: src/caffe/layers/batch_norm_layer.cpp
    return 0


def _no_class(node: Node, shape: Shape) -> Read:
    after = shape if node.kind in POINTWISE else None
    return Read(foreign(node, after), after)


def _is_square(window: Window) -> bool:
    height, width = window.height, window.width
    return (height.size, height.stride, height.dilation) == (width.size, width.stride, width.dilation)


def _conv(node: Node, shape: Shape) -> Read:
    parameters = node.message.convolution_param
    window, out = conv_window(node.name, parameters, shape)
    outputs, groups, channels = parameters.num_output, parameters.group, shape[2]
    if outputs < 1 or groups < 1 or outputs % groups or channels % groups:
        raise FormatError(
            f"layer {node.name!r} has {outputs} outputs and {channels} channels in {groups} groups: both must be"
            " divisible by them"
        )
    after = (*out, outputs)
    sides = window.height.size * window.width.size
    fans = Fans(channels // groups * sides, outputs * sides)
    start = start_of(node.name, parameters, fans)
    count = fans.into * outputs + (outputs if parameters.bias_term else 0)
    if not _is_square(window) or window.height.dilation != 1:
        detail = window.text + (f", {groups} groups" if groups > 1 else "")
        return Read(foreign(node, after, detail, count), after, (), count)
    layer = Conv(
        name=node.name, kernels=outputs, size=window.height.size, stride=window.height.stride, padding=window.padding,
        groups=groups, init=start.init, init_bias=start.init_bias,
    )  # fmt: skip
    return Read(layer, after, start.remarks, count)


def _dense(node: Node, shape: Shape) -> Read:
    parameters = node.message.inner_product_param
    units = parameters.num_output
    if not 1 <= units <= MOST_COUNT:
        raise FormatError(f"layer {node.name!r} has {units} outputs, expected num_output of 1 or more")
    if parameters.axis not in (1, -len(shape)):
        return Read(foreign(node, None, f"axis {parameters.axis}"), None)
    start = start_of(node.name, parameters, Fans(volume(shape), units))
    count = (volume(shape) + (1 if parameters.bias_term else 0)) * units
    layer = Dense(name=node.name, units=units, init=start.init, init_bias=start.init_bias)
    return Read(layer, (units,), start.remarks, count)


def _relu(node: Node, shape: Shape) -> Read:
    slope = decimal(node.message.relu_param.negative_slope)
    if slope:
        return Read(foreign(node, shape, f"negative slope {slope:g}"), shape)
    return Read(ReLU(name=node.name), shape)


def _tanh(node: Node, shape: Shape) -> Read:
    return Read(Tanh(name=node.name), shape)


def _lrn(node: Node, shape: Shape) -> Read:
    """Caffe multiplies the mean of the squares by alpha, so ours, on the plain sum, is alpha over their number."""
    parameters = node.message.lrn_param
    size, alpha, beta, k = parameters.local_size, *map(decimal, (parameters.alpha, parameters.beta, parameters.k))
    if size % 2 == 0:
        raise FormatError(f"layer {node.name!r} has local_size {size}, which must be odd")
    if not all(map(math.isfinite, (alpha, beta, k))):
        raise FormatError(f"layer {node.name!r} has alpha {alpha}, beta {beta}, k {k}: expected numbers")
    if parameters.norm_region != WITHIN_CHANNEL:
        return Read(LRN(name=node.name, size=size, alpha=alpha / size, beta=beta, k=k), shape)
    # lrn_layer.cpp builds it from a power layer whose shift is 1, whatever k is.
    remarks = (f"k = {k:g} is ignored: within a channel Caffe always takes 1",) if k != 1 else ()
    return Read(SpatialNorm(name=node.name, size=size, alpha=alpha / size**2, beta=beta, k=1.0), shape, remarks)


def _pool(node: Node, shape: Shape) -> Read:
    parameters = node.message.pooling_param
    window, out = pool_window(node.name, parameters, shape)
    after = (*out, shape[2])
    if parameters.pool or not _is_square(window):
        kinds = ("max", "average", "stochastic")
        return Read(foreign(node, after, f"{kinds[parameters.pool]} {window.text}"), after)
    layer = MaxPool(name=node.name, size=window.height.size, stride=window.height.stride, padding=window.padding)
    axes = zip(out, (window.height, window.width), shape, strict=False)
    if any((count - 1) * axis.stride - axis.before >= length for count, axis, length in axes):
        return Read(layer, after, ("its last windows see no pixel: Caffe gives -3.4e38 there, this project -inf",))
    return Read(layer, after)


def _dropout(node: Node, shape: Shape) -> Read:
    rate = decimal(node.message.dropout_param.dropout_ratio)
    if not 0 <= rate < 1:
        raise FormatError(f"layer {node.name!r} drops {rate}, expected a dropout_ratio in [0, 1)")
    return Read(Dropout(name=node.name, rate=rate, scaling=DropoutScaling.IN_TRAINING), shape)


def _flatten(node: Node, shape: Shape) -> Read:
    """A rearrangement is left out where it makes one row of an image's values, as a dense layer does by itself."""
    parameters = node.message.flatten_param
    if parameters.axis == 1 and parameters.end_axis in (-1, len(shape)):
        return Read(None, shape)
    return Read(foreign(node, None, f"axes {parameters.axis} to {parameters.end_axis}"), None)


def _reshape(node: Node, shape: Shape) -> Read:
    parameters = node.message.reshape_param
    dims = tuple(parameters.shape.dim[:9])
    if parameters.axis == 0 and parameters.num_axes == -1 and dims in {(0, -1), (0, volume(shape))}:
        return Read(None, shape)
    return Read(foreign(node, None, f"to {' x '.join(map(str, dims))}"), None)


READERS: Mapping[str, Callable[[Node, Shape], Read]] = {
    "Convolution": _conv, "InnerProduct": _dense, "ReLU": _relu, "TanH": _tanh, "LRN": _lrn, "Pooling": _pool,
    "Dropout": _dropout, "Flatten": _flatten, "Reshape": _reshape,
}  # fmt: skip
MAPS_ONLY = frozenset({"Convolution", "Pooling", "LRN"})
