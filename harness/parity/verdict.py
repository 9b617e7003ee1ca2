"""A verdict that is derived, not picked: four tests, and the worst one names it.

1. Exact. Small integers, of which the precision holds every intermediate: not one bit may differ. Separates meaning
   from rounding.
2. Gauge. |found - reference| <= c(K) u G, element by element; G is the same sum over absolute values, K its length. For
   results that accumulate over layers, eight predicted standard deviations in its place.
3. Baseline. The rms error is at most twice the baseline: the error of the same computation in plain float32 NumPy, or
   the one predicted for plain sequential sums where that is larger. NumPy's own error is one draw, and may be lucky.
4. Not vacuous. NaN and infinity stand where the reference has them, enough of the reference is not zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.parity.compare import Errors, Expected, measure
from impls.oracle.rounding import Precision
from impls.protocol import Array

Verdict = Literal["pass", "fail", "vacuous", "not-observed", "error"]
LEAST_NONZERO_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one tensor, why, and what it rests on (None where nothing could be compared)."""

    verdict: Verdict
    reason: str
    errors: Errors | None = None
    baseline_ratio: float | None = None


def judge(found: Array | None, expected: Expected, precision: Precision) -> Judgement:
    """Compare a tensor with what it should be."""
    if found is None:
        return Judgement("not-observed", "the implementation did not return this tensor")
    if tuple(found.shape) != tuple(expected.value.shape):
        return Judgement("fail", f"shape {list(found.shape)}, expected {list(expected.value.shape)}")
    errors = measure(found, expected, precision)
    ratio = _baseline_ratio(errors, expected)
    failure = _failure(errors, expected, ratio)
    if failure:
        return Judgement("fail", failure, errors, ratio)
    empty = _vacuous(errors, expected)
    return Judgement("vacuous", empty, errors, ratio) if empty else Judgement("pass", "", errors, ratio)


def _baseline_ratio(errors: Errors, expected: Expected) -> float | None:
    yardstick = expected.yardstick_rms
    if yardstick is None:
        return None
    if yardstick == 0:
        return 0.0 if errors.sum_squares == 0 else float("inf")
    return errors.rms_error / yardstick


def _failure(errors: Errors, expected: Expected, ratio: float | None) -> str:
    if errors.mismatched_nonfinite:
        return (
            f"NaN or infinity differ from the reference in {errors.mismatched_nonfinite} of {errors.elements} elements"
        )
    if expected.exact:
        return f"exact test: differs by up to {errors.max_abs_error:.3g}" if errors.max_abs_error else ""
    found: list[tuple[float, str]] = []
    if errors.gauge_ratio > 1:
        found.append((errors.gauge_ratio, f"gauge: error {_times(errors.gauge_ratio)} times the rounding bound"))
    if ratio is not None and not ratio <= expected.multiple:
        found.append(
            (
                ratio / expected.multiple,
                f"baseline: rms error {_times(ratio)} times the baseline (limit {expected.multiple:g})",
            )
        )
    return max(found)[1] if found else ""


def _times(ratio: float) -> str:
    """Behind a closed ReLU no error at all is allowed, and the ratio has forty digits."""
    return f"{ratio:.3g}" if ratio < 1e6 else "over a million"


def _vacuous(errors: Errors, expected: Expected) -> str:
    if errors.elements == 0:
        return "no elements"
    nonzero = errors.finite - errors.zeros
    if not expected.may_be_zero and nonzero < LEAST_NONZERO_SHARE * np.float64(errors.elements):
        return f"only {nonzero} of {errors.elements} reference elements are finite and not zero"
    return ""
