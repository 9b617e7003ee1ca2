"""Training steps with the paper's update (section 5): v <- m v - wd * lr * w - lr * g, w <- w + v."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from impls.oracle import network as whole
from impls.oracle.network import GradientResult
from impls.oracle.product import Array, Tensor, blocks
from impls.oracle.rounding import Precision
from impls.protocol import Batch, UpdateRule
from impls.spec import Network

CACHED = 1 << 15  # elements: a block and its temporaries stay in the second-level cache, which halves the time

OnStep = Callable[[int, GradientResult], None]


class TrainResult(NamedTuple):
    """Where training arrived."""

    losses: list[float]  # of each step, before its update
    weights: dict[str, Array]
    velocity: dict[str, Array]


def train(
    network: Network,
    weights: Mapping[str, Array],
    steps: Sequence[tuple[Batch, UpdateRule]],
    dtype: DTypeLike = np.float64,
    precision: Precision | None = None,
    on_step: OnStep | None = None,
) -> TrainResult:
    """Run SGD from `weights` and zero velocity, all in `dtype`; the given weights are left as they are.

    With a precision the passes are rounded to it, the update is not. `on_step` gets each step's number and gradients
    before its update.
    """
    present = {name: np.array(weight, dtype) for name, weight in weights.items()}
    velocity = {name: np.zeros_like(weight) for name, weight in present.items()}
    losses: list[float] = []
    for number, (batch, rule) in enumerate(steps):
        step = whole.gradients(network, present, batch, dtype, precision)
        losses.append(step.loss)
        if on_step is not None:
            on_step(number, step)
        for name, gradient in step.gradients.items():
            own = replace(rule, learning_rate=rule.rate(name), factors=())
            update(present[name], velocity[name], gradient, own, rule.decay(name))
    return TrainResult(losses, present, velocity)


def update(weight: Array, velocity: Array, gradient: Tensor, rule: UpdateRule, weight_decay: float) -> None:
    """One update in place, in the weight's dtype, block by block: a dense gradient never exists whole.

    By the rule's learning rate as it is: a tensor with a factor of its own gets a rule of its own.
    """
    for rows, block in blocks(gradient, CACHED):
        moving = velocity[rows]
        moving *= rule.momentum
        moving -= (weight_decay * rule.learning_rate) * weight[rows]
        moving -= rule.learning_rate * block
        weight[rows] += moving
