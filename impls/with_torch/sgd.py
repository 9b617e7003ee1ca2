"""The weight update in the paper's form, in place."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from impls.protocol import UpdateRule
from impls.with_torch.operators import Tensor


def update(
    tensors: Mapping[str, Tensor],
    velocity: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    rule: UpdateRule,
) -> None:
    """v <- momentum v - rate (gradient + decay w); w <- w + v. In place: torch.optim.SGD keeps the rate outside v.

    References:
        paper, section 5
    """
    with torch.no_grad():
        for name, tensor in tensors.items():
            v = velocity[name]
            v.mul_(rule.momentum).sub_(gradients[name], alpha=rule.learning_rate)
            if rule.decay_biases or not name.endswith("/bias"):
                v.sub_(tensor, alpha=rule.learning_rate * rule.weight_decay)
            tensor.add_(v)
