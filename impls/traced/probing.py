"""What a function without weights computes, found by trying it: ReLU, tanh, LRN, spatial norm, a factor, softmax.

Local response normalisation has no operator in JAX and had none in early PyTorch: it is composed of squares, pads,
slices, pools, band matrices and powers in as many ways as there are authors. What they compute is the same formula, so
values are asked for and not the text, and the formula that is found must reproduce them on random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impls.reading import Foreign, ReadLayer
from impls.spec import LRN, ReLU, SpatialNorm, Tanh
from impls.traced.settling import SHIFT, Scale

Array: TypeAlias = NDArray[np.float32]
Function = Callable[[Array], Array]  # [N, H, W, C] or [N, features] to the same shape, in float32

MOST_ELEMENTS = 8_000_000  # of one input: larger maps are not tried
LARGEST_WINDOW = 31
CLOSE = 2e-4  # relative; powers in float32 are good to about 1e-6 times their exponent's argument


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)), np.float32)


def _gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), np.float32)


# No layers of ours, but known by name. The exact GELU and its usual approximation differ by less than 0.0005.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "Sigmoid": _sigmoid,
    "GELU": _gelu,
    "SiLU": lambda x: x * _sigmoid(x),
    "LeakyReLU": lambda x: np.where(x > 0, x, np.float32(0.01) * x),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "ELU": lambda x: np.where(x > 0, x, np.expm1(x)),
    "Softplus": lambda x: np.logaddexp(np.float32(0), x),
    "Hardtanh": lambda x: np.clip(x, -1, 1),
    "Square": np.square,
    "Abs": np.abs,
}


def probe(function: Function, shape: tuple[int, ...]) -> ReadLayer | None:
    """The layer that `function` is on inputs of `shape`, which has the batch in front; None where it is none of ours.

    An exception of the function's own passes through.
    """
    if math.prod(shape) > MOST_ELEMENTS or len(shape) not in (2, 4):
        return None
    x = _coarse(np.random.default_rng(0).normal(0, 4, shape).astype(np.float32))
    with np.errstate(all="ignore"):
        y = np.asarray(function(x), np.float32)
        if y.shape != x.shape:
            return None
        return _elementwise(x, y) or _softmax(x, y) or (_response_norm(function, x) if x.ndim == 4 else None)


def _coarse(x: Array) -> Array:
    """With eight significant bits, so that a function in bfloat16 gets the same numbers."""
    return (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def _elementwise(x: Array, y: Array) -> ReadLayer | None:
    if _same(y, np.maximum(x, 0)):
        return ReLU(name="relu")
    if _same(y, np.tanh(x)):
        return Tanh(name="tanh")
    for kind, formula in ACTIVATIONS.items():
        if _same(y, formula(x)):
            return Foreign(name=kind, kind=kind)
    factor = float(np.vdot(x, y) / np.vdot(x, x))
    if factor and _same(y, x * np.float32(factor)):
        return Scale(name="scale", detail=f"times {factor:.5g}", factor=_digits(factor, 5))
    return None


def _softmax(x: Array, y: Array) -> ReadLayer | None:
    shifted = np.exp(x - x.max(-1, keepdims=True))
    wanted = shifted / shifted.sum(-1, keepdims=True)
    if _same(y, wanted):
        return Foreign(name="Softmax", kind="Softmax")
    if _same(y, np.log(wanted)):
        return Foreign(name="LogSoftmax", kind="LogSoftmax")
    if _same(y, x - x.max(-1, keepdims=True)):
        return Foreign(name=SHIFT, kind=SHIFT)
    return None


def _same(found: Array, wanted: Array) -> bool:
    size = float(np.abs(wanted).max())
    return bool(np.isfinite(found).all() and np.abs(found - wanted).max() <= CLOSE * max(size, 1e-30))


def _response_norm(function: Function, x: Array) -> LRN | SpatialNorm | None:
    """y = x / (k + alpha * sum x^2) ** beta: one pixel alone tells k, alpha and beta, random numbers the window."""
    place = (0, *(side // 2 for side in x.shape[1:]))
    divisors = []
    for value in (1e-3, 1e5, 1e6):
        alone = np.zeros_like(x)
        alone[place] = value
        answer = float(np.asarray(function(alone), np.float32)[place])
        if not (answer > 0 and math.isfinite(answer)):
            return None
        divisors.append(value / answer)
    beta = math.log(divisors[2] / divisors[1]) / (2 * math.log(10))
    if not 0.01 < beta < 10:
        return None
    beta = _digits(beta, 3)
    k, alpha = divisors[0] ** (1 / beta), divisors[2] ** (1 / beta) / 1e12
    # Large enough that the sum outweighs k, small enough that it does not hide it.
    tried = (x * np.float32(math.sqrt(k / alpha))).astype(np.float32)
    ratio = np.asarray(function(tried), np.float32) / np.where(tried == 0, 1, tried)
    sums = np.maximum(ratio, 1e-30).astype(np.float64) ** (-1 / beta) / alpha - k / alpha
    sums, squares = sums[:1], tried[:1].astype(np.float64) ** 2
    for layer, wanted in _windows(squares):
        if np.abs(sums - wanted).max() <= 5e-3 * wanted.max():
            within = isinstance(layer, SpatialNorm)
            found_alpha = _snapped(alpha, layer.size**2 if within else layer.size)
            return replace(layer, alpha=found_alpha, beta=beta, k=_digits(k, 4))
    return None


def _windows(squares: NDArray[np.float64]) -> Iterator[tuple[LRN | SpatialNorm, NDArray[np.float64]]]:
    """Windows with their sums of `squares` [N, H, W, C]: across channels, in groups, within one map."""
    channels = squares.shape[3]
    for size in range(3, LARGEST_WINDOW + 1, 2):
        for groups in (1, 2):
            if channels % groups == 0:
                parts = np.split(squares, groups, axis=3)
                total = np.concatenate([_window_sum(part, size, 3) for part in parts], axis=3)
                yield LRN(name="norm", size=size, alpha=1, beta=1, k=1, groups=groups), total
        within = _window_sum(_window_sum(squares, size, 1), size, 2)
        yield SpatialNorm(name="cnorm", size=size, alpha=1, beta=1, k=1), within


def _window_sum(values: NDArray[np.float64], size: int, axis: int) -> NDArray[np.float64]:
    """For every place the sum over `size` places around it, clipped at the edges: differences of running sums."""
    sides = values.shape[axis]
    running = np.concatenate([np.zeros_like(values.take([0], axis)), values.cumsum(axis)], axis)
    places = np.arange(sides)
    last, first = np.minimum(places + size // 2 + 1, sides), np.maximum(places - size // 2, 0)
    total: NDArray[np.float64] = running.take(last, axis) - running.take(first, axis)
    return total


def _digits(value: float, count: int) -> float:
    return float(f"{value:.{count}g}")


def _snapped(alpha: float, window: int) -> float:
    """`alpha` as its author wrote it: a short number, or a short number over the window's size."""
    short = [(f"{alpha * over:.{digits}g}", over) for digits in (1, 2, 3) for over in (1, window)]
    for text, over in short:
        if abs(float(text) / over / alpha - 1) < CLOSE:
            return float(text) / over
    return _digits(alpha, 4)
