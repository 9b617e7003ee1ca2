"""JAX's primitives as layers: what a recorded equation amounts to.

A handler takes an `Equation` and returns the kind of step, its layer, and the channels it takes where it is a part. No
layer means that the primitive is none by itself: neighbours are looked at together (`impls.traced.op_graph`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from impls.reading import Foreign, ReadLayer
from impls.spec import Conv, Dense, Dropout, DropoutScaling, MaxPool, Padding
from impls.traced.op_graph import Kind, Part, WrongSize
from impls.traced.settling import Pad

Meaning: TypeAlias = tuple[Kind, ReadLayer | None, Part]
NO_PART: Part = (0, 0, 0)
LOOSE: Meaning = ("layer", None, NO_PART)
PASS: Meaning = ("pass", None, NO_PART)
CONVOLUTIONS = ("Conv", "ConvTranspose")  # that have no class here
CHANNELS_LAST = (0, 3, 1, 2)  # where a convolution's batch, features, rows and columns are


@dataclass(frozen=True, slots=True)
class Equation:
    """An equation with what is known of its inputs."""

    equation: Any
    inputs: tuple[Any, ...]  # impls.with_jax.tracing.Known
    index: int  # of the output that is asked about
    source: str

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """Of an input, with the batch."""
        return tuple(self.equation.invars[index].aval.shape)

    @property
    def result(self) -> tuple[int, ...]:
        """The output's shape, with the batch."""
        return tuple(self.equation.outvars[self.index].aval.shape)

    @property
    def params(self) -> dict[str, Any]:
        """The primitive's settings."""
        found: dict[str, Any] = self.equation.params
        return found

    def is_value(self, index: int) -> bool:
        """Whether an input depends on the images."""
        return hasattr(self.inputs[index], "number")

    def is_weights(self, index: int) -> bool:
        """Whether an input depends on weights alone."""
        return hasattr(self.inputs[index], "leaves")

    def constant(self, index: int) -> Any:
        """An input's value where it is a constant that was computed, else None."""
        return getattr(self.inputs[index], "value", None)


def _layer(layer: ReadLayer) -> Meaning:
    return ("layer", layer, NO_PART)


def _conv(equation: Equation) -> Meaning:
    if not (equation.is_value(0) and equation.is_weights(1)):
        return LOOSE  # a window of ones, as some norms have it
    params, numbers = equation.params, equation.params["dimension_numbers"]
    out, _, *window = numbers.rhs_spec
    sides = equation.shape(1)
    strides = params["window_strides"]
    plain = (
        tuple(numbers.lhs_spec) == CHANNELS_LAST
        and tuple(numbers.out_spec) == CHANNELS_LAST
        and len(window) == 2
        and sides[window[0]] == sides[window[1]]
        and strides[0] == strides[1]
        and set(params["lhs_dilation"]) == set(params["rhs_dilation"]) == {1}
        and params["batch_group_count"] == 1
        and min(min(pair) for pair in params["padding"]) >= 0
    )
    if not plain:
        transposed = set(params["lhs_dilation"]) != {1}
        detail = f"kernel {[sides[side] for side in window]}, strides {list(strides)}"
        kind = CONVOLUTIONS[transposed]
        return _layer(
            Foreign(
                name=kind, kind=kind, detail=detail, output_shape=equation.result[1:], source=equation.source,
                parameters=math.prod(sides),
            )
        )  # fmt: skip
    (top, bottom), (left, right) = params["padding"]
    return _layer(
        Conv(
            name="conv", kernels=sides[out], size=sides[window[0]], stride=int(strides[0]), source=equation.source,
            padding=Padding(*map(int, (top, bottom, left, right))), groups=params["feature_group_count"],
        )
    )  # fmt: skip


def _dot(equation: Equation) -> Meaning:
    (left, right), (batch_left, batch_right) = equation.params["dimension_numbers"]
    if not (equation.is_value(0) and equation.is_weights(1)) or batch_left or batch_right:
        return LOOSE
    rows, columns = equation.shape(0), equation.shape(1)
    # All but the batch is summed over, in one order: DenseGeneral over (H, W, C) is the dense layer after a flattening.
    if tuple(left) != tuple(range(1, len(rows))) or len(columns) != len(right) + 1:
        return LOOSE
    if len(right) > 1 and tuple(right) != tuple(range(len(right))):
        return LOOSE
    units = math.prod(columns) // math.prod(columns[side] for side in right)
    return _layer(Dense(name="fc", units=units, source=equation.source))


def _max_pool(equation: Equation) -> Meaning:
    params = equation.params
    window, strides, padding = params["window_dimensions"], params["window_strides"], params["padding"]
    plain = (
        len(window) == 4
        and window[0] == window[3] == strides[0] == strides[3] == 1
        and tuple(padding[0]) == tuple(padding[3]) == (0, 0)
        and set(params["base_dilation"]) == set(params["window_dilation"]) == {1}
        and window[1] == window[2]
        and strides[1] == strides[2]
        and min(min(pair) for pair in padding) >= 0
    )
    if not plain:
        return LOOSE
    (top, bottom), (left, right) = padding[1], padding[2]
    around = Padding(*map(int, (top, bottom, left, right)))
    return _layer(
        MaxPool(name="pool", size=int(window[1]), stride=int(strides[1]), padding=around, source=equation.source)
    )


