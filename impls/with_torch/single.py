"""One layer at a time, NumPy in and out: the operators a parity check drives directly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from impls.protocol import Array, Vjp
from impls.spec import Layer
from impls.with_torch.arrays import Numerics, activation_in, activation_out, parameter_in, parameter_out
from impls.with_torch.operators import OperatorTable, Tensor, apply_layer, cross_entropy


class SingleLayers:
    """`impls.protocol.Operators` for PyTorch."""

    def __init__(self, numerics: Numerics, table: OperatorTable) -> None:
        self._numerics = numerics
        self._table = table

    def forward(self, layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None = None) -> Array:
        """One layer's output, [N, ...]."""
        self._numerics.enforce()
        with torch.no_grad():
            inputs = self._activation(x)
            y = apply_layer(layer, inputs, self._parameters(parameters), self._mask(mask), self._table)
            return activation_out(y.clone() if y is inputs else y)  # an identity must not hand out the caller's memory

    def vjp(self, layer: Layer, x: Array, parameters: Mapping[str, Array], dy: Array, mask: Array | None = None) -> Vjp:
        """The layer's vector-Jacobian product at x, by autograd."""
        self._numerics.enforce()
        inputs = self._activation(x).requires_grad_()
        tensors = {name: tensor.requires_grad_() for name, tensor in self._parameters(parameters).items()}
        y = apply_layer(layer, inputs, tensors, self._mask(mask), self._table)
        dx, *gradients = torch.autograd.grad(y, [inputs, *tensors.values()], self._activation(dy))
        named = zip(tensors, gradients, strict=True)
        return Vjp(activation_out(dx), {name: parameter_out(gradient) for name, gradient in named})

    def cross_entropy(self, logits: Array, labels: NDArray[np.integer]) -> tuple[float, Array]:
        """Mean softmax cross-entropy, and its gradient with respect to the logits [N, classes]."""
        self._numerics.enforce()
        inputs = self._activation(logits).requires_grad_()
        loss = cross_entropy(inputs, torch.tensor(labels, dtype=torch.int64, device=self._numerics.device))
        (gradient,) = torch.autograd.grad(loss, inputs)
        return loss.item(), activation_out(gradient)

    def _activation(self, x: Array) -> Tensor:
        return activation_in(x, self._numerics, self._table.memory_format)

    def _mask(self, mask: Array | None) -> Tensor | None:
        return None if mask is None else self._activation(mask)

    def _parameters(self, parameters: Mapping[str, Array]) -> dict[str, Tensor]:
        device, memory_format = self._numerics.device, self._table.memory_format
        return {name: parameter_in(array, device, memory_format) for name, array in parameters.items()}
