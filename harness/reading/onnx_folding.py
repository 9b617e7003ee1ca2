"""Small constants that an ONNX graph computes: the shapes and pads that exporters spell out node by node.

Everything is bounded: no operand and no result has more than `SMALL` elements, and what does not fit is not computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.reading.onnx_constants import SMALL, TYPES

Values = NDArray[Any]


def folded(kind: str, inputs: list[Values | None], attributes: dict[str, Any]) -> Values | None:
    """A node's output where it follows from these constants, else None. An input left out is None."""
    if kind not in _FOLDS or not inputs or inputs[0] is None:
        return None
    try:
        found = np.asarray(_FOLDS[kind](inputs, attributes))
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, AttributeError):
        return None
    return found if found.size <= SMALL else None


def _numbers(inputs: list[Values | None], attributes: dict[str, Any], place: int, name: str) -> list[int] | None:
    """Whole numbers that newer operator sets have as an input and older ones as an attribute."""
    if place < len(inputs) and (given := inputs[place]) is not None:
        return [int(number) for number in given.reshape(-1)]
    return attributes.get(name)


def _given(inputs: list[Values | None]) -> list[Values]:
    if any(value is None for value in inputs):
        raise ValueError("an input is not known")
    return [value for value in inputs if value is not None]


def _of_shape(inputs: list[Values | None], attributes: dict[str, Any]) -> Values:
    (sides,) = _given(inputs)
    shape = [int(side) for side in sides.reshape(-1)]
    count = 1
    for side in shape:
        count *= side
    if not 0 <= count <= SMALL or min(shape, default=0) < 0:
        raise ValueError("too large")
    value = attributes.get("value")
    if value is not None and value.elements != 1:
        raise ValueError("not one value")
    return np.full(shape, np.float32(0) if value is None else value.read().reshape(-1)[0])


def _sliced(inputs: list[Values | None], attributes: dict[str, Any]) -> Values:
    data = _given(inputs[:1])[0]
    starts, ends = _numbers(inputs, attributes, 1, "starts"), _numbers(inputs, attributes, 2, "ends")
    if starts is None or ends is None:
        raise ValueError("no bounds")
    axes = _numbers(inputs, attributes, 3, "axes") or list(range(len(starts)))
    steps = _numbers(inputs, attributes, 4, "steps") or [1] * len(starts)
    cuts = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # Backwards, an end before the first element is far below 0 in ONNX and nothing at all in Python.
        cuts[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return data[tuple(cuts)]


def _taken(inputs: list[Values | None], attributes: dict[str, Any]) -> Values:
    data, indices = _given(inputs)
    if data.size * max(indices.size, 1) > SMALL * 16:
        raise ValueError("too large")
    return np.take(data, indices.astype(np.int64), attributes.get("axis", 0))


def _joined(inputs: list[Values | None], attributes: dict[str, Any]) -> Values:
    parts = _given(inputs)
    if sum(part.size for part in parts) > SMALL:  # one part may be named thousands of times
        raise ValueError("too large")
    return np.concatenate(parts, attributes["axis"])


def _unsqueezed(inputs: list[Values | None], attributes: dict[str, Any]) -> Values:
    axes = _numbers(inputs, attributes, 1, "axes") or []
    return np.expand_dims(_given(inputs[:1])[0], tuple(axes))


def _squeezed(inputs: list[Values | None], attributes: dict[str, Any]) -> Values:
    axes = _numbers(inputs, attributes, 1, "axes")
    return np.squeeze(_given(inputs[:1])[0], None if axes is None else tuple(axes))


def _cast(inputs: list[Values | None], attributes: dict[str, Any]) -> Values:
    kind = TYPES[attributes["to"]]
    if kind.name == "bfloat16":
        raise ValueError("not a type of NumPy's")
    with np.errstate(all="ignore"):
        return _given(inputs)[0].astype(kind.stored)


def _together(inputs: list[Values | None], combine: Callable[[Values, Values], Values]) -> Values:
    """Two operands element by element."""
    a, b = _given(inputs)
    if math.prod(np.broadcast_shapes(a.shape, b.shape)) > SMALL:
        raise ValueError("too large")
    with np.errstate(all="ignore"):
        return combine(a, b)


_FOLDS: dict[str, Callable[[list[Values | None], dict[str, Any]], Any]] = {
    "Add": lambda inputs, _: _together(inputs, np.add),
    "Sub": lambda inputs, _: _together(inputs, np.subtract),
    "Mul": lambda inputs, _: _together(inputs, np.multiply),
    "Identity": lambda inputs, _: _given(inputs)[0],
    "Cast": _cast,
    "Reshape": lambda inputs, _: _given(inputs)[0].reshape([int(n) for n in _given(inputs)[1].reshape(-1)]),
    "Transpose": lambda inputs, attributes: _given(inputs)[0].transpose(attributes.get("perm")),
    "Concat": _joined,
    "ConstantOfShape": _of_shape,
    "Slice": _sliced,
    "Gather": _taken,
    "Unsqueeze": _unsqueezed,
    "Squeeze": _squeezed,
    "Shape": lambda inputs, _: np.array(_given(inputs)[0].shape, np.int64),
}
