"""A network at work: activations, loss and gradients, and SGD in the paper's form."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from impls.derive import parameter_shapes
from impls.protocol import Array, Arrays, Batch, UpdateRule
from impls.spec import Network
from impls.with_jax.arrays import Numerics, activation_in, activation_out, parameter_out
from impls.with_jax.network import FlaxNetwork
from impls.with_jax.operators import OperatorTable, Tensor, cross_entropy

Tensors = dict[str, Tensor]  # by canonical name


class JaxImplementation:
    """`impls.protocol.Implementation` for JAX: the module split once into its graph, static, and its tensors."""

    def __init__(
        self, network: Network, weights: Mapping[str, Array], numerics: Numerics, table: OperatorTable
    ) -> None:
        self._numerics = numerics
        self._layers = network.layers
        self._graph, state = nnx.split(FlaxNetwork(network, weights, numerics, table))
        by_name = nnx.to_pure_dict(state)["tensors"]
        self._tensors: Tensors = {name: by_name[name] for name in parameter_shapes(network)}

    def activations(self, images: Array, masks: Mapping[str, Array] | None = None) -> Arrays:
        """Every layer's output by layer name, canonical layouts."""
        self._numerics.enforce()
        native = None if masks is None else self._activations_in(masks)
        outputs = _outputs(self._graph, self._tensors, self._activation_in(images), native)
        return {layer.name: activation_out(y) for layer, y in zip(self._layers, outputs, strict=True)}

    def gradients(self, batch: Batch) -> tuple[float, Arrays]:
        """Mean cross-entropy of a training-mode pass, and its gradient by canonical tensor name."""
        self._numerics.enforce()
        loss, gradients = _loss_and_gradients(self._graph, self._tensors, *self._batch_in(batch))
        return float(loss), {name: parameter_out(gradients[name]) for name in self._tensors}

    def train(self, steps: Sequence[tuple[Batch, UpdateRule]]) -> Iterator[float]:
        """Run SGD steps from zero velocity. A step is complete, weights included, when its loss is yielded."""
        with jax.default_device(self._numerics.device):
            velocity = {name: jnp.zeros_like(tensor) for name, tensor in self._tensors.items()}
        for batch, rule in steps:
            self._numerics.enforce()
            # an array, since a static number would be compiled in
            bias_decay = rule.weight_decay if rule.decay_biases else 0.0
            rates = np.array((rule.learning_rate, rule.momentum, rule.weight_decay, bias_decay), np.float32)
            loss, self._tensors, velocity = _step(self._graph, self._tensors, velocity, rates, *self._batch_in(batch))
            yield float(loss)

    def weights(self) -> Arrays:
        """A copy of the present weights, canonical names and layouts, float32."""
        return {name: np.array(tensor) for name, tensor in self._tensors.items()}

    def _activation_in(self, array: Array) -> Tensor:
        return activation_in(array, self._numerics)

    def _activations_in(self, arrays: Mapping[str, Array]) -> Tensors:
        return {name: self._activation_in(array) for name, array in arrays.items()}

    def _batch_in(self, batch: Batch) -> tuple[Tensor, Tensor, Tensors]:
        labels = jax.device_put(np.asarray(batch.labels, dtype=np.int32), self._numerics.device)
        return self._activation_in(batch.images), labels, self._activations_in(batch.masks)


@functools.partial(jax.jit, static_argnums=0)
def _outputs(graph: Any, tensors: Tensors, images: Tensor, masks: Mapping[str, Tensor] | None) -> list[Tensor]:
    return [y for _, y in nnx.merge(graph, {"tensors": tensors}).outputs(images, masks)]


@functools.partial(jax.jit, static_argnums=0)
def _loss_and_gradients(
    graph: Any, tensors: Tensors, images: Tensor, labels: Tensor, masks: Mapping[str, Tensor]
) -> tuple[Tensor, Tensors]:
    def loss(tensors: Tensors) -> Tensor:
        return cross_entropy(nnx.merge(graph, {"tensors": tensors})(images, masks), labels)

    return jax.value_and_grad(loss)(tensors)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=(1, 2))
def _step(
    graph: Any,
    tensors: Tensors,
    velocity: Tensors,
    rates: Tensor,
    images: Tensor,
    labels: Tensor,
    masks: Mapping[str, Tensor],
) -> tuple[Tensor, Tensors, Tensors]:
    loss, gradients = _loss_and_gradients(graph, tensors, images, labels, masks)
    return loss, *update(tensors, velocity, gradients, rates)


def update(tensors: Tensors, velocity: Tensors, gradients: Tensors, rates: Tensor) -> tuple[Tensors, Tensors]:
    """v <- momentum v - rate (gradient + decay w); w <- w + v. Optax keeps the rate outside v.

    `rates` [4] holds the learning rate, the momentum and the decay of weights and of biases.

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
