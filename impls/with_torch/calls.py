"""PyTorch's functions as layers: what a recorded call amounts to.

A handler takes a `Call` and returns the kind of step, its layer, and the channels it takes where it is a part. No layer
means that `impls.spec` has none: the tracer makes a `Foreign` of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from impls.reading import ReadLayer
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Init, MaxPool, Padding, ReLU, Tanh
from impls.traced.op_graph import Kind, WrongSize
from impls.traced.settling import Pad, Scale

Part = tuple[int, int, int]
Meaning = tuple[Kind, ReadLayer | None, Part]
NO_PART: Part = (0, 0, 0)
FOREIGN: Meaning = ("layer", None, NO_PART)
PASS: Meaning = ("pass", None, NO_PART)

# They take a tensor's shape or type and none of its values.
UNRELATED = frozenset({
    "size", "dim", "shape", "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like",
    "randint_like", "new_zeros", "new_ones", "new_empty", "new_full", "new_tensor", "device", "dtype", "backward",
    "requires_grad", "requires_grad_", "register_hook", "grad", "numel", "ndim", "is_cuda", "has_names",
})  # fmt: skip
# They may return the very tensor that they were given.
SAME_VALUE = frozenset({"contiguous", "to", "float", "cpu", "cuda", "type", "type_as", "detach", "identity"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a PyTorch function that takes a value."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    constants: tuple[torch.Tensor, ...] = ()  # tensors among the arguments that do not depend on the images
    place: tuple[int, int] = (0, 0)  # first channel and the one after the last, where it has several results

    def bound(self, *names: str, **defaults: Any) -> dict[str, Any]:
        """The arguments by name."""
        given = dict(zip(names, self.args, strict=False))
        return {**defaults, **given, **self.kwargs}

    @property
    def x(self) -> torch.Tensor:
        """The tensor it works on."""
        return self.args[0] if self.args else self.kwargs.get("input", self.kwargs.get("self"))


def _layer(layer: ReadLayer) -> Meaning:
    return ("layer", layer, NO_PART)


def pair(value: Any) -> tuple[int, int]:
    """A setting for height and width, given as one number or two."""
    if isinstance(value, int):
        return value, value
    sides = tuple(int(side) for side in value)
    return (sides[0], sides[0]) if len(sides) == 1 else (sides[0], sides[1])


def _conv2d(call: Call) -> Meaning:
    bound = call.bound(
        "input", "weight", "bias", "stride", "padding", "dilation", "groups",
        bias=None, stride=1, padding=0, dilation=1, groups=1,
    )  # fmt: skip
    weight: torch.Tensor = bound["weight"]
    kernels, _, height, width = weight.shape
    strides, dilation = pair(bound["stride"]), pair(bound["dilation"])
    if height != width or strides[0] != strides[1] or dilation != (1, 1) or bound["input"].ndim != 4:
        return FOREIGN
    match bound["padding"]:
        case "valid":
            padding = Padding()
        case "same":  # an odd pixel goes right and bottom: torch.nn.functional.conv2d
            before = (height - 1) // 2
            padding = Padding(before, height - 1 - before, before, height - 1 - before)
        case given:
            rows, columns = pair(given)
            padding = Padding(rows, rows, columns, columns)
    groups = int(bound["groups"])
    return _layer(
        Conv(
            name="conv", kernels=kernels, size=height, stride=strides[0], padding=padding, groups=groups,
            init=Init.TORCH,
        )
    )  # fmt: skip


def _linear(call: Call) -> Meaning:
    bound = call.bound("input", "weight", "bias", bias=None)
    if bound["input"].ndim != 2:
        return FOREIGN
    return _layer(Dense(name="fc", units=bound["weight"].shape[0], init=Init.TORCH))


def _max_pool2d(call: Call) -> Meaning:
    bound = call.bound(
        "input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices",
        stride=None, padding=0, dilation=1, ceil_mode=False,
    )  # fmt: skip
    sizes, pads = pair(bound["kernel_size"]), pair(bound["padding"])
    strides = pair(bound["stride"]) if bound["stride"] not in (None, [], ()) else sizes
    if sizes[0] != sizes[1] or strides[0] != strides[1] or pair(bound["dilation"]) != (1, 1):
        return FOREIGN
    if bound["input"].ndim != 4:
        return FOREIGN
    sides = tuple(bound["input"].shape[-2:])
    more = (0, 0)
    if bound["ceil_mode"]:
        rows, columns = (ceil_padding(side, sizes[0], strides[0], pads[i]) for i, side in enumerate(sides))
        more = (rows, columns)
    padding = Padding(pads[0], pads[0] + more[0], pads[1], pads[1] + more[1])
    return _layer(MaxPool(name="pool", size=sizes[0], stride=strides[0], padding=padding))


def ceil_padding(side: int, size: int, stride: int, padding: int) -> int:
    """Pixels that ceil mode adds after `side` pixels with `padding` on both ends; 0 where it changes nothing.

    The last window must begin inside the input or its first padding: torch.nn.MaxPool2d.
    """
    room = side + 2 * padding - size
    down, up = room // stride + 1, -(-room // stride) + 1
    if (up - 1) * stride >= side + padding:
        up -= 1
    return (up - 1) * stride + size - side - 2 * padding if up > down else 0


def _local_response_norm(call: Call) -> Meaning:
    bound = call.bound("input", "size", "alpha", "beta", "k", alpha=1e-4, beta=0.75, k=1.0)
    size = int(bound["size"])
    if size % 2 == 0 or bound["input"].ndim != 4:
        return FOREIGN
    return _layer(
        LRN(name="norm", size=size, alpha=bound["alpha"] / size, beta=float(bound["beta"]), k=float(bound["k"]))
    )


def _dropout(call: Call) -> Meaning:
    bound = call.bound("input", "p", "training", "inplace", p=0.5, training=True)
    rate = float(bound["p"])
    if rate <= 0 or not bound.get("train", bound["training"]):
        return PASS
    if rate >= 1:
        return FOREIGN
    return _layer(Dropout(name="drop", rate=rate, scaling=DropoutScaling.IN_TRAINING))


def _relu(_: Call) -> Meaning:
    return _layer(ReLU(name="relu"))


def _tanh(_: Call) -> Meaning:
    return _layer(Tanh(name="tanh"))


def _reshape(call: Call) -> Meaning:
    """Flattening passes on what is there; anything else moves values. Raises WrongSize where the batch changes."""
    before, after = tuple(call.x.shape), tuple(call.result.shape)
    if not after or after[0] != before[0]:
        raise WrongSize(f"{call.name} makes {list(after)} of {list(before)}: it changes the number of images")
    flat = len(after) == 2 and len(before) in (2, 4)
    ones = [side for side in before if side != 1] == [side for side in after if side != 1]
    return PASS if flat or ones or before == after else FOREIGN


def _pass(_: Call) -> Meaning:
    return PASS


def _same_size(call: Call) -> Meaning:
    """Adaptive pooling to the size that is there already changes nothing: 6 x 6 in torchvision's alexnet at 224."""
    return PASS if call.result.shape == call.x.shape else FOREIGN


