"""The weight update in the paper's form, and the training step that ends with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from impls.protocol import Array, UpdateRule
from impls.with_jax.network import Tensors, loss_and_gradients
from impls.with_jax.operators import Tensor


def rates_of(rule: UpdateRule, names: Iterable[str]) -> Array:
    """[tensors, 3]: learning rate, momentum and decay of each. An array: static numbers would be compiled in.

    By the tensors' sorted names, the order that a program finds them in.
    """
    return np.array([(rule.rate(name), rule.momentum, rule.decay(name)) for name in sorted(names)], np.float32)


def zero_velocity(tensors: Tensors, device: jax.Device) -> Tensors:
    """What training starts with."""
    with jax.default_device(device):
        return {name: jnp.zeros_like(tensor) for name, tensor in tensors.items()}


def training_step(
    graph: Any,
    tensors: Tensors,
    velocity: Tensors,
    rates: Tensor,
    images: Tensor,
    labels: Tensor,
    masks: Mapping[str, Tensor],
) -> tuple[Tensor, Tensors, Tensors]:
    """The loss with the given tensors, then tensors and velocity after the update."""
    loss, gradients = loss_and_gradients(graph, tensors, images, labels, masks)
    return loss, *update(tensors, velocity, gradients, rates)


def update(tensors: Tensors, velocity: Tensors, gradients: Tensors, rates: Tensor) -> tuple[Tensors, Tensors]:
    """v <- momentum v - rate (gradient + decay w); w <- w + v, `rates` those of `rates_of`. Optax: rate outside v.

    References:
        paper, section 5
    """
    moved, kept = {}, {}
    for name, (learning_rate, momentum, decay) in zip(sorted(tensors), rates, strict=True):
        tensor = tensors[name]
        kept[name] = momentum * velocity[name] - learning_rate * (gradients[name] + decay * tensor)
        moved[name] = tensor + kept[name]
    return moved, kept
