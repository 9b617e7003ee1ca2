"""The windows of Caffe's convolutions and pools: their settings from either way of writing them, and what comes out.

Reference: BVLC/caffe, src/caffe/layers/base_conv_layer.cpp (LayerSetUp), pooling_layer.cpp (LayerSetUp, Reshape).
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.exchange.foreign import FormatError
from harness.reading.caffe_schema import Message
from impls.derive import Shape
from impls.spec import Padding

CEIL = 0  # enum RoundMode


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a window: pixels before and after the map, the window's side and step."""

    size: int
    stride: int
    before: int
    after: int
    dilation: int = 1


@dataclass(frozen=True, slots=True)
class Window:
    """A window over a feature map."""

    height: Axis
    width: Axis

    @property
    def padding(self) -> Padding:
        """All four sides."""
        return Padding(self.height.before, self.height.after, self.width.before, self.width.after)

    @property
    def text(self) -> str:
        """The settings for people."""
        height, width = self.height, self.width
        said = f"{height.size}x{width.size}, stride {height.stride}x{width.stride}"
        if any(self.padding):
            said += f", padding {'/'.join(map(str, self.padding))}"
        if (height.dilation, width.dilation) != (1, 1):
            said += f", dilation {height.dilation}x{width.dilation}"
        return said


def _pair(name: str, parameters: Message, field: str, default: int) -> tuple[int, int]:
    """(height, width) of a repeated field such as `stride`, or of `stride_h` and `stride_w`."""
    short = field.removesuffix("_size")
    values = list(getattr(parameters, field)[:3])
    if parameters.HasField(f"{short}_h") or parameters.HasField(f"{short}_w"):
        if values:
            raise FormatError(f"layer {name!r} has both {field} and {short}_h or {short}_w, Caffe takes one of them")
        return getattr(parameters, f"{short}_h"), getattr(parameters, f"{short}_w")
    if len(values) > 2:
        raise FormatError(f"layer {name!r} has more than two values of {field}, expected one or two")
    values = values or [default]
    return values[0], values[-1]


def conv_window(name: str, parameters: Message, shape: Shape) -> tuple[Window, tuple[int, int]]:
    """A convolution's window over a map (H, W, C), and its output's (H, W). Raises FormatError."""
    if parameters.axis not in (1, -3):
        raise FormatError(f"layer {name!r} convolves from axis {parameters.axis}, expected 1 (channels)")
    sizes, strides = _pair(name, parameters, "kernel_size", 0), _pair(name, parameters, "stride", 1)
    pads = _pair(name, parameters, "pad", 0)
    dilations = list(parameters.dilation[:3]) or [1]
    if len(dilations) > 2:
        raise FormatError(f"layer {name!r} has more than two values of dilation, expected one or two")
    axes, sides = [], []
    for index in (0, 1):
        axis = Axis(sizes[index], strides[index], pads[index], pads[index], (dilations[0], dilations[-1])[index])
        if min(axis.size, axis.stride, axis.dilation) < 1:
            raise FormatError(
                f"layer {name!r} has kernel {axis.size}, stride {axis.stride}, dilation {axis.dilation}:"
                " all must be 1 or more"
            )
        room = shape[index] + 2 * axis.before - (axis.dilation * (axis.size - 1) + 1)
        if room < 0:
            raise FormatError(
                f"layer {name!r}: a kernel of {axis.size} does not fit {shape[index]} + 2 x {axis.before}"
            )
        axes.append(axis)
        sides.append(room // axis.stride + 1)
    return Window(*axes), (sides[0], sides[1])


def pool_window(name: str, parameters: Message, shape: Shape) -> tuple[Window, tuple[int, int]]:
    """A pool's window over a map (H, W, C), and its output's (H, W). Raises FormatError."""
    sizes, strides, pads = (
        (getattr(parameters, f"{field}_h"), getattr(parameters, f"{field}_w"))
        if parameters.HasField(f"{field}_h") or parameters.HasField(f"{field}_w")
        else (getattr(parameters, whole),) * 2
        for field, whole in (("kernel", "kernel_size"), ("stride", "stride"), ("pad", "pad"))
    )
    if parameters.global_pooling:
        sizes = (shape[0], shape[1])
        if strides != (1, 1) or pads != (0, 0):
            raise FormatError(f"layer {name!r} pools globally, which Caffe does with stride 1 and pad 0 only")
    is_ceil = parameters.round_mode == CEIL
    (height, rows), (width, columns) = (
        _pooled(name, shape[index], sizes[index], strides[index], pads[index], is_ceil=is_ceil) for index in (0, 1)
    )
    return Window(height, width), (rows, columns)


def _pooled(name: str, length: int, size: int, stride: int, pad: int, *, is_ceil: bool) -> tuple[Axis, int]:
    """One direction of a pool, and its output's side.

    Caffe rounds the number of steps up, and takes the last window away where it would begin behind the map. What it
    then reads past the padding is padding too, so `after` is larger where, and only where, there is one window more
    than rounding down would give.
    """
    if size < 1 or stride < 1 or pad >= size:
        raise FormatError(f"layer {name!r} pools {size} by {stride} with padding {pad}: Caffe refuses that")
    room = length + 2 * pad - size
    steps = -(-room // stride) if is_ceil else room // stride
    if pad and steps * stride >= length + pad:
        steps -= 1
    if steps < 0:
        raise FormatError(f"layer {name!r}: a window of {size} does not fit {length} + 2 x {pad}")
    after = pad if steps == room // stride else steps * stride + size - length - pad
    return Axis(size, stride, pad, after), steps + 1
