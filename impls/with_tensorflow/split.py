"""The network on several devices: the implementation that puts whole arrays on them and together again, its loop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from impls.derive import require_tensors
from impls.protocol import Array, Arrays, Batch, Phase, Settings, UpdateRule
from impls.spec import Network
from impls.split import Lies, plan
from impls.with_tensorflow.arrays import activation_copy, activation_out, parameter_in
from impls.with_tensorflow.engine import devices_of
from impls.with_tensorflow.operators import Tensor
from impls.with_tensorflow.sgd import rates_of
from impls.with_tensorflow.split_network import (
    SplitNetwork,
    draw_masks,
    logits,
    loss_and_gradients,
    outputs,
    train_step,
)

PROGRAMS: dict[Phase, Callable[..., Any]] = {
    "forward": logits,
    "forward-backward": loss_and_gradients,
    "train-step": train_step,
}


class SplitImplementation:
    """`impls.protocol.Implementation` over several devices."""

    def __init__(self, network: Network, weights: Mapping[str, Array], settings: Settings) -> None:
        """Raises Unsupported, InvalidSplit, InvalidNetwork, ValueError."""
        made = plan(network, settings.split, settings.devices)
        self._net = SplitNetwork(network, weights, made, devices_of(settings), settings)
        self._outputs, self._loss_and_gradients, self._step = (
            tf.function(functools.partial(function, self._net), autograph=False)
            for function in (outputs, loss_and_gradients, train_step)
        )

    def activations(self, images: Array, masks: Mapping[str, Array] | None = None) -> Arrays:
        """Every layer's output by layer name, put together, canonical layouts."""
        _enforce(self._net)
        native = None if masks is None else _masks_in(self._net, masks)
        found = self._outputs(_images_in(self._net, images), native)
        named = zip(self._net.plan.stages, found, strict=True)
        return {stage.layer.name: _whole(self._net, parts, stage.after) for stage, parts in named}

    def gradients(self, batch: Batch) -> tuple[float, Arrays]:
        """Mean cross-entropy of a training-mode pass, and its gradient by canonical tensor name."""
        _enforce(self._net)
        loss, gradients = self._loss_and_gradients(*_batch_in(self._net, batch))
        return float(loss), _canonical(self._net, gradients)

    def train(self, steps: Sequence[tuple[Batch, UpdateRule]]) -> Iterator[float]:
        """Run SGD steps from zero velocity. A step is complete, weights included, when its loss is yielded."""
        velocity = _zero_velocity(self._net)
        for batch, rule in steps:
            _enforce(self._net)
            rates = rates_of(rule, self._net.shares[0].tensors)
            loss = float(self._step(*_batch_in(self._net, batch), velocity, rates))
            self._net.devices.wait()
            yield loss

    def weights(self) -> Arrays:
        """A copy of the present weights, canonical names and layouts, float32."""
        return _canonical(self._net, [list(share.tensors.values()) for share in self._net.shares])

    def loop(self, phase: Phase, rule: UpdateRule) -> SplitLoop:
        """A phase to be timed, over this implementation's own weights."""
        return SplitLoop(self._net, phase, rule)


class SplitLoop:
    """`impls.protocol.TrainingLoop` over several devices. Masks are drawn by a graph of their own, as on one device."""

    def __init__(self, net: SplitNetwork, phase: Phase, rule: UpdateRule) -> None:
        self._net = net
        self._phase = phase
        self._rates = rates_of(rule, net.shares[0].tensors)
        self._velocity = _zero_velocity(net) if phase == "train-step" else []
        self._program, self._logits_of = (
            tf.function(functools.partial(function, net), autograph=False) for function in (PROGRAMS[phase], logits)
        )
        self._draw = tf.function(functools.partial(draw_masks, net), autograph=False)
        self._batch_size = 0
        self._images: list[Tensor]
        self._labels: list[Tensor]
        self._masks: list[dict[str, Tensor]] | None = None  # to be drawn before every step
        self._left: Any = None  # what the program returned last

    def load(self, batch: Batch) -> None:
        """Put each device's part of a batch on it, to be used by every step until the next one is loaded."""
        self._images, self._labels, masks = _batch_in(self._net, batch, draws=not batch.masks)
        self._batch_size = len(batch.images)
        self._masks = masks if batch.masks else None

    def compile(self) -> bool:
        """Trace. What is then left to the first step: TensorFlow's partition and rewriting of the graph."""
        _enforce(self._net)
        self._program.get_concrete_function(*self._arguments())
        return True

    def step(self) -> None:
        """One step of the phase; asynchronous on GPUs of this machine."""
        _enforce(self._net)
        self._left = None  # its memory serves this step
        self._left = self._program(*self._arguments())

    def wait(self) -> None:
        """Return when everything started is done."""
        self._net.devices.wait()

    def result(self) -> Arrays:
        """What the last step left, canonical and on the host."""
        self.wait()
        net = self._net
        if self._phase == "forward":
            return {"logits": _whole(net, self._left, net.plan.stages[-1].after)}
        if self._phase == "forward-backward":
            loss, gradients = self._left
            return {"loss": np.array([loss], np.float32)} | _prefixed("gradient", _canonical(net, gradients))
        weights = [list(share.tensors.values()) for share in net.shares]
        return (
            {"loss": np.array([self._left], np.float32)}
            | _prefixed("velocity", _canonical(net, self._velocity))
            | _prefixed("weights", _canonical(net, weights))
        )

    def loss(self) -> float:
        """The last step's loss, with the weights before its update."""
        return float(self._left)

    def set_rule(self, rule: UpdateRule) -> None:
        """Take the steps that follow by another rule: a tensor of other values for the same trace."""
        self._rates = rates_of(rule, self._net.shares[0].tensors)

    def start_from(self, velocity: Mapping[str, Array]) -> None:
        """Put this velocity in the place of zeros. Raises ValueError for a missing or misshapen tensor."""
        net = self._net
        require_tensors(net.network, velocity, "velocity")
        for index, (share, variables) in enumerate(zip(net.shares, self._velocity, strict=True)):
            for name, variable in zip(share.tensors, variables, strict=True):
                own = velocity[name][..., net.plan.share(name, velocity[name].shape, index)]
                variable.assign(parameter_in(own, share.numerics.device))

    def logits(self, images: Array) -> Array:
        """Test-time logits [N, classes] of images [N, H, W, C] by the present weights. Raises ValueError."""
        _enforce(self._net)
        found = self._logits_of(_images_in(self._net, images))
        return _whole(self._net, found, self._net.plan.stages[-1].after)

    def _arguments(self) -> tuple[Any, ...]:
        if self._phase == "forward":
            return (self._images,)
        masks = self._draw(self._batch_size) if self._masks is None else self._masks
        if self._phase == "forward-backward":
            return self._images, self._labels, masks
        return self._images, self._labels, masks, self._velocity, self._rates