def _cat(call: Call) -> Meaning:
    bound = call.bound("tensors", "dim", dim=0)
    dim = bound.get("axis", bound["dim"])
    return ("join", None, NO_PART) if dim in (1, 1 - call.result.ndim) and not call.constants else FOREIGN


def _split(call: Call) -> Meaning:
    bound = call.bound("input", "how", "dim", dim=0)
    if bound["dim"] not in (1, 1 - call.x.ndim):
        return FOREIGN
    return ("part", None, (*call.place, call.x.shape[1]))


def _getitem(call: Call) -> Meaning:
    """x[:, a:b] is a part of the channels; x[:, :, a:] and the like move pixels."""
    index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    whole = [part in (slice(None), Ellipsis) for part in index]
    if all(whole):
        return PASS
    if len(index) < 2 or not whole[0] or not all(whole[2:]) or not isinstance(index[1], slice):
        return FOREIGN
    channels = call.x.shape[1]
    start, stop, step = index[1].indices(channels)
    return ("part", None, (start, stop, channels)) if step == 1 else FOREIGN


def _narrow(call: Call) -> Meaning:
    bound = call.bound("input", "dim", "start", "length")
    if bound["dim"] not in (1, 1 - call.x.ndim) or not isinstance(bound["start"], int):
        return FOREIGN
    return ("part", None, (bound["start"], bound["start"] + bound["length"], call.x.shape[1]))


