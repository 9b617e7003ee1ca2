"""A network's shares on several devices, and what is computed with them in one graph over all devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import tensorflow as tf

from impls.derive import parameter_shapes, require_tensors
from impls.protocol import Array, Settings
from impls.spec import Dropout, Network
from impls.split import Lies, Plan, Stage
from impls.with_tensorflow.arrays import Numerics, numerics_of, parameter_in
from impls.with_tensorflow.engine import Devices, exchanged, gathered, mirrored, summed
from impls.with_tensorflow.operators import OperatorTable, Tensor, apply_layer, cross_entropy, table_of
from impls.with_tensorflow.sgd import update
from impls.with_tensorflow.tuning import tuning_of


@dataclass(frozen=True, slots=True)
class Share:
    """What one device holds."""

    numerics: Numerics
    tensors: dict[str, tf.Variable]  # canonical names; float32


class SplitNetwork(tf.Module):
    """A network's stages in order, over the shares of all devices."""

    def __init__(
        self, network: Network, weights: Mapping[str, Array], made: Plan, devices: Devices, settings: Settings
    ) -> None:
        """Copies the weights. Raises InvalidNetwork, and ValueError for a missing or misshapen tensor."""
        super().__init__()
        self.network = network
        self.plan = made
        self.devices = devices
        numerics = [replace(numerics_of(settings), device=name) for name in devices.names]
        tuning = tuning_of(settings)
        if devices.spanning:  # what XLA compiles does not always come back from a device of another process
            tuning = replace(tuning, lrn="native", xla=False)
        self.table: OperatorTable = table_of(tuning, numerics[0])
        self.shares = [
            Share(own, _own_tensors(network, weights, made, own, index)) for index, own in enumerate(numerics)
        ]

    @property
    def dropouts(self) -> Iterator[Stage]:
        """The stages that need masks."""
        return (stage for stage in self.plan.stages if isinstance(stage.layer, Dropout))


def _own_tensors(
    network: Network, weights: Mapping[str, Array], made: Plan, numerics: Numerics, index: int
) -> dict[str, tf.Variable]:
    tensors = {}
    require_tensors(network, weights)
    for name, shape in parameter_shapes(network).items():
        own = weights[name][..., made.share(name, shape, index)]
        with tf.device(numerics.device):
            tensors[name] = tf.Variable(parameter_in(own, numerics.device), name=name)
    return tensors


# What follows is traced, once for each shape of batch. Lists hold one entry for each device.


def outputs(
    net: SplitNetwork, images: Sequence[Tensor], masks: Sequence[Mapping[str, Tensor]] | None
) -> list[list[Tensor]]:
    """Every stage's output. With masks as in training, without as at test time."""
    return [parts for _, parts in _stages(net, net.shares, _read(net.shares), images, masks)]


def logits(net: SplitNetwork, images: Sequence[Tensor]) -> list[Tensor]:
    """[N, classes], as at test time."""
    return outputs(net, images, None)[-1]


def _stages(
    net: SplitNetwork,
    shares: Sequence[Share],
    tensors: Sequence[Mapping[str, Tensor]],
    images: Sequence[Tensor],
    masks: Sequence[Mapping[str, Tensor]] | None,
) -> Iterator[tuple[Stage, list[Tensor]]]:
    """Every stage and its output on these shares' devices; all of them where the plan has exchanges."""
    devices = [share.numerics.device for share in shares]
    parts = list(images)
    for stage in net.plan.stages:
        inputs = exchanged(stage, parts, devices)
        parts = []
        for index, device in enumerate(devices):
            with tf.device(device):
                mask = None if masks is None else masks[index].get(stage.layer.name)
                own = {name.rpartition("/")[2]: tensors[index][name] for name in stage.whole.parameters}
                y = apply_layer(stage.layer, inputs[index], own, mask, net.table)
                parts.append(y[..., stage.reach : -stage.reach] if stage.reach else y)
        yield stage, parts


def _read(shares: Sequence[Share]) -> list[dict[str, Tensor]]:
    found = []
    for share in shares:
        with tf.device(share.numerics.device):
            found.append({name: variable.read_value() for name, variable in share.tensors.items()})
    return found


