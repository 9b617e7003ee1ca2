"""The likely cause of a failure: which known mistake, applied to the reference, gives what was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.parity.cases import Case
from harness.parity.compare import rms, rms_difference
from harness.parity.composed import sgd_update
from harness.parity.fault import Fault, WrongLoss, WrongUpdate
from harness.parity.faults import FAULTS
from impls.oracle import operators
from impls.oracle.product import Tensor
from impls.protocol import Array, UpdateRule, Vjp
from impls.spec import Layer

# Whose: what is compared has the mistake, and a description says what it makes of the reference.
YOURS = "yours has {}"
IN_WRONG_ORDER = "this layer and the next in the wrong order"
NEARER = 0.1  # a cause is named where it leaves at most a tenth of the difference unexplained
ROUGHLY = 0.3  # the same for the update, whose alternatives are followed along the reference's own gradients


class Reference:
    """The oracle as `impls.protocol.Operators`, in float64."""

    def forward(self, layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None = None) -> Array:
        """See the protocol."""
        return operators.forward(layer, x.astype(np.float64), parameters, mask)

    def vjp(self, layer: Layer, x: Array, parameters: Mapping[str, Array], dy: Array, mask: Array | None = None) -> Vjp:
        """See the protocol; a dense weight's gradient is made whole."""
        result = operators.vjp(layer, x.astype(np.float64), parameters, dy.astype(np.float64), mask)
        return Vjp(result.dx, {name: np.asarray(value) for name, value in result.dparameters.items()})

    def cross_entropy(self, logits: Array, labels: NDArray[np.integer]) -> tuple[float, Array]:
        """See the protocol."""
        return operators.cross_entropy(logits.astype(np.float64), labels)


def unexplained(found: Array, predicted: Array, reference: Tensor) -> float:
    """The share of the difference from the reference that the prediction leaves; infinite where shapes differ."""
    if found.shape != predicted.shape:
        return np.inf
    if found.shape != tuple(reference.shape):
        size = float(np.sqrt(np.mean(np.square(predicted)))) or 1.0
        return rms_difference(found, predicted) / size
    difference = rms_difference(found, reference)
    wrong = np.isnan(found) != np.isnan(np.asarray(reference))
    if wrong.any():
        return 0.0 if not (np.isnan(found) != np.isnan(predicted)).any() else np.inf
    return rms_difference(found, predicted) / difference if difference else np.inf


def explain_layer(case: Case, tensor: str, found: Array, reference: Tensor) -> str:
    """Which mistake a layer's tensor (y, dx, weight or bias) matches, as "yours has ..."; empty where none."""
    best, name = NEARER, ""
    for fault in FAULTS.values():
        if not fault.concerns(case.layer):
            continue
        try:
            predicted = _predicted(fault, case, tensor)
        except ValueError:
            continue  # this mistake cannot be made at this shape
        share = unexplained(found, predicted, reference)
        if share < best:
            best, name = share, fault.told(case.layer)
    return YOURS.format(name) if name else ""


def _predicted(fault: Fault, case: Case, tensor: str) -> Array:
    reference, x = Reference(), case.x.astype(np.float64)
    with np.errstate(all="ignore"):
        if tensor == "y":
            return fault.forward(reference, case.layer, x, case.parameters, case.mask)
        assert case.dy is not None
        result = fault.vjp(reference, case.layer, x, case.parameters, case.dy.astype(np.float64), case.mask)
    return result.dx if tensor == "dx" else result.dparameters[tensor]


def explain_order(first: Case, second: Layer, parameters: Mapping[str, Array], found: Array) -> str:
    """Whether a layer's output is that of this layer and the next in the other order."""
    reference = Reference()
    try:
        swapped = reference.forward(second, first.x, parameters)
        predicted = reference.forward(first.layer, swapped, first.parameters)
    except (ValueError, IndexError):
        return ""
    if predicted.shape != found.shape:
        return ""
    own = reference.forward(first.layer, first.x, first.parameters)
    close = rms_difference(found, predicted) <= 1e-3 * rms(predicted)
    return YOURS.format(IN_WRONG_ORDER) if close and unexplained(found, predicted, own) < NEARER else ""


def explain_loss(found: Mapping[str, Array], reference: Mapping[str, Tensor], batch: int) -> str:
    """Whether all gradients are one multiple of the reference's."""
    factors = [_projection(found[name], value) for name, value in reference.items() if name in found]
    if not factors:
        return ""
    factor = float(np.median(factors))
    if not max(factors) - min(factors) <= 0.1 * abs(factor - 1):  # NaN too is no common factor
        return ""
    for fault in FAULTS.values():
        if isinstance(fault, WrongLoss) and abs(fault.factor(batch) - factor) < 1e-2 * abs(factor):
            return YOURS.format(fault.description)
    return f"all gradients are {factor:.3g} times the reference's" if abs(factor - 1) > 1e-2 else ""


def _projection(found: Array, reference: Tensor) -> float:
    whole = np.asarray(reference, dtype=np.float64)
    if whole.shape != found.shape:
        return np.nan
    return float(np.vdot(whole, found.astype(np.float64)) / (np.vdot(whole, whole) or 1.0))


def explain_update(
    start: Array, found: Array, reference: Array, gradients: Sequence[Tensor], rules: Iterable[tuple[UpdateRule, float]]
) -> tuple[float, str]:
    """Which other update rule takes a tensor from `start` to what was found, along the reference's own gradients.

    rules: each step's rule and the weight decay that applies to this tensor. Returns the share of the difference that
    is left unexplained, and "yours has ..." or nothing.
    """
    steps = list(rules)
    base = _followed(sgd_update, start, gradients, steps)
    best, name = ROUGHLY, ""
    for fault in FAULTS.values():
        if isinstance(fault, WrongUpdate):
            # The shift between two rules along the same gradients, applied to the exact end point.
            predicted = reference + (_followed(fault.rule, start, gradients, steps) - base)
            share = unexplained(found, predicted, reference)
            if share < best:
                best, name = share, fault.description
    return best, YOURS.format(name) if name else ""


def _followed(rule: Any, start: Array, gradients: Sequence[Tensor], steps: Sequence[tuple[UpdateRule, float]]) -> Array:
    weight = start.astype(np.float64)
    velocity = np.zeros_like(weight)
    for gradient, (update, decay) in zip(gradients, steps, strict=True):
        rule(weight, velocity, np.asarray(gradient, dtype=np.float64), update, decay)
    return weight
