"""One tensor against its float64 reference: error statistics, block by block, in bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.oracle.gauges import Gauge, c
from impls.oracle.product import OuterProduct, Tensor, blocks
from impls.oracle.rounding import Precision
from impls.protocol import Array

BLOCK = 1 << 16  # elements; a block and its temporaries stay in the second-level cache
SIGMAS = 8.0  # an accumulated error may reach this many predicted standard deviations, element by element
NO_GAUGE = math.nan


@dataclass(frozen=True, slots=True)
class Expected:
    """What a tensor should be, and how far from it float32 (or the precision at hand) may be.

    value: the float64 reference. gauge: the same sum over absolute values, for a single operator. sigma: the predicted
    standard deviation of the error of each element, for results that accumulate over layers. baseline_rms: the rms
    error of the same computation in plain float32 NumPy. floor_rms: the rms error that plain sequential sums would
    make. allowance_rms: what decisions float32 cannot make (a ReLU's input within rounding of 0) may add.
    """

    value: Tensor
    exact: bool = False
    gauge: Gauge | None = None
    sigma: Array | None = None
    baseline_rms: float | None = None
    floor_rms: float = 0.0
    allowance_rms: float = 0.0
    multiple: float = 2.0  # times the baseline (or the floor, where that is larger)
    may_be_zero: bool = False  # a tensor that is all zeros is no evidence, unless that is its point

    @property
    def yardstick_rms(self) -> float | None:
        """The baseline's error or the floor, the larger, plus the allowance; None where neither applies."""
        if self.baseline_rms is None:
            return None
        return max(self.baseline_rms, self.floor_rms) + self.allowance_rms


@dataclass(slots=True)
class Errors:
    """What was measured; every figure is over all elements."""

    elements: int = 0
    finite: int = 0
    max_abs_error: float = 0.0
    sum_squares: float = 0.0
    reference_squares: float = 0.0
    limit_squares: float = 0.0
    max_ulp: float = 0.0
    gauge_ratio: float = NO_GAUGE
    zeros: int = 0
    mismatched_nonfinite: int = 0

    @property
    def rms_error(self) -> float:
        """Root mean square error over the finite elements."""
        return math.sqrt(self.sum_squares / max(1, self.finite))

    @property
    def reference_rms(self) -> float:
        """Root mean square of the reference."""
        return math.sqrt(self.reference_squares / max(1, self.finite))


def measure(actual: Array, expected: Expected, precision: Precision) -> Errors:
    """Errors of `actual`, which must have the reference's shape."""
    errors = Errors(elements=int(expected.value.size))
    if expected.gauge is not None or expected.sigma is not None:
        errors.gauge_ratio = 0.0
    limits = _limits(expected, precision)
    for (rows, reference), limit in zip(blocks(expected.value, BLOCK), limits, strict=True):
        _add_block(errors, np.asarray(actual).reshape(expected.value.shape or (1,))[rows], reference, limit, precision)
    return errors


def _limits(expected: Expected, precision: Precision) -> Any:
    """The element-wise limit of each block, or None for each where there is none."""
    if expected.gauge is not None:
        terms = expected.gauge.terms
        factor = c(terms) * precision.unit
        return (scale * factor + terms * precision.smallest for _, scale in blocks(expected.gauge.scale, BLOCK))
    if expected.sigma is not None:
        return (SIGMAS * sigma + precision.smallest for _, sigma in blocks(expected.sigma, BLOCK))
    return (None for _ in blocks(expected.value, BLOCK))


def _add_block(errors: Errors, found: Array, reference: Array, limit: Array | None, precision: Precision) -> None:
    with np.errstate(invalid="ignore"):  # infinity less infinity
        difference = np.abs(found - reference)
    total = sum_of_squares(difference)
    if not math.isfinite(total):
        keep = np.isfinite(found) & np.isfinite(reference)
        same = (np.isnan(found) & np.isnan(reference)) | (found == reference)
        errors.mismatched_nonfinite += int(np.sum(~keep & ~same))
        difference, reference = difference[keep], reference[keep]
        limit = limit[keep] if limit is not None else None
        total = sum_of_squares(difference)
    if not difference.size:
        return
    errors.finite += difference.size
    errors.sum_squares += total
    errors.reference_squares += sum_of_squares(reference)
    errors.zeros += int(difference.size - np.count_nonzero(reference))
    errors.max_abs_error = max(errors.max_abs_error, float(difference.max()))
    errors.max_ulp = max(errors.max_ulp, _largest_ulp(difference, reference, precision))
    if limit is not None:
        ratio = float(np.max(difference / limit))
        errors.gauge_ratio = math.inf if math.isnan(ratio) else max(errors.gauge_ratio, ratio)


def _largest_ulp(difference: Array, reference: Array, precision: Precision) -> float:
    """The largest error in units in the last place of the precision, over the elements whose reference is not zero."""
    exponent = reference.astype(np.float32).view(np.uint32) & np.uint32(0x7F800000)
    ulp = exponent.view(np.float32) * np.float32(2 * precision.unit)
    ratio = np.divide(difference.astype(np.float32), ulp, out=np.zeros(ulp.shape, np.float32), where=ulp > 0)
    return float(ratio.max())


def sum_of_squares(x: Array) -> float:
    """In float64. Not by BLAS, whose threads cost more than a block of this size takes."""
    flat = x.reshape(-1).astype(np.float64, copy=False)
    return float(np.einsum("i,i->", flat, flat))


def rms_difference(a: Tensor, b: Tensor) -> float:
    """Root mean square of a - b over the elements finite in both."""
    total, count = 0.0, 0
    for (_, left), (_, right) in zip(blocks(a, BLOCK), blocks(b, BLOCK), strict=True):
        difference = left.astype(np.float64) - right
        squares = sum_of_squares(difference)
        if not math.isfinite(squares):
            difference = difference[np.isfinite(difference)]
            squares = sum_of_squares(difference)
        total, count = total + squares, count + difference.size
    return math.sqrt(total / max(1, count))


def rms(x: Tensor) -> float:
    """Root mean square of the finite elements."""
    if isinstance(x, OuterProduct) and x.rounding is None:
        return math.sqrt(max(0.0, x.sum_of_squares()) / max(1, x.size))
    total, count = 0.0, 0
    for _, block in blocks(x, BLOCK):
        finite = block[np.isfinite(block)]
        total, count = total + sum_of_squares(finite), count + finite.size
    return math.sqrt(total / max(1, count))


def count_differing(a: NDArray[Any], b: NDArray[Any]) -> int:
    """Number of elements that differ."""
    return int(np.count_nonzero(a != b))
