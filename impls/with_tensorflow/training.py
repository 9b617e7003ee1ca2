"""A network at work: activations, loss and gradients, and SGD in the paper's form."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from impls.protocol import Array, Arrays, Batch, UpdateRule
from impls.spec import Network
from impls.with_tensorflow.arrays import Numerics, activation_in, activation_out, parameter_out
from impls.with_tensorflow.network import TensorFlowNetwork
from impls.with_tensorflow.operators import OperatorTable, Tensor, cross_entropy


class TensorFlowImplementation:
    """`impls.protocol.Implementation` for TensorFlow, run as graphs: one trace per shape of batch."""

    def __init__(
        self, network: Network, weights: Mapping[str, Array], numerics: Numerics, table: OperatorTable
    ) -> None:
        self._numerics = numerics
        self._module = TensorFlowNetwork(network, weights, numerics, table)
        # over the module and not over self: a cycle would keep the weights until the garbage collector comes by
        self._outputs, self._loss_and_gradients, self._step = (
            tf.function(functools.partial(function, self._module, numerics.device), autograph=False)
            for function in (_outputs, _loss_and_gradients, _step)
        )

    def activations(self, images: Array, masks: Mapping[str, Array] | None = None) -> Arrays:
        """Every layer's output by layer name, canonical layouts."""
        self._numerics.enforce()
        native = None if masks is None else self._activations_in(masks)
        outputs = self._outputs(self._activation_in(images), native)
        return {layer.name: activation_out(y) for layer, y in zip(self._module.layers, outputs, strict=True)}

    def gradients(self, batch: Batch) -> tuple[float, Arrays]:
        """Mean cross-entropy of a training-mode pass, and its gradient by canonical tensor name."""
        self._numerics.enforce()
        loss, gradients = self._loss_and_gradients(*self._batch_in(batch))
        named = zip(self._module.tensors, gradients, strict=True)
        return float(loss), {name: parameter_out(gradient) for name, gradient in named}

    def train(self, steps: Sequence[tuple[Batch, UpdateRule]]) -> Iterator[float]:
        """Run SGD steps from zero velocity. A step is complete, weights included, when its loss is yielded."""
        with tf.device(self._numerics.device):
            velocity = [tf.Variable(tf.zeros_like(tensor)) for tensor in self._module.tensors.values()]
        for batch, rule in steps:
            self._numerics.enforce()
            # tensors, since a new Python number would mean a new trace
            bias_decay = rule.weight_decay if rule.decay_biases else 0.0
            rates = tf.constant((rule.learning_rate, rule.momentum, rule.weight_decay, bias_decay), tf.float32)
            yield float(self._step(*self._batch_in(batch), velocity, rates))

    def weights(self) -> Arrays:
        """A copy of the present weights, canonical names and layouts, float32."""
        return {name: tensor.numpy() for name, tensor in self._module.tensors.items()}

    def _activation_in(self, array: Array) -> Tensor:
        return activation_in(array, self._numerics)

    def _activations_in(self, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
        return {name: self._activation_in(array) for name, array in arrays.items()}

    def _batch_in(self, batch: Batch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        with tf.device(self._numerics.device):
            labels = tf.convert_to_tensor(batch.labels, dtype=tf.int64)
        return self._activation_in(batch.images), labels, self._activations_in(batch.masks)


def _outputs(
    module: TensorFlowNetwork, device: str, images: Tensor, masks: Mapping[str, Tensor] | None
) -> list[Tensor]:
    """Every layer's output, in a list: a traced function would sort a dictionary by its keys."""
    with tf.device(device):
        return [y for _, y in module.outputs(images, masks)]


def _loss_and_gradients(
    module: TensorFlowNetwork, device: str, images: Tensor, labels: Tensor, masks: Mapping[str, Tensor]
) -> tuple[Tensor, list[Tensor]]:
    with tf.device(device):
        with tf.GradientTape() as tape:
            loss = cross_entropy(module(images, masks), labels)
        return loss, tape.gradient(loss, list(module.tensors.values()))


def _step(
    module: TensorFlowNetwork,
    device: str,
    images: Tensor,
    labels: Tensor,
    masks: Mapping[str, Tensor],
    velocity: Sequence[tf.Variable],
    rates: Tensor,
) -> Tensor:
    loss, gradients = _loss_and_gradients(module, device, images, labels, masks)
    with tf.device(device):
        update(module.tensors, velocity, gradients, rates)
    return loss


def update(
    tensors: Mapping[str, tf.Variable],
    velocity: Sequence[tf.Variable],
    gradients: Sequence[Tensor],
    rates: Tensor,
) -> None:
    """v <- momentum v - rate (gradient + decay w); w <- w + v, by the operator that has the rate inside v.

    `rates` [4] holds the learning rate, the momentum and the decay of weights and of biases.

    References:
        paper, section 5; tf.raw_ops.ResourceApplyKerasMomentum (ApplyMomentum keeps the rate outside v)
    """
    learning_rate, momentum, weight_decay, bias_decay = tf.unstack(rates)
    for (name, tensor), v, gradient in zip(tensors.items(), velocity, gradients, strict=True):
        decay = bias_decay if name.endswith("/bias") else weight_decay
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=tensor.handle, accum=v.handle, lr=learning_rate, grad=gradient + decay * tensor, momentum=momentum
        )