def _reshape(equation: Equation) -> Meaning:
    """Flattening passes on what is there. Raises WrongSize where it changes the number of images."""
    before, after = equation.shape(), equation.result
    if len(after) == 2 and len(before) in (2, 4):
        if after[0] != before[0]:
            raise WrongSize(f"reshape makes {list(after)} of {list(before)}: it changes the number of images")
        return PASS
    ones = [side for side in before if side != 1] == [side for side in after if side != 1]
    return PASS if ones and before[0] == after[0] else LOOSE


def _pass(_: Equation) -> Meaning:
    return PASS


def _concatenate(equation: Equation) -> Meaning:
    all_values = all(equation.is_value(index) for index in range(len(equation.inputs)))
    if equation.params["dimension"] == len(equation.result) - 1 and all_values:
        return ("join", None, NO_PART)
    return LOOSE


def _slice(equation: Equation) -> Meaning:
    shape = equation.shape()
    starts, stops = equation.params["start_indices"], equation.params["limit_indices"]
    whole = all(start == 0 and stop == side for start, stop, side in zip(starts, stops, shape, strict=True))
    if whole:
        return PASS
    others = all(start == 0 and stop == side for start, stop, side in list(zip(starts, stops, shape, strict=True))[:-1])
    if not others or set(equation.params["strides"] or (1,)) != {1}:
        return LOOSE
    return ("part", None, (starts[-1], stops[-1], shape[-1]))


def _split(equation: Equation) -> Meaning:
    shape, sizes = equation.shape(), equation.params["sizes"]
    if equation.params["axis"] != len(shape) - 1:
        return LOOSE
    start = sum(sizes[: equation.index])
    return ("part", None, (start, start + sizes[equation.index], shape[-1]))


def _pad(equation: Equation) -> Meaning:
    config, value = equation.params["padding_config"], equation.constant(1)
    if len(config) != 4 or value is None or any(inner for _, _, inner in config):
        return LOOSE
    if any(config[side] != (0, 0, 0) for side in (0, 3)) or min(min(low, high) for low, high, _ in config) < 0:
        return LOOSE
    (top, bottom, _), (left, right, _) = config[1], config[2]
    detail = f"{float(value):g} around: top {top}, bottom {bottom}, left {left}, right {right}"
    padding = Padding(*map(int, (top, bottom, left, right)))
    return _layer(Pad(name="pad", detail=detail, padding=padding, value=float(value), output_shape=equation.result[1:]))


def _select(equation: Equation) -> Meaning:
    """A choice between zeros and the value by a random mask is dropout, so far without a factor."""
    mask = equation.constant(0)
    if mask is None or not equation.inputs[0].random or len(equation.inputs) != 3 or not equation.is_value(2):
        return LOOSE
    zeros = equation.constant(1)
    if zeros is None or np.any(np.asarray(zeros)):
        return LOOSE
    return _dropout(equation, np.asarray(mask), getattr(equation.inputs[0], "keep", None))


def _multiply(equation: Equation) -> Meaning:
    """A product with a mask of zeros and one other number."""
    for index in (0, 1):
        mask = equation.constant(index)
        if mask is not None and equation.inputs[index].random and equation.is_value(1 - index) and np.ndim(mask) > 1:
            found = np.unique(np.asarray(mask, np.float32))
            if len(found) == 2 and found[0] == 0 and found[1] >= 1:
                keep = getattr(equation.inputs[index], "keep", None) or (1 / float(found[1]) if found[1] > 1 else None)
                return _dropout(equation, np.asarray(mask) != 0, keep, float(found[1]))
    return LOOSE


def _dropout(equation: Equation, mask: Any, keep: float | None, factor: float = 1.0) -> Meaning:
    kept = float(np.mean(mask))
    if kept == 1:
        return PASS
    rate = float(f"{1 - keep:.6g}") if keep is not None else round(20 * (1 - kept)) / 20
    scaling = DropoutScaling.AT_TEST if factor == 1 else DropoutScaling.IN_TRAINING
    return _layer(Dropout(name="drop", rate=rate, scaling=scaling, source=equation.source))


def meaning(equation: Equation) -> Meaning:
    """What an equation amounts to; no layer where it has settings that nobody here thought of. Raises WrongSize."""
    handler = HANDLERS.get(equation.equation.primitive.name)
    try:
        return LOOSE if handler is None else handler(equation)
    except WrongSize:
        raise
    except Exception:
        return LOOSE


HANDLERS: dict[str, Callable[[Equation], Meaning]] = {
    "conv_general_dilated": _conv,
    "dot_general": _dot,
    "reduce_window_max": _max_pool,
    "reshape": _reshape,
    "squeeze": _reshape,
    "concatenate": _concatenate,
    "slice": _slice,
    "split": _split,
    "pad": _pad,
    "select_n": _select,
    "mul": _multiply,
    **dict.fromkeys(("convert_element_type", "copy", "copy_p", "stop_gradient", "sharding_constraint"), _pass),
}