def _parts_of_loss(
    net: SplitNetwork,
    shares: Sequence[Share],
    images: Sequence[Tensor],
    labels: Sequence[Tensor],
    masks: Sequence[Mapping[str, Tensor]],
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """These shares' parts of the loss, and the gradient of their sum for each tensor of each of them, in order.

    By `tf.gradients`, which places a gradient where its operation is; a tape leaves that to chance.
    """
    tensors = _read(shares)
    *_, (_, found) = _stages(net, shares, tensors, images, masks)
    devices = [share.numerics.device for share in shares]
    if net.plan.gather_logits:
        found = gathered(found, -1, devices)
    losses = []
    for device, own, targets in zip(devices, found, labels, strict=True):
        with tf.device(device):
            losses.append(cross_entropy(own, targets) / net.plan.devices)
    flat = iter(tf.gradients(losses, [tensor for own in tensors for tensor in own.values()]))
    return losses, [[next(flat) for _ in own] for own in tensors]


def loss_and_gradients(
    net: SplitNetwork, images: Sequence[Tensor], labels: Sequence[Tensor], masks: Sequence[Mapping[str, Tensor]]
) -> tuple[Tensor, list[list[Tensor]]]:
    """Mean cross-entropy of a training-mode pass; the whole batch's gradient for every device's tensors in order."""
    if net.devices.strategy is not None:

        def part(index: int) -> tuple[Tensor, list[Tensor]]:
            (loss,), (gradients,) = _parts_of_loss(
                net, [net.shares[index]], [images[index]], [labels[index]], [masks[index]]
            )
            return loss, gradients

        losses, gradients = mirrored(net.devices.strategy, part)
    else:
        losses, gradients = _parts_of_loss(net, net.shares, images, labels, masks)
        gradients = _with_copies_summed(net, gradients)
    with tf.device(net.devices.names[0]):
        return tf.add_n(losses), gradients


def _with_copies_summed(net: SplitNetwork, gradients: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """The gradients, those of tensors that every device has a copy of summed over the devices."""
    by_tensor = []
    for name, *parts in zip(net.shares[0].tensors, *gradients, strict=True):
        by_tensor.append(parts if net.plan.tensor_is_sharded(name) else summed(parts, net.devices.names))
    return [list(own) for own in zip(*by_tensor, strict=True)]


def train_step(
    net: SplitNetwork,
    images: Sequence[Tensor],
    labels: Sequence[Tensor],
    masks: Sequence[Mapping[str, Tensor]],
    velocity: Sequence[Sequence[tf.Variable]],
    rates: Tensor,
) -> Tensor:
    """The loss before the update, the update done on every device.

    By the operator in either tuning: XLA's loop over variables has not come back from another process's device.
    """
    loss, gradients = loss_and_gradients(net, images, labels, masks)
    for share, moving, own in zip(net.shares, velocity, gradients, strict=True):
        with tf.device(share.numerics.device):
            update(share.tensors, moving, own, rates)
    return loss


def draw_masks(net: SplitNetwork, batch_size: int) -> list[dict[str, Tensor]]:
    """Fresh masks. Each device draws its part; where an activation is whole on all, one mask serves them all."""
    found: list[dict[str, Tensor]] = [{} for _ in net.shares]
    for stage in net.dropouts:
        shape = _part_shape((batch_size, *stage.whole.input_shape), stage.before, net.plan.devices)
        for index, share in enumerate(net.shares):
            with tf.device(share.numerics.device):
                if index and stage.before is Lies.WHOLE:
                    mask = tf.identity(found[0][stage.layer.name])
                else:
                    kept = tf.random.uniform(shape) >= stage.layer.rate  # type: ignore[union-attr]
                    mask = tf.cast(kept, share.numerics.dtype)
                found[index][stage.layer.name] = mask
    return found


def _part_shape(shape: tuple[int, ...], lies: Lies, devices: int) -> tuple[int, ...]:
    match lies:
        case Lies.WHOLE:
            return shape
        case Lies.BATCH:
            return (shape[0] // devices, *shape[1:])
        case Lies.CHANNELS:
            return (*shape[:-1], shape[-1] // devices)
