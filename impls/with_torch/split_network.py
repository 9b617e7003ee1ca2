"""The plan of `impls.split` as one device follows it: its tensors, and what it computes with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch

from impls.protocol import Array, Settings
from impls.spec import Dropout
from impls.split import Exchange, Lies, Plan, Stage
from impls.with_torch.arrays import activation_in, numerics_of, parameter_in
from impls.with_torch.engine import Engine, GradientSums, gather, with_halo
from impls.with_torch.operators import Tensor, apply_layer, cross_entropy, table_of
from impls.with_torch.tuning import tuning_of

SEED = 0  # of the dropout masks drawn

Tensors: TypeAlias = dict[str, Tensor]


class SplitNetwork:
    """One device's share of a network, in the process that drives the device."""

    def __init__(self, engine: Engine, made: Plan, settings: Settings, weights: Mapping[str, Array]) -> None:
        """`weights` are the device's shares of the canonical tensors. Raises Unsupported."""
        self.engine = engine
        self.plan = made
        self.numerics = numerics_of(replace(settings, device=engine.device(settings)))
        self.table = table_of(tuning_of(settings))
        if self.numerics.device.type == "cuda":
            torch.cuda.set_device(self.numerics.device)
        self.tensors: Tensors = {
            name: parameter_in(array, self.numerics.device, self.table.memory_format).requires_grad_()
            for name, array in weights.items()
        }
        self._common = torch.Generator(self.numerics.device).manual_seed(SEED)
        self._own = torch.Generator(self.numerics.device).manual_seed(SEED + 1 + engine.rank)
        self._sums = GradientSums(tensor for name, tensor in self.tensors.items() if self.axis(name) is None)

    def axis(self, name: str) -> int | None:
        """The axis along which the devices share this canonical tensor."""
        return -1 if self.plan.tensor_is_sharded(name) else None

    def activation_in(self, array: Array) -> Tensor:
        """A canonical array on the device."""
        return activation_in(array, self.numerics, self.table.memory_format)

    def outputs(self, images: Tensor, masks: Mapping[str, Tensor] | None) -> Iterator[tuple[Stage, Tensor]]:
        """Every stage and its output as it lies on this device. With masks as in training, without as at test time."""
        x = images
        for stage in self.plan.stages:
            x = exchanged(stage, x)
            parameters = {name.rpartition("/")[2]: self.tensors[name] for name in stage.whole.parameters}
            mask = masks[stage.layer.name] if masks is not None and isinstance(stage.layer, Dropout) else None
            x = apply_layer(stage.layer, x, parameters, mask, self.table)
            if stage.exchange is Exchange.HALO:
                x = x[:, stage.reach : x.shape[1] - stage.reach]
            yield stage, x

    def logits(self, images: Tensor, masks: Mapping[str, Tensor] | None) -> Tensor:
        """[N, classes] where the plan gathers them, else this device's rows."""
        *_, (_, logits) = self.outputs(images, masks)
        return gather(logits, 1) if self.plan.gather_logits else logits

    def loss_and_gradients(self, images: Tensor, labels: Tensor, masks: Mapping[str, Tensor]) -> tuple[Tensor, Tensors]:
        """This device's part of the loss, and the gradient of the whole loss by the tensors it holds."""
        loss = cross_entropy(self.logits(images, masks), labels) / self.plan.devices
        gradients = torch.autograd.grad(loss, list(self.tensors.values()))
        self._sums.wait()
        return loss.detach(), dict(zip(self.tensors, gradients, strict=True))

    def room_for_masks(self, count: int) -> Tensors:
        """A mask, not drawn yet, for this device's part of every dropout layer's input with `count` images."""
        masks = {}
        for stage in self.plan.stages:
            if isinstance(stage.layer, Dropout):
                shape = _own_shape((count, *stage.whole.input_shape), stage.before, self.plan.devices)
                masks[stage.layer.name] = self.activation_in(np.ones(shape, np.float32))
        return masks

    def draw(self, masks: Tensors) -> None:
        """1 with probability 1 - rate, on each device its own; where an activation is whole so is its mask."""
        for stage in self.plan.stages:
            if isinstance(stage.layer, Dropout):
                generator = self._common if stage.before is Lies.WHOLE else self._own
                masks[stage.layer.name].bernoulli_(1 - stage.layer.rate, generator=generator)


def exchanged(stage: Stage, x: Tensor) -> Tensor:
    """A stage's input after its exchange."""
    match stage.exchange:
        case Exchange.GATHER_BATCH:
            return gather(x, 0)
        case Exchange.GATHER_CHANNELS:
            return gather(x, 1)
        case Exchange.HALO:
            return with_halo(x, stage.reach)
        case _:
            return x


def _own_shape(shape: tuple[int, ...], lies: Lies, devices: int) -> tuple[int, ...]:
    """Of one device's share."""
    first, *between, last = shape
    match lies:
        case Lies.BATCH:
            return first // devices, *between, last
        case Lies.CHANNELS:
            return first, *between, last // devices
        case _:
            return shape
