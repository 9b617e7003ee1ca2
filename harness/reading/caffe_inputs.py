"""What a Caffe network takes: the size of its images, and what its data layer does to them first.

Reference: BVLC/caffe, src/caffe/data_transformer.cpp; src/caffe/util/upgrade_proto.cpp (UpgradeNetInput,
UpgradeNetDataTransformation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.exchange.foreign import FormatError
from harness.reading.caffe_fillers import decimal
from harness.reading.caffe_graph import Graph, Node
from harness.reading.caffe_schema import MOST_COUNT, Message
from impls.derive import Shape
from impls.spec import Preprocessing

OWN_PARAMETERS = {"Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param"}
TRANSFORMED = frozenset({*OWN_PARAMETERS, "MemoryData"})
COLOURS = 3


@dataclass(frozen=True, slots=True)
class Taken:
    """The images' value in the graph, their shape (H, W, C), and how they are prepared; None where nothing says it."""

    value: int
    shape: Shape
    preprocessing: Preprocessing | None
    remarks: tuple[str, ...] = ()


def taken_by(graph: Graph, net: Message, channels: int | None = None) -> Taken:
    """What the net takes. `channels` is what its first convolution's weights say, where they are there.

    Raises FormatError where no size is given.
    """
    used = {value for node in graph.path for value in node.inputs}
    declared = next((place for place, value in enumerate(graph.inputs) if value in used), None)
    if declared is not None:
        return Taken(graph.inputs[declared], _image(_declared(net, declared), "its `input`"), None)
    if not graph.sources:
        raise FormatError("it has neither a data layer nor `input`: nothing says what its first layer reads")
    source = graph.sources[0]
    if not source.outputs:
        raise FormatError(f"data layer {source.name!r} writes nothing")
    shape, remarks = _size(source, channels)
    if source.kind not in TRANSFORMED:
        return Taken(source.outputs[0], shape, None, remarks)
    kind, more = _transformation(source)
    return Taken(source.outputs[0], shape, kind, (*remarks, *more))


def _declared(net: Message, place: int) -> Sequence[int]:
    """One of the net's own inputs as (N, C, H, W)."""
    if len(net.input_shape) > place:
        return tuple(net.input_shape[place].dim)
    return tuple(net.input_dim[4 * place : 4 * place + 4])


def _image(dims: Sequence[int], where: str) -> Shape:
    """(N, C, H, W) as (H, W, C)."""
    if len(dims) != 4:
        raise FormatError(f"{where} has {len(dims)} sides, expected 4 (images, channels, height, width)")
    channels, height, width = dims[1:]
    if min(channels, height, width) < 1 or channels * height * width > MOST_COUNT:
        raise FormatError(f"{where} is {channels} x {height} x {width}, which is no size of an image")
    return (height, width, channels)


def _size(source: Node, channels: int | None) -> tuple[Shape, tuple[str, ...]]:
    """The images' size from the layer that brings them."""
    where, message = f"data layer {source.name!r}", source.message
    if source.kind == "Input" and len(message.input_param.shape):
        return _image(tuple(message.input_param.shape[0].dim), where), ()
    if source.kind == "DummyData":
        return _image(_dummy(message.dummy_data_param), where), ()
    if source.kind == "MemoryData":
        memory = message.memory_data_param
        crop = message.transform_param.crop_size
        return _image((1, memory.channels, crop or memory.height, crop or memory.width), where), ()
    height, width = _crop(source)
    if not height or not width:
        raise FormatError(
            f"{where} does not say how large its images are (no crop_size): give the network's deploy.prototxt"
        )
    found, remarks = _channels(source, channels)
    return _image((1, found, height, width), where), remarks


def _dummy(parameters: Message) -> Sequence[int]:
    if len(parameters.shape):
        return tuple(parameters.shape[0].dim)
    sides = (parameters.num, parameters.channels, parameters.height, parameters.width)
    return tuple(side[0] for side in sides if len(side))


def _crop(source: Node) -> tuple[int, int]:
    """Height and width after cropping; 0 where only the data know them."""
    size = source.message.transform_param.crop_size if source.kind in TRANSFORMED else 0
    if source.kind in OWN_PARAMETERS:
        own = getattr(source.message, OWN_PARAMETERS[source.kind])
        size = size or own.crop_size
        if not size and source.kind == "ImageData":
            return own.new_height, own.new_width
    return size, size


def _channels(source: Node, channels: int | None) -> tuple[int, tuple[str, ...]]:
    """A database's images have as many channels as they have: what else tells it, in the order of its worth."""
    transform = source.message.transform_param
    if channels is not None:
        return channels, ()
    if transform.force_gray or (source.kind == "ImageData" and not source.message.image_data_param.is_color):
        return 1, ()
    if len(transform.mean_value) > 1:
        return len(transform.mean_value), ()
    return COLOURS, (f"its data layer {source.name!r} leaves the number of channels to the data: 3 are assumed",)


def _transformation(source: Node) -> tuple[Preprocessing, tuple[str, ...]]:
    """What is subtracted, and a remark on a scale that none of our kinds of preprocessing has."""
    transform = source.message.transform_param
    old = getattr(source.message, OWN_PARAMETERS.get(source.kind, ""), None)  # before TransformationParameter was
    has_mean = transform.HasField("mean_file") or (old is not None and old.HasField("mean_file"))
    scale = decimal(transform.scale if old is None or transform.HasField("scale") else old.scale)
    if not math.isfinite(scale):
        raise FormatError(f"data layer {source.name!r} multiplies its images by {scale}")
    if has_mean or len(transform.mean_value):
        kind: Preprocessing = "mean-image" if has_mean else "mean-colour"
        return kind, () if scale == 1 else (f"its images are multiplied by {scale:g} once the mean is subtracted",)
    if scale == 1:
        return "none", ()
    if math.isclose(scale, 1 / 255, rel_tol=1e-3):
        return "unit-scale", ()
    return "none", (f"its images are multiplied by {scale:g}",)
