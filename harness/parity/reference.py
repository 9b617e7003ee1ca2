"""What each level should give: the float64 reference with its gauge, its baseline in float32 NumPy and its floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.parity.cases import Case, LossCase
from harness.parity.compare import SIGMAS, Expected, rms, rms_difference
from impls.oracle import gauges, network, operators, propagation, sgd
from impls.oracle.network import GradientResult
from impls.oracle.product import Tensor
from impls.oracle.rounding import Precision
from impls.protocol import Array, Arrays, Batch, UpdateRule
from impls.spec import Conv, Dense, Layer, Network

TWIN_MULTIPLE = 8.0  # training may drift this many times as far as a float32 run started one ulp away


def expected_layer(case: Case, precision: Precision) -> dict[str, Expected]:
    """y, and where the case has a dy the gradients: dx, weight, bias."""
    x, parameters = case.x.astype(np.float64), case.parameters
    y = operators.forward(case.layer, x, parameters, case.mask)
    gauge = gauges.forward(case.layer, x, parameters, case.mask)
    low_x, low_parameters = _as_stored(case, precision)
    low_y = precision.round(operators.forward(case.layer, low_x, low_parameters, case.mask))
    found = {"y": _expected(case, y, low_y, gauge, precision)}
    if case.dy is None:
        return found
    dy = case.dy.astype(np.float64)
    exact = operators.vjp(case.layer, x, parameters, dy, case.mask)
    scales = gauges.vjp(case.layer, x, parameters, dy, case.mask)
    low = operators.vjp(case.layer, low_x, low_parameters, _operand(case.layer, case.dy, precision), case.mask)
    found["dx"] = _expected(case, exact.dx, precision.round(low.dx), scales["dx"], precision)
    for name, gradient in exact.dparameters.items():
        found[name] = _expected(case, gradient, low.dparameters[name], scales[name], precision)
    return found


def _operand(layer: Layer, x: Array, precision: Precision) -> Array:
    return precision.operand(x) if isinstance(layer, Conv | Dense) else precision.round(x)


def _as_stored(case: Case, precision: Precision) -> tuple[Array, Arrays]:
    """Input and parameters in float32, rounded as the precision takes them."""
    parameters = {name: _operand(case.layer, value, precision) for name, value in case.parameters.items()}
    return _operand(case.layer, case.x, precision), parameters


def _expected(case: Case, value: Tensor, baseline: Tensor, gauge: gauges.Gauge, precision: Precision) -> Expected:
    unit = gauges.unit(case.layer, precision)
    if unit != precision.unit:  # tf32: operands are rounded more coarsely than results
        gauge = replace(gauge, scale=_scaled(gauge.scale, unit / precision.unit))
    return Expected(
        value,
        exact=case.exact,
        gauge=gauge,
        baseline_rms=rms_difference(baseline, value),
        # A framework may keep its sums in the precision itself: TensorFlow and XLA do where they sum a bias' gradient.
        floor_rms=gauge.spread_rms * precision.unit + rms(value) * precision.unit,
    )


def _scaled(scale: Tensor, factor: float) -> Tensor:
    return np.asarray(scale) * factor


def expected_loss(case: LossCase, precision: Precision) -> dict[str, Expected]:
    """The loss [1] and its gradient by the logits: computed in float32, the gradient stored as the precision does."""
    loss, dlogits = operators.cross_entropy(case.logits.astype(np.float64), case.labels)
    loss_gauge, gradient_gauge = gauges.cross_entropy(case.logits, case.labels)
    low_loss, low_dlogits = operators.cross_entropy(case.logits, case.labels)

    def made(value: Array, baseline: Array, gauge: gauges.Gauge) -> Expected:
        floor = gauge.spread_rms * precision.unit_accumulate
        return Expected(value, gauge=gauge, baseline_rms=rms_difference(baseline, value), floor_rms=floor)

    scalar = replace(loss_gauge, scale=np.atleast_1d(np.asarray(loss_gauge.scale)))
    return {
        "loss": made(np.atleast_1d(np.float64(loss)), np.atleast_1d(np.float32(low_loss)), scalar),
        "dlogits": made(dlogits, precision.round(low_dlogits.astype(np.float32)), gradient_gauge),
    }


@dataclass(frozen=True)
class Forward:
    """A forward pass: what every activation should be."""

    network: Network
    images: Array
    activations: Arrays
    expected: dict[str, Expected]


def forward(net: Network, weights: Mapping[str, Array], images: Array, precision: Precision) -> Forward:
    """Test-time activations of every layer, with the accumulated error predicted beside them."""
    activations = network.forward(net, weights, images)
    sigma = propagation.deviations(net, weights, images, activations, precision)
    low = network.forward(net, weights, images, dtype=np.float32, precision=precision)
    expected = {
        name: Expected(
            value,
            sigma=sigma[name],
            baseline_rms=rms_difference(low[name], value),
            floor_rms=rms(sigma[name]),
        )
        for name, value in activations.items()
    }
    return Forward(net, images, activations, expected)


@dataclass(frozen=True)
class Gradient:
    """A training-mode pass and its gradients."""

    network: Network
    batch: Batch
    result: GradientResult
    sigma: Arrays
    expected: dict[str, Expected]  # "loss" and every canonical tensor


def gradient(net: Network, weights: Mapping[str, Array], batch: Batch, precision: Precision) -> Gradient:
    """Loss and gradients.

    The errors of a gradient's elements are not independent: an error of one logit moves all of them. So its rms is one
    draw, not an average, NumPy's as well as a framework's, and the floor is such that a result may lie SIGMAS predicted
    deviations out, as in the forward pass. Predicted is the largest relative error of any activation.
    """
    result = network.gradients(net, weights, batch)
    sigma = propagation.deviations(net, weights, batch.images, result.activations, precision, batch.masks)
    low = network.gradients(net, weights, batch, dtype=np.float32, precision=precision)
    # In low precision the predicted error is that of storing every result: many small ones, which average out better.
    deviations_out = SIGMAS / 2 if precision.unit <= precision.unit_accumulate else SIGMAS / 4
    relative = deviations_out * max(
        rms(sigma[name]) / (rms(value) or 1.0) for name, value in result.activations.items()
    )
    expected = {
        name: Expected(value, baseline_rms=rms_difference(low.gradients[name], value), floor_rms=relative * rms(value))
        for name, value in result.gradients.items()
    }
    loss = np.atleast_1d(np.float64(result.loss))
    expected["loss"] = Expected(
        loss,
        baseline_rms=abs(low.loss - result.loss),
        floor_rms=SIGMAS / 2 * rms(sigma[net.logits]) + abs(result.loss) * 2.0**-24,
        may_be_zero=True,
    )
    return Gradient(net, batch, result, sigma, expected)


@dataclass(frozen=True)
class Pass:
    """What is kept of one training step's pass, to see where an implementation decided otherwise: float32 copies."""

    batch: Batch
    activations: Arrays
    upstream: Arrays
    gradients: dict[str, Tensor]  # of the tensors that `Training.followed` names


