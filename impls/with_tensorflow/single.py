"""One layer at a time, NumPy in and out: the operators a parity check drives directly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from impls.protocol import Array, Vjp
from impls.spec import Layer
from impls.with_tensorflow.arrays import Numerics, activation_in, activation_out, parameter_in, parameter_out
from impls.with_tensorflow.operators import OperatorTable, Tensor, apply_layer, cross_entropy


class SingleLayers:
    """`impls.protocol.Operators` for TensorFlow, run eagerly."""

    def __init__(self, numerics: Numerics, table: OperatorTable) -> None:
        self._numerics = numerics
        self._table = table

    def forward(self, layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None = None) -> Array:
        """One layer's output, [N, ...]."""
        self._numerics.enforce()
        with tf.device(self._numerics.device):
            y = apply_layer(layer, self._activation(x), self._parameters(parameters), self._mask(mask), self._table)
        return activation_out(y)

    def vjp(self, layer: Layer, x: Array, parameters: Mapping[str, Array], dy: Array, mask: Array | None = None) -> Vjp:
        """The layer's vector-Jacobian product at x, by a gradient tape."""
        self._numerics.enforce()
        inputs, tensors = self._activation(x), self._parameters(parameters)
        with tf.device(self._numerics.device):
            with tf.GradientTape() as tape:
                tape.watch((inputs, tensors))
                y = apply_layer(layer, inputs, tensors, self._mask(mask), self._table)
            dx, gradients = tape.gradient(y, (inputs, tensors), output_gradients=self._activation(dy))
        return Vjp(activation_out(dx), {name: parameter_out(gradient) for name, gradient in gradients.items()})

    def cross_entropy(self, logits: Array, labels: NDArray[np.integer]) -> tuple[float, Array]:
        """Mean softmax cross-entropy, and its gradient with respect to the logits [N, classes]."""
        self._numerics.enforce()
        inputs = self._activation(logits)
        with tf.device(self._numerics.device):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                loss = cross_entropy(inputs, tf.convert_to_tensor(labels, dtype=tf.int64))
            gradient = tape.gradient(loss, inputs)
        return float(loss), activation_out(gradient)

    def _activation(self, x: Array) -> Tensor:
        return activation_in(x, self._numerics)

    def _mask(self, mask: Array | None) -> Tensor | None:
        return None if mask is None else self._activation(mask)

    def _parameters(self, parameters: Mapping[str, Array]) -> dict[str, Tensor]:
        return {name: parameter_in(array, self._numerics.device) for name, array in parameters.items()}
