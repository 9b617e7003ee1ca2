"""A phase of the network run again and again on data that stay on the device."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax

from impls.derive import facts, parameter_shapes, require_tensors
from impls.protocol import Array, Arrays, Batch, Phase, UpdateRule
from impls.spec import Dropout, Network
from impls.with_jax.arrays import (
    Numerics,
    activation_copy,
    activation_in,
    labels_in,
    parameter_copy,
    parameter_in,
    program,
)
from impls.with_jax.network import Tensors, logits_at_test, loss_and_gradients
from impls.with_jax.sgd import rates_of, training_step, zero_velocity
from impls.with_jax.tuning import Tuning

PROGRAMS: dict[Phase, Any] = {
    "train-step": training_step,
    "forward-backward": loss_and_gradients,
    "forward": logits_at_test,
}
Wanted = tuple[tuple[str, float, tuple[int, ...]], ...]  # a dropout layer's name, its rate, its mask's shape


class JaxLoop:
    """`impls.protocol.TrainingLoop` for JAX on one device. Masks are drawn apart from the step."""

    def __init__(
        self,
        network: Network,
        graph: Any,
        tensors: Tensors,
        numerics: Numerics,
        tuning: Tuning,
        phase: Phase,
        rule: UpdateRule,
    ) -> None:
        self._network = network
        self._graph = graph
        self._tensors = tensors
        self._numerics = numerics
        self._phase = phase
        self._dropouts = [row for row in facts(network) if isinstance(row.layer, Dropout)]
        self._rates = jax.device_put(rates_of(rule, tensors), numerics.device)
        self._velocity = zero_velocity(tensors, numerics.device) if phase == "train-step" else {}
        self._key = jax.device_put(jax.random.key(0, impl=tuning.generator), numerics.device)
        self._wanted: Wanted = ()  # masks to be drawn anew before every step
        donated = (1, 2) if phase == "train-step" else ()
        self._program = program(PROGRAMS[phase], tuning.compiler, donated=donated)
        self._logits_of = program(logits_at_test, tuning.compiler)
        self._compiled: Any = None
        self._left: tuple[Any, ...] = ()  # by the last step

    def load(self, batch: Batch) -> None:
        """Put a batch on the device, to be used by every step until the next one is loaded."""
        self._images = activation_copy(batch.images, self._numerics)
        self._labels = labels_in(batch.labels, self._numerics)
        self._masks = {name: activation_copy(mask, self._numerics) for name, mask in batch.masks.items()}
        self._wanted = ()
        if not batch.masks and self._phase != "forward":
            self._wanted = tuple(
                (row.layer.name, row.layer.rate, (len(batch.images), *row.input_shape))
                for row in self._dropouts
                if isinstance(row.layer, Dropout)
            )

    def compile(self) -> bool:
        """Compile for the loaded batch's shapes; nothing but the drawing of masks is run."""
        self._numerics.enforce()
        self._compiled = self._program.lower(self._graph, *self._arguments()).compile()
        return True

    def step(self) -> None:
        """One step of the phase; may return before it is done."""
        if self._numerics.device.platform == "cpu":
            self.wait()  # what does not depend on the last step would run beside it, and need memory of its own
        arguments = self._arguments()
        if self._compiled is None:
            self._numerics.enforce()
            left = self._program(self._graph, *arguments)
        else:
            left = self._compiled(*arguments)
        self._left = left if isinstance(left, tuple) else (left,)
        if self._phase == "train-step":
            _, self._tensors, self._velocity = self._left

    def wait(self) -> None:
        """Return when everything started is done."""
        jax.block_until_ready(self._left)

    def result(self) -> Arrays:
        """What the last step left, canonical and on the host."""
        self.wait()
        if self._phase == "forward":
            return {"logits": parameter_copy(self._left[0])}
        found: Arrays = {"loss": parameter_copy(self._left[0]).reshape(1)}
        kinds = ("weights", "velocity") if self._phase == "train-step" else ("gradient",)
        for kind, tensors in zip(kinds, self._left[1:], strict=True):
            found |= {f"{kind}/{name}": parameter_copy(tensors[name]) for name in parameter_shapes(self._network)}
        return found

    def loss(self) -> float:
        """The last step's loss, with the weights before its update."""
        return float(self._left[0])

    def set_rule(self, rule: UpdateRule) -> None:
        """Take the steps that follow by another rule: an array of other values for the same program."""
        self._rates = jax.device_put(rates_of(rule, self._tensors), self._numerics.device)

    def start_from(self, velocity: Mapping[str, Array]) -> None:
        """Put this velocity in the place of zeros. Raises ValueError for a missing or misshapen tensor."""
        require_tensors(self._network, velocity, "velocity")
        self._velocity = {name: parameter_in(velocity[name], self._numerics.device) for name in self._velocity}

    def logits(self, images: Array) -> Array:
        """Test-time logits [N, classes] of images [N, H, W, C] by the present weights."""
        self._numerics.enforce()
        given = activation_in(images, self._numerics)
        return parameter_copy(self._logits_of(self._graph, self._tensors, given))

    def _arguments(self) -> tuple[Any, ...]:
        """What the phase's program takes after the graph."""
        if self._phase == "forward":
            return self._tensors, self._images
        if self._wanted:
            self._key, self._masks = draw_masks(self._wanted, self._numerics.dtype, self._key)
        changed = (self._velocity, self._rates) if self._phase == "train-step" else ()
        return self._tensors, *changed, self._images, self._labels, self._masks


@functools.partial(jax.jit, static_argnums=(0, 1))
def draw_masks(wanted: Wanted, dtype: Any, key: jax.Array) -> tuple[jax.Array, Tensors]:
    """The next key, and a 0/1 mask for each dropout layer, 1 with probability 1 - rate."""
    following, *keys = jax.random.split(key, 1 + len(wanted))
    masks = {}
    for (name, rate, shape), own in zip(wanted, keys, strict=True):
        masks[name] = jax.random.bernoulli(own, 1 - rate, shape).astype(dtype)
    return following, masks