def _enforce(net: SplitNetwork) -> None:
    net.shares[0].numerics.enforce()


def _zero_velocity(net: SplitNetwork) -> list[list[tf.Variable]]:
    found = []
    for share in net.shares:
        with tf.device(share.numerics.device):
            found.append([tf.Variable(tf.zeros_like(tensor)) for tensor in share.tensors.values()])
    return found


def _batch_in(
    net: SplitNetwork, batch: Batch, *, draws: bool = False
) -> tuple[list[Tensor], list[Tensor], list[dict[str, Tensor]]]:
    """Each device's images, labels and masks; no masks where they are to be drawn."""
    labels = []
    lies = Lies.WHOLE if net.plan.gather_logits else Lies.BATCH  # as the logits that the loss takes
    for index, share in enumerate(net.shares):
        with tf.device(share.numerics.device):
            part = _part(batch.labels, lies, index, net.plan.devices)
            labels.append(tf.identity(tf.convert_to_tensor(np.array(part), dtype=tf.int64)))
    return _images_in(net, batch.images), labels, [] if draws else _masks_in(net, batch.masks)


def _images_in(net: SplitNetwork, images: Array) -> list[Tensor]:
    lies = net.plan.stages[0].before
    if len(images) % net.plan.devices and any(stage.before is Lies.BATCH for stage in net.plan.stages):
        raise ValueError(
            f"split {net.plan.split!r} on {net.plan.devices} devices: a batch of {len(images)} images cannot be shared"
            f" equally, give a multiple of {net.plan.devices}"
        )
    return [
        activation_copy(_part(images, lies, index, net.plan.devices), share.numerics)
        for index, share in enumerate(net.shares)
    ]


def _masks_in(net: SplitNetwork, masks: Mapping[str, Array]) -> list[dict[str, Tensor]]:
    found: list[dict[str, Tensor]] = [{} for _ in net.shares]
    for stage in net.dropouts:
        name = stage.layer.name
        if name not in masks:
            raise ValueError(f"no mask for dropout layer {name!r}; masks given: {', '.join(masks) or 'none'}")
        for index, share in enumerate(net.shares):
            part = _part(masks[name], stage.before, index, net.plan.devices)
            found[index][name] = activation_copy(part, share.numerics)
    return found


def _part(array: NDArray[Any], lies: Lies, index: int, devices: int) -> NDArray[Any]:
    """One device's part of a whole array."""
    if lies is Lies.WHOLE:
        return array
    return np.split(array, devices, 0 if lies is Lies.BATCH else -1)[index]


def _whole(net: SplitNetwork, parts: Sequence[Tensor], lies: Lies) -> Array:
    """The devices' parts of an activation put together, float32, on the host."""
    with tf.device(net.devices.host):
        if lies is Lies.WHOLE:
            return _copy(tf.identity(parts[0]))
        return _copy(tf.concat(parts, 0 if lies is Lies.BATCH else -1))


def _canonical(net: SplitNetwork, parts: Sequence[Sequence[Tensor]]) -> Arrays:
    """One tensor for each of every device's tensors in order, put together: canonical name -> array."""
    found = {}
    for name, *own in zip(net.shares[0].tensors, *parts, strict=True):
        lies = Lies.CHANNELS if net.plan.tensor_is_sharded(name) else Lies.WHOLE
        found[name] = _whole(net, own, lies)
    return found


def _prefixed(kind: str, arrays: Arrays) -> Arrays:
    return {f"{kind}/{name}": array for name, array in arrays.items()}


def _copy(tensor: Tensor) -> Array:
    """Not a view of the tensor's memory, which the next step may overwrite."""
    return activation_out(tensor).copy()
