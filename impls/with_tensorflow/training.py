"""A network at work: activations, loss and gradients, and SGD in the paper's form."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from impls.protocol import Array, Arrays, Batch, Phase, UpdateRule
from impls.spec import Network
from impls.with_tensorflow.arrays import Numerics, activation_in, activation_out, parameter_out
from impls.with_tensorflow.loop import TensorFlowLoop
from impls.with_tensorflow.network import TensorFlowNetwork
from impls.with_tensorflow.operators import Tensor, table_of
from impls.with_tensorflow.sgd import loss_and_gradients, rates_of, train_step, zero_velocity
from impls.with_tensorflow.tuning import Tuning


class TensorFlowImplementation:
    """`impls.protocol.Implementation` for TensorFlow, run as graphs: one trace per shape of batch."""

    def __init__(self, network: Network, weights: Mapping[str, Array], numerics: Numerics, tuning: Tuning) -> None:
        self._numerics = numerics
        self._module = TensorFlowNetwork(network, weights, numerics, table_of(tuning, numerics))
        # over the module and not over self: a cycle would keep the weights until the garbage collector comes by
        self._outputs, self._loss_and_gradients, self._step = (
            tf.function(
                functools.partial(function, self._module, numerics.device),
                autograph=False,
                jit_compile=self._module.table.xla or None,
            )
            for function in (_outputs, loss_and_gradients, train_step)
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
        velocity = zero_velocity(self._module, self._numerics.device)
        for batch, rule in steps:
            self._numerics.enforce()
            yield float(self._step(*self._batch_in(batch), velocity, rates_of(rule, self._module.tensors)))

    def weights(self) -> Arrays:
        """A copy of the present weights, canonical names and layouts, float32."""
        return {name: tensor.numpy() for name, tensor in self._module.tensors.items()}

    def loop(self, phase: Phase, rule: UpdateRule) -> TensorFlowLoop:
        """A phase to be timed, over this implementation's own weights."""
        return TensorFlowLoop(self._module, self._numerics, phase, rule)

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
