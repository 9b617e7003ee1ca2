"""A network on several devices: what share of every layer each computes, and what they exchange.

    data    every device has the whole network and a share of the batch; gradients are summed.
    model   the paper's towers: every device has a share of every layer's kernels or units and the whole batch. A
            convolution in groups sees its own tower only; before any other convolution and before dense layers the
            towers exchange their maps.
    hybrid  the convolutions as in `data`, the dense layers as in `model`.

All implementations follow the plan made here, each with its framework's own means of exchange. Standard library only.

References:
    paper, section 3.5 and figure 2; A. Krizhevsky, One weird trick for parallelizing convolutional neural networks,
    arXiv:1404.5997
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from impls.derive import LayerFacts, facts, volume
from impls.spec import LRN, Conv, Dense, Layer, Network

Split = Literal["none", "model", "data", "hybrid"]
SPLITS: tuple[Split, ...] = ("none", "model", "data", "hybrid")

GRADIENT_BYTES = 4  # gradients of parameters are float32 in every precision


class InvalidSplit(ValueError):
    """A network that cannot be split so; the message says why and what can be done."""


class Lies(StrEnum):
    """How a batch's activation lies on the devices."""

    WHOLE = "whole"  # all of it on every device
    BATCH = "batch"  # [N / devices, ...] on each, in order
    CHANNELS = "channels"  # the last axis in equal shares, in order


class Exchange(StrEnum):
    """What the devices do with an activation before a layer. Each has its opposite in the backward pass."""

    NONE = "none"
    GATHER_BATCH = "gather-batch"  # BATCH -> WHOLE; backward: sum over devices, own rows
    GATHER_CHANNELS = "gather-channels"  # CHANNELS -> WHOLE; backward: sum over devices, own channels
    HALO = "halo"  # CHANNELS, with `reach` channels of each neighbour on both sides (zeros at the ends)


@dataclass(frozen=True, slots=True)
class Stage:
    """One layer as each device computes it."""

    layer: Layer  # kernels, units and groups of one device's share
    whole: LayerFacts
    exchange: Exchange  # first
    reach: int  # of a HALO: the layer runs on the widened input, and its output is cut to the own channels
    before: Lies  # its input, before the exchange
    after: Lies  # its output
    sharded: bool  # its parameters: a share of the last axis on each device, or all on all (gradients are summed)


@dataclass(frozen=True, slots=True)
class Plan:
    """A network's stages.

    Each device's loss is its part of the mean over the batch, so that the parts add up to it: the mean over its own
    rows divided by the devices where the logits lie by BATCH, the whole mean divided by the devices where they are
    gathered.
    """

    split: Split
    devices: int
    stages: tuple[Stage, ...]
    gather_logits: bool  # they lie by CHANNELS after the last stage

    def tensor_is_sharded(self, name: str) -> bool:
        """Whether each device holds a share of this canonical tensor's last axis."""
        layer = name.rpartition("/")[0]
        return next(stage.sharded for stage in self.stages if stage.layer.name == layer)

    def share(self, name: str, shape: tuple[int, ...], device: int) -> slice:
        """The part of the tensor's last axis that the device holds."""
        if not self.tensor_is_sharded(name):
            return slice(0, shape[-1])
        each = shape[-1] // self.devices
        return slice(device * each, (device + 1) * each)


def possible(network: Network, devices: int = 2) -> tuple[Split, ...]:
    """The splits, other than none, that this network has on so many devices."""
    found: list[Split] = []
    for split in SPLITS[1:]:
        try:
            plan(network, split, devices)
        except InvalidSplit:
            continue
        found.append(split)
    return tuple(found)


def plan(network: Network, split: Split, devices: int) -> Plan:
    """The network's stages under a split. Raises InvalidSplit, InvalidNetwork."""
    if split == "none" or devices < 2:
        raise InvalidSplit(f"split {split!r} on {devices} devices: a split needs two devices or more")
    if split == "model" and not any(isinstance(layer, Conv) and layer.groups > 1 for layer in network.layers):
        raise InvalidSplit(
            f"network {network.name!r} has one tower and split 'model' needs one for each device: choose data or hybrid"
        )
    stages: list[Stage] = []
    lies = Lies.WHOLE if split == "model" else Lies.BATCH
    for row in facts(network):
        stage = _stage(row, lies, split, devices)
        stages.append(stage)
        lies = stage.after
    return Plan(split, devices, tuple(stages), lies is Lies.CHANNELS)


