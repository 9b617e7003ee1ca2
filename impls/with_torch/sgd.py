"""The weight update in the paper's form, in place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
            v, rate, decay = velocity[name], rule.rate(name), rule.decay(name)
            v.mul_(rule.momentum).sub_(gradients[name], alpha=rate)
            if decay:
                v.sub_(tensor, alpha=rate * decay)
            tensor.add_(v)


def rates_of(rule: UpdateRule, names: Iterable[str]) -> Tensor:
    """[tensors, 3]: momentum, rate, and rate times decay. A tensor: what is compiled or captured keeps numbers."""
    rows = [(rule.momentum, rule.rate(name), rule.rate(name) * rule.decay(name)) for name in names]
    return torch.tensor(rows, dtype=torch.float32)


def update_by_rates(
    tensors: Mapping[str, Tensor],
    velocity: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    rates: Tensor,
) -> None:
    """`update`, to be compiled: each tensor one pass over memory. `rates` are those of `rates_of`, on the device."""
    with torch.no_grad():
        for index, (name, tensor) in enumerate(tensors.items()):
            v, (momentum, rate, decay) = velocity[name], rates[index]
            v.copy_(v * momentum - gradients[name] * rate - tensor * decay)
            tensor.add_(v)
