"""One layer at a time, NumPy in and out: the operators a parity check drives directly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from impls.derive import layer_facts
from impls.protocol import Array, Vjp
from impls.spec import Layer
from impls.with_jax.arrays import Numerics, activation_in, activation_out, parameter_out, program
from impls.with_jax.operators import OperatorTable, Tensor, apply_layer, cross_entropy, table_of
from impls.with_jax.tuning import Tuning

# Elements of an input up to which compiling costs more than running: `forward` and `vjp` then share one program.
COMPILED_ONCE = 100_000


class SingleLayers:
    """`impls.protocol.Operators` for JAX, compiled once for each layer and shape."""

    def __init__(self, numerics: Numerics, tuning: Tuning) -> None:
        self._numerics = numerics
        self._tuning = tuning

    def forward(self, layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None = None) -> Array:
        """One layer's output, [N, ...]."""
        self._numerics.enforce()
        inputs, tensors, kept = self._activation(x), self._parameters(parameters), self._mask(mask)
        if x.size <= COMPILED_ONCE:
            upstream = self._activation(np.zeros((len(x), *layer_facts(layer, x.shape[1:]).output_shape), np.float32))
            y, _, _ = self._program(forward_and_vjp)(*self._key(layer), inputs, tensors, upstream, kept)
        else:
            y = self._program(forward_alone)(*self._key(layer), inputs, tensors, kept)
        found = activation_out(y)
        return found.copy() if np.may_share_memory(found, x) else found  # an identity hands its input on

    def vjp(self, layer: Layer, x: Array, parameters: Mapping[str, Array], dy: Array, mask: Array | None = None) -> Vjp:
        """The layer's vector-Jacobian product at x, by jax.vjp."""
        self._numerics.enforce()
        inputs, tensors, upstream = self._activation(x), self._parameters(parameters), self._activation(dy)
        _, dx, gradients = self._program(forward_and_vjp)(
            *self._key(layer), inputs, tensors, upstream, self._mask(mask)
        )
        return Vjp(activation_out(dx), {name: parameter_out(gradient) for name, gradient in gradients.items()})

    def cross_entropy(self, logits: Array, labels: NDArray[np.integer]) -> tuple[float, Array]:
        """Mean softmax cross-entropy, and its gradient with respect to the logits [N, classes]."""
        self._numerics.enforce()
        loss, gradient = _loss_and_gradient(self._activation(logits), np.asarray(labels, dtype=np.int32))
        return float(loss), activation_out(gradient)

    def _key(self, layer: Layer) -> tuple[Layer, OperatorTable]:
        """Layers that differ in name alone share what was compiled."""
        return replace(layer, name="", source=""), table_of(self._tuning)

    def _program(self, function: Callable[..., Any]) -> Any:
        return program(function, self._tuning.compiler, static=2)

    def _activation(self, x: Array) -> Tensor:
        return activation_in(x, self._numerics)

    def _mask(self, mask: Array | None) -> Tensor | None:
        return None if mask is None else self._activation(mask)

    def _parameters(self, parameters: Mapping[str, Array]) -> dict[str, Tensor]:
        device = self._numerics.device
        return {name: jax.device_put(np.asarray(array, np.float32), device) for name, array in parameters.items()}


def forward_alone(
    layer: Layer, table: OperatorTable, x: Tensor, parameters: Mapping[str, Tensor], mask: Tensor | None
) -> Tensor:
    """The layer's output."""
    return apply_layer(layer, x, parameters, mask, table)


def forward_and_vjp(
    layer: Layer,
    table: OperatorTable,
    x: Tensor,
    parameters: Mapping[str, Tensor],
    dy: Tensor,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The layer's output, and its vector-Jacobian product with respect to x and to the parameters."""
    y, pull_back = jax.vjp(lambda x, parameters: apply_layer(layer, x, parameters, mask, table), x, parameters)
    dx, gradients = pull_back(dy)
    return y, dx, dict(gradients)


_loss_and_gradient = jax.jit(jax.value_and_grad(cross_entropy))
