"""A network at work: activations, loss and gradients, and SGD in the paper's form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flax import nnx

from impls.derive import parameter_shapes
from impls.protocol import Array, Arrays, Batch, Phase, UpdateRule
from impls.spec import Network
from impls.with_jax.arrays import (
    Numerics,
    activation_in,
    activation_out,
    labels_in,
    parameter_copy,
    parameter_out,
    program,
)
from impls.with_jax.loop import JaxLoop
from impls.with_jax.network import FlaxNetwork, Tensors, all_outputs, loss_and_gradients
from impls.with_jax.operators import Tensor, table_of
from impls.with_jax.sgd import rates_of, training_step, zero_velocity
from impls.with_jax.tuning import Tuning


class JaxImplementation:
    """`impls.protocol.Implementation` for JAX: the module split once into its graph, static, and its tensors."""

    def __init__(self, network: Network, weights: Mapping[str, Array], numerics: Numerics, tuning: Tuning) -> None:
        self._network = network
        self._numerics = numerics
        self._tuning = tuning
        self._graph, state = nnx.split(FlaxNetwork(network, weights, numerics, table_of(tuning)))
        by_name = nnx.to_pure_dict(state)["tensors"]
        self._names = tuple(parameter_shapes(network))  # in order: what a program returns is sorted
        self._tensors: Tensors = {name: by_name[name] for name in self._names}

    def activations(self, images: Array, masks: Mapping[str, Array] | None = None) -> Arrays:
        """Every layer's output by layer name, canonical layouts."""
        self._numerics.enforce()
        native = None if masks is None else self._activations_in(masks)
        outputs = self._program(all_outputs)(self._graph, self._tensors, self._activation_in(images), native)
        return {layer.name: activation_out(y) for layer, y in zip(self._network.layers, outputs, strict=True)}

    def gradients(self, batch: Batch) -> tuple[float, Arrays]:
        """Mean cross-entropy of a training-mode pass, and its gradient by canonical tensor name."""
        self._numerics.enforce()
        loss, gradients = self._program(loss_and_gradients)(self._graph, self._tensors, *self._batch_in(batch))
        return float(loss), {name: parameter_out(gradients[name]) for name in self._names}

    def train(self, steps: Sequence[tuple[Batch, UpdateRule]]) -> Iterator[float]:
        """Run SGD steps from zero velocity. A step is complete, weights included, when its loss is yielded."""
        velocity = zero_velocity(self._tensors, self._numerics.device)
        for batch, rule in steps:
            self._numerics.enforce()
            state, rates = (self._tensors, velocity), rates_of(rule, self._tensors)
            step = self._program(training_step, donated=(1, 2))
            loss, self._tensors, velocity = step(self._graph, *state, rates, *self._batch_in(batch))
            yield float(loss)

    def weights(self) -> Arrays:
        """A copy of the present weights, canonical names and layouts, float32."""
        return {name: parameter_copy(self._tensors[name]) for name in self._names}

    def loop(self, phase: Phase, rule: UpdateRule) -> JaxLoop:
        """A phase to be timed; it uses up the implementation's tensors."""
        return JaxLoop(self._network, self._graph, self._tensors, self._numerics, self._tuning, phase, rule)

    def _program(self, function: Callable[..., Any], donated: tuple[int, ...] = ()) -> Any:
        return program(function, self._tuning.compiler, donated=donated)

    def _activation_in(self, array: Array) -> Tensor:
        return activation_in(array, self._numerics)

    def _activations_in(self, arrays: Mapping[str, Array]) -> Tensors:
        return {name: self._activation_in(array) for name, array in arrays.items()}

    def _batch_in(self, batch: Batch) -> tuple[Tensor, Tensor, Tensors]:
        labels = labels_in(batch.labels, self._numerics)
        return self._activation_in(batch.images), labels, self._activations_in(batch.masks)
