"""One step of SGD in the paper's form: loss, gradients, update. Functions to be traced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from impls.protocol import UpdateRule
from impls.with_tensorflow.network import TensorFlowNetwork
from impls.with_tensorflow.operators import Tensor, cross_entropy
from impls.with_tensorflow.tuning import UpdateForm


def loss_and_gradients(
    module: TensorFlowNetwork, device: str, images: Tensor, labels: Tensor, masks: Mapping[str, Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Mean cross-entropy of a training-mode pass, and its gradient for each of the module's tensors in order."""
    with tf.device(device):
        with tf.GradientTape() as tape:
            loss = cross_entropy(module(images, masks), labels)
        return loss, tape.gradient(loss, list(module.tensors.values()))


def train_step(
    module: TensorFlowNetwork,
    device: str,
    images: Tensor,
    labels: Tensor,
    masks: Mapping[str, Tensor],
    velocity: Sequence[tf.Variable],
    rates: Tensor,
) -> Tensor:
    """The loss before the update, the update done."""
    loss, gradients = loss_and_gradients(module, device, images, labels, masks)
    with tf.device(device):
        update(module.tensors, velocity, gradients, rates, module.table.update)
    return loss


def zero_velocity(module: TensorFlowNetwork, device: str) -> list[tf.Variable]:
    """A velocity of zero for each of the module's tensors in order."""
    with tf.device(device):
        return [tf.Variable(tf.zeros_like(tensor)) for tensor in module.tensors.values()]


def rates_of(rule: UpdateRule, names: Iterable[str]) -> Tensor:
    """[tensors, 3]: learning rate, momentum and decay of each. A tensor: each Python number is a new trace."""
    return tf.constant([(rule.rate(name), rule.momentum, rule.decay(name)) for name in names], tf.float32)


def update(
    tensors: Mapping[str, tf.Variable],
    velocity: Sequence[tf.Variable],
    gradients: Sequence[Tensor],
    rates: Tensor,
    form: UpdateForm = "operator",
) -> None:
    """v <- momentum v - rate (gradient + decay w); w <- w + v, in place. `rates` are those of `rates_of`.

    References:
        paper, section 5
    """
    move = {"operator": _by_operator, "compiled": _by_one_loop}[form]
    for tensor, v, gradient, own in zip(tensors.values(), velocity, gradients, tf.unstack(rates), strict=True):
        move(tensor, v, gradient, *tf.unstack(own))


def _by_operator(
    tensor: tf.Variable, v: tf.Variable, gradient: Tensor, learning_rate: Tensor, momentum: Tensor, decay: Tensor
) -> None:
    """By the operator that has the rate inside v (ApplyMomentum keeps it outside)."""
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=tensor.handle, accum=v.handle, lr=learning_rate, grad=gradient + decay * tensor, momentum=momentum
    )


@tf.function(jit_compile=True, autograph=False)
def _by_one_loop(
    tensor: tf.Variable, v: tf.Variable, gradient: Tensor, learning_rate: Tensor, momentum: Tensor, decay: Tensor
) -> None:
    """Compiled by XLA: one pass over memory that reads w, v and the gradient and writes w and v."""
    v.assign(momentum * v - learning_rate * (gradient + decay * tensor))
    tensor.assign_add(v)
