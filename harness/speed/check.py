"""Parity before a figure: what the very program that is timed left after one step, against float64.

The batch is two photographs again and again up to the batch's size (one, where the size is odd), masks likewise: its
mean loss and the gradients are those of the two, exactly in real arithmetic, so that the reference costs two images
whatever the batch. A choice of a ReLU or a max-pool that rounding may turn is excused by its probability, since the
timed program does not show its activations: the few of float32 are a matter of chance that the baseline's one draw may
miss, the many of a low precision are in the baseline already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.parity import decisions, reference
from harness.parity.compare import Expected, rms
from harness.parity.verdict import Judgement, judge
from impls.derive import facts
from impls.oracle.product import Array
from impls.oracle.rounding import Precision
from impls.protocol import Batch, UpdateRule
from impls.spec import Dropout, MaxPool, Network, ReLU

# The first step lowers the loss by so much of itself, to first order. At this rate hundreds of steps on one batch, with
# momentum 0.9, stay finite and keep moving.
STEP_SHARE = 0.01
WEIGHT_DECAY = 0.0005
MOMENTUM = 0.9
MOST_UPDATE_ULP = 2.0  # w + v, one rounding; two where a compiler fuses what was stored in between

CERTAIN = 5.0  # a decision whose margin is so many predicted errors wide is not turned by rounding
RARE = 3.0  # standard deviations by which more decisions may turn than in the baseline
SAME_PATCH = 1e-10  # relative: two maxima this close see the same pixels, and either gives the same gradient


@dataclass(frozen=True, slots=True)
class Check:
    """What a step must leave."""

    expected: Mapping[str, Expected]  # by the names of `Loop.result`, gradients for a train-step
    precision: Precision

    def judge(self, found: Mapping[str, Array], update_error_ulp: float | None) -> Outcome:
        """The worst verdict of all tensors, and the worst ratio of an error to its limit."""
        judged = [(name, judge(found.get(name), self._fitted(name, found), self.precision)) for name in self.expected]
        gauge = max((_ratio(judgement, self.expected[name]) for name, judgement in judged), default=math.inf)
        for name, judgement in judged:
            if judgement.verdict != "pass":
                verdict = "vacuous" if judgement.verdict == "vacuous" else "fail"
                return Outcome(verdict, f"{name}: {judgement.reason}", gauge)
        if update_error_ulp is not None and not update_error_ulp <= MOST_UPDATE_ULP:
            return Outcome(
                "fail", f"weights are not w + v: off by {update_error_ulp:.3g} units in the last place", gauge
            )
        return Outcome("pass", "", gauge)

    def _fitted(self, name: str, found: Mapping[str, Array]) -> Expected:
        """The expectation with its rows repeated as the batch repeats them."""
        expected = self.expected[name]
        if name != "logits" or name not in found or not len(expected.value):
            return expected
        times = max(1, len(found[name]) // len(expected.value))
        sigma = None if expected.sigma is None else np.tile(expected.sigma, (times, 1))
        return replace(expected, value=np.tile(np.asarray(expected.value), (times, 1)), sigma=sigma)


@dataclass(frozen=True, slots=True)
class Outcome:
    """pass, fail or vacuous; why; and the worst error over its limit."""

    verdict: str
    reason: str
    gauge: float


def _ratio(judgement: Judgement, expected: Expected) -> float:
    """Error over limit, the worse of the two tests."""
    if judgement.errors is None:
        return math.inf
    gauge = judgement.errors.gauge_ratio
    ratios = [0.0 if math.isnan(gauge) else gauge]
    if judgement.baseline_ratio is not None:
        ratios.append(judgement.baseline_ratio / expected.multiple)
    return max(ratios)


def batch_of(network: Network, views: Array, seed: int) -> Batch:
    """Photographs [b, H, W, C] with random labels and masks."""
    rng = np.random.default_rng([seed, 5])
    masks = {
        row.layer.name: (rng.random((len(views), *row.input_shape)) >= row.layer.rate).astype(np.float32)
        for row in facts(network)
        if isinstance(row.layer, Dropout)
    }
    return Batch(views, rng.integers(0, network.classes, len(views)), masks)


def forward_check(network: Network, weights: Mapping[str, Array], batch: Batch, precision: Precision) -> Check:
    """Logits as at test time."""
    wanted = reference.forward(network, weights, batch.images, precision)
    return Check({"logits": wanted.expected[network.logits]}, precision)


def gradient_check(network: Network, wanted: reference.Gradient, precision: Precision) -> Check:
    """Loss and every gradient."""
    allowed = decisions.allowance(network, likely_turned(network, wanted))
    expected: dict[str, Expected] = {"loss": wanted.expected["loss"]}
    for name, value in wanted.expected.items():
        if name != "loss":
            share = allowed.get(name.split("/")[0], 0.0)
            expected[f"gradient/{name}"] = replace(value, allowance_rms=share * rms(value.value) / value.multiple)
    return Check(expected, precision)


def likely_turned(network: Network, wanted: reference.Gradient) -> list[decisions.Turned]:
    """For each deciding layer the share of the gradient that decisions turned by rounding may take with them."""
    found: list[decisions.Turned] = []
    result = wanted.result
    x, name_before = np.asarray(wanted.batch.images, np.float64), ""
    for layer in network.layers:
        sigma, upstream = wanted.sigma.get(name_before), result.upstream.get(layer.name)
        if sigma is not None and upstream is not None and isinstance(layer, ReLU | MaxPool):
            margin, error = _margins(layer, x, sigma)
            share = _share(margin, error, upstream)
            found.append(decisions.Turned(layer.name, 0, 0, share))
        x, name_before = result.activations[layer.name], layer.name
    return found


def _margins(layer: ReLU | MaxPool, x: Array, sigma: Array) -> tuple[Array, Array]:
    """By how much each decision is taken, and the predicted error of that."""
    if isinstance(layer, ReLU):
        return np.abs(x), sigma
    values = decisions.windows(layer, x)
    two = np.partition(values, values.shape[-1] - 2, axis=-1)[..., -2:]
    with np.errstate(invalid="ignore"):
        margin = two[..., 1] - two[..., 0]
    harmless = (two[..., 1] == 0) | (margin < SAME_PATCH * np.abs(two[..., 1]))  # zeros of a ReLU pass nothing on
    margin = np.where(harmless | ~np.isfinite(margin), np.inf, margin)
    return margin, math.sqrt(2) * decisions.windows(layer, sigma).max(-1)


def _share(margin: Array, error: Array, upstream: Array) -> float:
    """Of the rms gradient: what chance may add where so few decisions turn that they do not average out."""
    close = margin <= CERTAIN * error
    if not close.any():
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(margin[close] == 0, 0.0, margin[close] / error[close])
    probability = np.exp(-distance)
    squares = np.square(upstream[close], dtype=np.float64)
    total = float(np.sum(np.square(upstream, dtype=np.float64)))
    through = RARE * math.sqrt(float(probability @ squares**2))
    return math.sqrt(through / total) if total else 0.0


def rule_for(wanted: reference.Gradient | None) -> UpdateRule:
    """The rate of the timed steps: a power of two, so that the update can be divided by it exactly."""
    if wanted is None:
        return UpdateRule(2.0**-10, MOMENTUM, WEIGHT_DECAY)
    squares = sum(rms(gradient) ** 2 * gradient.size for gradient in wanted.result.gradients.values())
    rate = STEP_SHARE * abs(wanted.result.loss) / (squares or 1.0)
    return UpdateRule(2.0 ** math.floor(math.log2(min(max(rate, 2.0**-40), 1.0))), MOMENTUM, WEIGHT_DECAY)


def rule_json(rule: UpdateRule) -> dict[str, Any]:
    """As a task carries it."""
    return {name: getattr(rule, name) for name in UpdateRule.__dataclass_fields__}
