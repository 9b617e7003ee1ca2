"""A phase of the network run again and again on data that stay on the device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
import torch

from impls.derive import facts, require_tensors
from impls.protocol import Array, Arrays, Batch, Phase, UpdateRule
from impls.spec import Dropout
from impls.with_torch.arrays import Numerics, activation_copy, activation_out, parameter_in, parameter_out
from impls.with_torch.compilation import compiled, is_compiled
from impls.with_torch.network import TorchNetwork
from impls.with_torch.operators import Tensor, cross_entropy
from impls.with_torch.sgd import rates_of, update, update_by_rates
from impls.with_torch.tuning import Tuning

Tensors: TypeAlias = dict[str, Tensor]


class TorchLoop:
    """`impls.protocol.TrainingLoop` for PyTorch on one device. Masks are drawn apart from the step."""

    def __init__(
        self, module: TorchNetwork, numerics: Numerics, tuning: Tuning, phase: Phase, rule: UpdateRule
    ) -> None:
        self._module = module
        self._numerics = numerics
        self._tuning = tuning
        self._phase = phase
        self._rule = rule
        self._tensors: Tensors = dict(module.tensors.items())
        self._present: Tensors = {name: tensor.detach() for name, tensor in self._tensors.items()}  # the same memory
        self._velocity: Tensors = {}
        if phase == "train-step":
            self._velocity = {name: torch.zeros_like(tensor) for name, tensor in self._present.items()}
        self._logits_of = compiled(module.forward, tuning, numerics.device)
        self._loss_of = compiled(self._loss, tuning, numerics.device)
        self._update = compiled(update_by_rates, tuning, numerics.device)
        self._rates = rates_of(rule, self._present).to(numerics.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._images: Tensor | None = None
        self._drawn: list[tuple[Dropout, Tensor]] = []  # masks to be drawn anew before every step
        self._last: Tensors = {}

    def load(self, batch: Batch) -> None:
        """Put a batch on the device, to be used by every step until the next one is loaded.

        On a GPU it travels beside the steps already started.
        """
        with _copying(self._numerics.device) as arrived:
            images = self._activation_in(batch.images)
            labels = torch.tensor(batch.labels, dtype=torch.int64, device=self._numerics.device)
            masks = {name: self._activation_in(mask) for name, mask in batch.masks.items()}
            arrived.extend([images, labels, *masks.values()])
        if self._graph is None or self._images is None:
            self._images, self._labels, self._masks = images, labels, masks or self._room_for_masks(len(images))
        else:  # the graph reads these addresses
            self._images.copy_(images)
            self._labels.copy_(labels)
            for name, mask in masks.items():
                self._masks[name].copy_(mask)
        self._drawn = []
        if not masks:
            layers = self._module.network.layers
            self._drawn = [(layer, self._masks[layer.name]) for layer in layers if isinstance(layer, Dropout)]

    def compile(self) -> bool:
        """Compile for the loaded batch and capture a CUDA graph, as far as the tuning asks for them."""
        if not self._tuning.compiled:
            return False
        self._numerics.enforce()
        self._draw()
        if self._phase == "forward":
            self._compute_logits()
        else:
            _, gradients = self._loss_and_gradients()
            if self._phase == "train-step":
                present, velocity = ({k: v.clone() for k, v in x.items()} for x in (self._present, self._velocity))
                self._move(present, velocity, gradients)
        self.wait()
        if self._tuning.cuda_graphs:
            self._capture()
        return self._tuning.cuda_graphs or is_compiled(self._tuning, self._numerics.device)

    def step(self) -> None:
        """One step of the phase; asynchronous on a GPU."""
        self._numerics.enforce()
        self._draw()
        if self._graph is not None:
            self._graph.replay()
        else:
            self._last = {}  # frees what the step before left
            self._last = self._compute()

    def wait(self) -> None:
        """Return when everything started is done."""
        if self._numerics.device.type == "cuda":
            torch.cuda.synchronize(self._numerics.device)

    def result(self) -> Arrays:
        """What the last step left, canonical and on the host."""
        self.wait()
        if "logits" in self._last:
            return {"logits": activation_out(self._last["logits"])}
        found = dict(self._last)
        if self._phase == "train-step":
            found |= {f"velocity/{name}": tensor for name, tensor in self._velocity.items()}
            found |= {f"weights/{name}": tensor for name, tensor in self._present.items()}
        return {
            name: tensor.reshape(1).float().cpu().numpy() if name == "loss" else _canonical_copy(tensor)
            for name, tensor in found.items()
        }

    def loss(self) -> float:
        """The last step's loss, with the weights before its update."""
        return self._last["loss"].item()

    def set_rule(self, rule: UpdateRule) -> None:
        """Take the steps that follow by another rule; what is compiled or captured reads its numbers from a tensor."""
        self._rule = rule
        self._rates.copy_(rates_of(rule, self._present))

    def start_from(self, velocity: Mapping[str, Array]) -> None:
        """Put this velocity in the place of zeros. Raises ValueError for a missing or misshapen tensor."""
        require_tensors(self._module.network, velocity, "velocity")
        for name, tensor in self._velocity.items():
            tensor.copy_(parameter_in(velocity[name], tensor.device, self._module.table.memory_format))

    def logits(self, images: Array) -> Array:
        """Test-time logits [N, classes] of images [N, H, W, C] by the present weights."""
        self._numerics.enforce()
        with torch.no_grad():
            return activation_out(self._logits_of(self._activation_in(images)))

    def _compute(self) -> Tensors:
        if self._phase == "forward":
            return {"logits": self._compute_logits()}
        loss, gradients = self._loss_and_gradients()
        if self._phase == "forward-backward":
            return {"loss": loss} | {f"gradient/{name}": gradient for name, gradient in gradients.items()}
        self._move(self._present, self._velocity, gradients)
        return {"loss": loss}

    def _move(self, tensors: Tensors, velocity: Tensors, gradients: Tensors) -> None:
        if self._tuning.compiled:
            self._update(tensors, velocity, gradients, self._rates)
        else:
            update(tensors, velocity, gradients, self._rule)

    def _compute_logits(self) -> Tensor:
        with torch.no_grad():
            return self._logits_of(self._images)

    def _loss_and_gradients(self) -> tuple[Tensor, Tensors]:
        loss = self._loss_of(self._images, self._labels, self._masks)
        gradients = torch.autograd.grad(loss, list(self._tensors.values()))
        return loss.detach(), dict(zip(self._tensors, gradients, strict=True))

    def _loss(self, images: Tensor, labels: Tensor, masks: Tensors) -> Tensor:
        return cross_entropy(self._module(images, masks), labels)

    def _capture(self) -> None:
        """Record the whole step once: a replay costs one launch, and reads and writes the same memory every time.

        References:
            https://docs.pytorch.org/docs/stable/notes/cuda.html, "Whole-network capture"
        """
        self._last = {}
        side = torch.cuda.Stream(self._numerics.device)
        side.wait_stream(torch.cuda.current_stream(self._numerics.device))
        with torch.cuda.stream(side):  # what is set up on first use must be set up on a stream that can be captured
            if self._phase == "forward":
                self._compute_logits()
            else:
                self._loss_and_gradients()
        torch.cuda.current_stream(self._numerics.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._last = self._compute()
        self._graph = graph

    def _draw(self) -> None:
        for layer, mask in self._drawn:
            mask.bernoulli_(1 - layer.rate)

    def _room_for_masks(self, images: int) -> Tensors:
        """A mask, not drawn yet, for each dropout layer and the batch loaded."""
        found: Tensors = {}
        for row in facts(self._module.network):
            if isinstance(row.layer, Dropout):
                *sides, channels = row.input_shape
                shape = (images, channels, *sides)
                mask = torch.empty(shape, dtype=self._numerics.dtype, device=self._numerics.device)
                found[row.layer.name] = (
                    mask.contiguous(memory_format=self._module.table.memory_format) if sides else mask
                )
        return found

    def _activation_in(self, array: Array) -> Tensor:
        return activation_copy(array, self._numerics, self._module.table.memory_format)


@contextlib.contextmanager
def _copying(device: torch.device) -> Iterator[list[Tensor]]:
    """A stream of its own for copies to a GPU. What is put in the list may be used from then on."""
    arrived: list[Tensor] = []
    if device.type != "cuda":
        yield arrived
        return
    main, side = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    with torch.cuda.stream(side):
        yield arrived
    main.wait_stream(side)
    for tensor in arrived:
        tensor.record_stream(main)


def _canonical_copy(tensor: Tensor) -> Array:
    return np.array(parameter_out(tensor), order="C")