def _pad(call: Call) -> Meaning:
    bound = call.bound("input", "pad", "mode", "value", mode="constant", value=None)
    sides = [int(side) for side in bound["pad"]] + [0] * 8
    left, right, top, bottom, *others = sides
    if bound["mode"] != "constant" or call.x.ndim != 4 or min(sides) < 0 or any(others):
        return FOREIGN
    value = float(bound["value"] or 0.0)
    padding = Padding(top, bottom, left, right)
    detail = f"{value:g} around: top {top}, bottom {bottom}, left {left}, right {right}"
    return _layer(Pad(name="pad", detail=detail, padding=padding, value=value))


def _times(call: Call) -> Meaning:
    if call.name != "div" and len(call.constants) == 1 and (mask := _mask(call)) is not None:
        return mask
    numbers = [value for value in (*call.args, *call.kwargs.values()) if isinstance(value, int | float)]
    if len(numbers) != 1 or call.constants or not math.isfinite(numbers[0]):
        return FOREIGN
    if call.name == "div" and (numbers[0] == 0 or not isinstance(call.args[0], torch.Tensor)):
        return FOREIGN
    factor = 1 / numbers[0] if call.name == "div" else float(numbers[0])
    return PASS if factor == 1 else _layer(Scale(name="scale", detail=f"times {factor:.5g}", factor=factor))


def _mask(call: Call) -> Meaning | None:
    """A product with a tensor of zeros and one other number is dropout by hand; its rate is estimated."""
    mask = call.constants[0]
    if mask.is_meta or isinstance(mask, torch.nn.Parameter) or mask.numel() < 2 or mask.shape[1:] != call.x.shape[1:]:
        return None
    kept = float((mask != 0).double().mean())
    largest = float(mask.max())
    if not 0 < kept < 1 or largest < 1 or not bool(((mask == 0) | (mask == largest)).all()):
        return None
    rate = round(20 * (1 - kept)) / 20 if largest == 1 else float(f"{1 - 1 / largest:.4g}")
    if not 0 < rate < 1:
        return None
    scaling = DropoutScaling.AT_TEST if largest == 1 else DropoutScaling.IN_TRAINING
    return _layer(Dropout(name="drop", rate=rate, scaling=scaling))


def meaning(call: Call) -> Meaning:
    """What a call amounts to; foreign where it has arguments that nobody here thought of. Raises WrongSize."""
    handler = HANDLERS.get(call.name)
    try:
        return FOREIGN if handler is None else handler(call)
    except WrongSize:
        raise
    except Exception:
        return FOREIGN


HANDLERS: dict[str, Callable[[Call], Meaning]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "relu": _relu,
    "tanh": _tanh,
    "max_pool2d": _max_pool2d,
    "local_response_norm": _local_response_norm,
    "dropout": _dropout,
    "cat": _cat,
    "concat": _cat,
    "concatenate": _cat,
    "chunk": _split,
    "split": _split,
    "tensor_split": _split,
    "getitem": _getitem,
    "narrow": _narrow,
    "pad": _pad,
    "mul": _times,
    "multiply": _times,
    "div": _times,
    "adaptive_avg_pool2d": _same_size,
    "adaptive_max_pool2d": _same_size,
    **dict.fromkeys(("view", "reshape", "flatten", "squeeze", "unsqueeze", "view_as", "reshape_as"), _reshape),
    **dict.fromkeys(("clone", "data", "requires_grad_", *SAME_VALUE), _pass),
}
