"""A phase of the network run again and again on data that stay on the device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from impls.derive import facts, require_tensors
from impls.protocol import Array, Arrays, Batch, Phase, UpdateRule
from impls.spec import Dropout
from impls.with_tensorflow.arrays import Numerics, activation_copy, activation_in, activation_out, parameter_in
from impls.with_tensorflow.network import TensorFlowNetwork
from impls.with_tensorflow.operators import Tensor
from impls.with_tensorflow.sgd import loss_and_gradients, rates_of, train_step, zero_velocity


class TensorFlowLoop:
    """`impls.protocol.TrainingLoop` for TensorFlow on one device.

    A graph is one call: on the CPU `step` returns when it is done, on a GPU when its kernels are queued, so that the
    next `load` copies while they run. Masks are drawn by a graph of their own: the step is the same with given ones.
    """

    def __init__(self, module: TensorFlowNetwork, numerics: Numerics, phase: Phase, rule: UpdateRule) -> None:
        self._module = module
        self._numerics = numerics
        self._phase = phase
        with tf.device(numerics.device):
            self._rates = rates_of(rule, module.tensors)
        self._velocity = zero_velocity(module, numerics.device) if phase == "train-step" else []
        self._program, self._logits_of = (
            tf.function(
                functools.partial(function, module, numerics.device),
                autograph=False,
                jit_compile=module.table.xla or None,
            )
            for function in (FUNCTIONS[phase], _logits)
        )
        self._draw = tf.function(functools.partial(_masks, module, numerics), autograph=False)
        self._images: Tensor
        self._labels: Tensor
        self._masks: dict[str, Tensor] | None = None  # to be drawn before every step
        self._left: Any = None  # what the program returned last

    def load(self, batch: Batch) -> None:
        """Put a batch on the device, to be used by every step until the next one is loaded."""
        self._images = activation_copy(batch.images, self._numerics)
        with tf.device(self._numerics.device):
            self._labels = tf.convert_to_tensor(np.array(batch.labels), dtype=tf.int64)
        given = {name: activation_copy(mask, self._numerics) for name, mask in batch.masks.items()}
        self._masks = given or None

    def compile(self) -> bool:
        """Trace. What is then left to the first step: TensorFlow's rewriting of the graph, and XLA."""
        self._numerics.enforce()
        self._program.get_concrete_function(*self._arguments())
        return True

    def step(self) -> None:
        """One step of the phase; asynchronous on a GPU."""
        self._numerics.enforce()
        self._left = None  # its memory serves this step
        self._left = self._program(*self._arguments())

    def wait(self) -> None:
        """Return when everything started is done."""
        tf.test.experimental.sync_devices()

    def result(self) -> Arrays:
        """What the last step left, canonical and on the host."""
        self.wait()
        if self._phase == "forward":
            return {"logits": _copy(self._left)}
        names = list(self._module.tensors)
        if self._phase == "forward-backward":
            loss, gradients = self._left
            return {"loss": _copy(loss).reshape(1)} | _named("gradient", dict(zip(names, gradients, strict=True)))
        velocity = dict(zip(names, self._velocity, strict=True))
        return (
            {"loss": _copy(self._left).reshape(1)}
            | _named("velocity", velocity)
            | _named("weights", self._module.tensors)
        )

    def loss(self) -> float:
        """The last step's loss, with the weights before its update."""
        return float(self._left)

    def set_rule(self, rule: UpdateRule) -> None:
        """Take the steps that follow by another rule: a tensor of other values for the same trace."""
        with tf.device(self._numerics.device):
            self._rates = rates_of(rule, self._module.tensors)

    def start_from(self, velocity: Mapping[str, Array]) -> None:
        """Put this velocity in the place of zeros. Raises ValueError for a missing or misshapen tensor."""
        require_tensors(self._module.network, velocity, "velocity")
        for name, variable in zip(self._module.tensors, self._velocity, strict=True):
            variable.assign(parameter_in(velocity[name], self._numerics.device))

    def logits(self, images: Array) -> Array:
        """Test-time logits [N, classes] of images [N, H, W, C] by the present weights."""
        self._numerics.enforce()
        return _copy(self._logits_of(activation_in(images, self._numerics)))

    def _arguments(self) -> tuple[Any, ...]:
        if self._phase == "forward":
            return (self._images,)
        masks = self._draw(tf.shape(self._images)[0]) if self._masks is None else self._masks
        if self._phase == "forward-backward":
            return self._images, self._labels, masks
        return self._images, self._labels, masks, self._velocity, self._rates


def _logits(module: TensorFlowNetwork, device: str, images: Tensor) -> Tensor:
    with tf.device(device):
        return module(images)


FUNCTIONS: dict[Phase, Callable[..., Any]] = {
    "train-step": train_step,
    "forward-backward": loss_and_gradients,
    "forward": _logits,
}


def _masks(module: TensorFlowNetwork, numerics: Numerics, batch_size: Tensor) -> dict[str, Tensor]:
    """A fresh mask for each dropout layer, in the computation's type."""
    found = {}
    with tf.device(numerics.device):
        for row in facts(module.network):
            if isinstance(row.layer, Dropout):
                shape = tf.concat([[batch_size], row.input_shape], axis=0)
                found[row.layer.name] = tf.cast(tf.random.uniform(shape) >= row.layer.rate, numerics.dtype)
    return found


def _named(kind: str, tensors: Mapping[str, Tensor]) -> Arrays:
    return {f"{kind}/{name}": _copy(tensor) for name, tensor in tensors.items()}


def _copy(tensor: Tensor) -> Array:
    """Of a tensor or variable; not a view of its memory, which the next step overwrites."""
    return activation_out(tf.convert_to_tensor(tensor)).copy()