def _stage(row: LayerFacts, lies: Lies, split: Split, devices: int) -> Stage:
    match row.layer:
        case Conv() if split == "model":
            return _tower_conv(row, row.layer, lies, devices)
        case Dense() if split != "data":
            exchange = {Lies.CHANNELS: Exchange.GATHER_CHANNELS, Lies.BATCH: Exchange.GATHER_BATCH}.get(
                lies, Exchange.NONE
            )
            share = replace(row.layer, units=_shared(row.layer, "units", row.layer.units, devices))
            return Stage(share, row, exchange, 0, lies, Lies.CHANNELS, sharded=True)
        case LRN() if lies is Lies.CHANNELS:
            return _tower_norm(row, row.layer, devices)
        case _:
            return Stage(row.layer, row, Exchange.NONE, 0, lies, lies, sharded=False)


def _tower_conv(row: LayerFacts, layer: Conv, lies: Lies, devices: int) -> Stage:
    kernels = _shared(layer, "kernels", layer.kernels, devices)
    if lies is Lies.CHANNELS and layer.groups > 1 and layer.groups % devices == 0:  # its own tower
        share = replace(layer, kernels=kernels, groups=layer.groups // devices)
        return Stage(share, row, Exchange.NONE, 0, lies, Lies.CHANNELS, sharded=True)
    if layer.groups > 1:
        raise InvalidSplit(
            f"layer {layer.name!r} has {layer.groups} groups: they cannot be {devices} towers, choose data or hybrid"
        )
    exchange = Exchange.GATHER_CHANNELS if lies is Lies.CHANNELS else Exchange.NONE
    return Stage(replace(layer, kernels=kernels), row, exchange, 0, lies, Lies.CHANNELS, sharded=True)


def _tower_norm(row: LayerFacts, layer: LRN, devices: int) -> Stage:
    if layer.groups % devices == 0:  # no window crosses from one device to the other
        share = replace(layer, groups=layer.groups // devices)
        return Stage(share, row, Exchange.NONE, 0, Lies.CHANNELS, Lies.CHANNELS, sharded=False)
    reach = layer.size // 2
    if layer.groups > 1 or reach > row.input_shape[2] // devices:
        raise InvalidSplit(f"layer {layer.name!r}: {devices} devices cannot share windows of {layer.size} channels")
    return Stage(layer, row, Exchange.HALO, reach, Lies.CHANNELS, Lies.CHANNELS, sharded=False)


def _shared(layer: Layer, what: str, count: int, devices: int) -> int:
    if count % devices:
        raise InvalidSplit(f"layer {layer.name!r}: {count} {what} cannot be shared equally by {devices} devices")
    return count // devices


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one exchange costs each device in one training step."""

    where: str  # the layer before which, "logits", or "gradients"
    what: str  # the exchange, or "all-reduce"
    sent: int  # bytes that each device sends


def traffic(made: Plan, batch_size: int, activation_bytes: int = 4) -> tuple[Traffic, ...]:
    """Bytes that each device sends in a training step, forward and backward together.

    A gather of a tensor of B bytes sends (n - 1) / n B by a ring, and so does its opposite in the backward pass; an
    all-reduce is both. Nothing is sent backward before the first learned layer, whose input needs no gradient.
    """
    found: list[Traffic] = []
    n = made.devices
    learned = False
    for stage in made.stages:
        elements = batch_size * volume(stage.whole.input_shape)
        if stage.exchange is Exchange.HALO:
            pixels = elements // stage.whole.input_shape[2]
            sent = (n - 1) * 2 * stage.reach * pixels * activation_bytes  # both edges, to every other device
        elif stage.exchange is Exchange.NONE:
            sent = 0
        else:
            sent = elements * activation_bytes * (n - 1) // n
        if sent:
            found.append(Traffic(stage.layer.name, str(stage.exchange), sent * (2 if learned else 1)))
        learned = learned or bool(stage.whole.parameters)
    if made.gather_logits:
        logits = batch_size * volume(made.stages[-1].whole.output_shape) * activation_bytes * (n - 1) // n
        found.append(Traffic("logits", str(Exchange.GATHER_CHANNELS), 2 * logits))
    replicated = sum(stage.whole.parameter_count for stage in made.stages if not stage.sharded)
    if replicated:
        found.append(Traffic("gradients", "all-reduce", 2 * replicated * GRADIENT_BYTES * (n - 1) // n))
    return tuple(found)


def bytes_exchanged(made: Plan, batch_size: int, activation_bytes: int = 4) -> int:
    """All that each device sends in one training step, in bytes."""
    return sum(row.sent for row in traffic(made, batch_size, activation_bytes))
