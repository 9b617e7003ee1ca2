"""The weight update in the paper's form, and the training step that ends with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from impls.protocol import Array, UpdateRule
from impls.with_jax.network import Tensors, loss_and_gradients
from impls.with_jax.operators import Tensor


def rates_of(rule: UpdateRule) -> Array:
    """[4]: learning rate, momentum, decay of weights and of biases. An array: static numbers would be compiled in."""
    bias_decay = rule.weight_decay if rule.decay_biases else 0.0
    return np.array((rule.learning_rate, rule.momentum, rule.weight_decay, bias_decay), np.float32)


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
    """v <- momentum v - rate (gradient + decay w); w <- w + v. Optax keeps the rate outside v.

    References:
        paper, section 5
    """
    learning_rate, momentum, weight_decay, bias_decay = rates
    moved, kept = {}, {}
    for name, tensor in tensors.items():
        decay = bias_decay if name.endswith("/bias") else weight_decay
        kept[name] = momentum * velocity[name] - learning_rate * (gradients[name] + decay * tensor)
        moved[name] = tensor + kept[name]
    return moved, kept
