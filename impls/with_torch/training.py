"""A network at work: activations, loss and gradients, and SGD in the paper's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from impls.protocol import Array, Arrays, Batch, Phase, UpdateRule
from impls.spec import Network
from impls.with_torch.arrays import Numerics, activation_in, activation_out, parameter_out
from impls.with_torch.loop import TorchLoop
from impls.with_torch.network import TorchNetwork
from impls.with_torch.operators import Tensor, cross_entropy, table_of
from impls.with_torch.sgd import update
from impls.with_torch.tuning import Tuning


class TorchImplementation:
    """`impls.protocol.Implementation` for PyTorch."""

    def __init__(self, network: Network, weights: Mapping[str, Array], numerics: Numerics, tuning: Tuning) -> None:
        self._numerics = numerics
        self._tuning = tuning
        self._table = table_of(tuning)
        self._module = TorchNetwork(network, weights, numerics, self._table)

    def activations(self, images: Array, masks: Mapping[str, Array] | None = None) -> Arrays:
        """Every layer's output by layer name, canonical layouts."""
        self._numerics.enforce()
        native = None if masks is None else self._activations_in(masks)
        with torch.no_grad():
            outputs = self._module.outputs(self._activation_in(images), native)
            return {name: activation_out(y) for name, y in outputs}

    def gradients(self, batch: Batch) -> tuple[float, Arrays]:
        """Mean cross-entropy of a training-mode pass, and its gradient by canonical tensor name."""
        loss, gradients = self._loss_and_gradients(batch)
        return loss.item(), {name: parameter_out(gradient) for name, gradient in gradients.items()}

    def train(self, steps: Sequence[tuple[Batch, UpdateRule]]) -> Iterator[float]:
        """Run SGD steps from zero velocity. A step is complete, weights included, when its loss is yielded."""
        velocity = {name: torch.zeros_like(tensor) for name, tensor in self._tensors().items()}
        for batch, rule in steps:
            loss, gradients = self._loss_and_gradients(batch)
            update(self._tensors(), velocity, gradients, rule)
            del gradients
            yield loss.item()

    def weights(self) -> Arrays:
        """A copy of the present weights, canonical names and layouts, float32."""
        return {name: np.array(parameter_out(tensor), order="C") for name, tensor in self._tensors().items()}

    def loop(self, phase: Phase, rule: UpdateRule) -> TorchLoop:
        """A phase to be timed, over this implementation's own weights."""
        return TorchLoop(self._module, self._numerics, self._tuning, phase, rule)

    def _loss_and_gradients(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        self._numerics.enforce()
        labels = torch.tensor(batch.labels, dtype=torch.int64, device=self._numerics.device)
        logits = self._module(self._activation_in(batch.images), self._activations_in(batch.masks))
        loss = cross_entropy(logits, labels)
        tensors = self._tensors()
        gradients = torch.autograd.grad(loss, list(tensors.values()))
        return loss.detach(), dict(zip(tensors, gradients, strict=True))

    def _tensors(self) -> dict[str, Tensor]:
        return dict(self._module.tensors.items())

    def _activation_in(self, array: Array) -> Tensor:
        return activation_in(array, self._numerics, self._table.memory_format)

    def _activations_in(self, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
        return {name: self._activation_in(array) for name, array in arrays.items()}