@dataclass(frozen=True)
class Training:
    """A trajectory: losses and final weights."""

    network: Network
    steps: Sequence[tuple[Batch, UpdateRule]]
    passes: Sequence[Pass]
    sigma: Arrays
    followed: tuple[str, ...]  # small weight tensors whose gradients are kept to tell one update rule from another
    moved_rms: dict[str, float]  # how far each tensor moved from its start
    expected: dict[str, Expected]  # "losses" and every canonical tensor


def training(
    net: Network, weights: Mapping[str, Array], steps: Sequence[tuple[Batch, UpdateRule]], precision: Precision
) -> Training:
    """SGD in float64, and as yardstick the same in float32 from weights one unit in the last place away."""
    passes: list[Pass] = []
    # The first layer hardly moves, and shows the decay; the classifier moves most, and shows the gradient's share.
    followed = tuple(dict.fromkeys((next(iter(weights)), f"{net.logits}/weight")))

    def keep(index: int, result: GradientResult) -> None:
        narrow = (_narrow(result.activations), _narrow(result.upstream))
        passes.append(Pass(steps[index][0], *narrow, {name: result.gradients[name] for name in followed}))

    losses, final, velocity = sgd.train(net, weights, steps, on_step=keep)
    velocity.clear()  # half a gigabyte for the paper's network
    batch = steps[0][0]
    sigma = propagation.deviations(net, weights, batch.images, passes[0].activations, precision, batch.masks)
    twin_losses, twin, velocity = sgd.train(net, _one_ulp_away(weights), steps, dtype=np.float32, precision=precision)
    velocity.clear()
    moved = {name: rms_difference(weights[name], value) for name, value in final.items()}
    expected = {
        name: Expected(
            value,
            baseline_rms=rms_difference(twin[name], value),
            floor_rms=rms(value) * 2.0**-24,
            multiple=TWIN_MULTIPLE,
        )
        for name, value in final.items()
    }
    exact_losses = np.array(losses)
    expected["losses"] = Expected(
        exact_losses,
        baseline_rms=rms_difference(np.array(twin_losses), exact_losses),
        floor_rms=rms(sigma[net.logits]) + rms(exact_losses) * 2.0**-24,
        multiple=TWIN_MULTIPLE,
    )
    return Training(net, steps, passes, sigma, followed, moved, expected)


def _narrow(arrays: Mapping[str, Array]) -> Arrays:
    return {name: value.astype(np.float32) for name, value in arrays.items()}


def _one_ulp_away(weights: Mapping[str, Array]) -> Arrays:
    """Every weight moved to a neighbouring float32, up and down in turn."""
    moved: Arrays = {}
    for name, value in weights.items():
        bits = np.array(value, dtype=np.float32).reshape(-1).view(np.int32)
        bits[::2] += 1
        bits[1::2] += np.where(bits[1::2] & 0x7FFFFFFF, -1, 1).astype(np.int32)  # below 0 there is no smaller size
        moved[name] = bits.view(np.float32).reshape(value.shape)
    return moved
