"""What one process does of a network on several devices. All processes of a run do the same at the same time."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as Spec

from impls.protocol import Arrays, Phase, UpdateRule
from impls.with_jax.engine import AnyArray
from impls.with_jax.network import Tensors
from impls.with_jax.operators import Tensor
from impls.with_jax.sgd import rates_of
from impls.with_jax.split_network import SplitNetwork

Command = dict[str, Any]
Given = dict[str, AnyArray]  # a command's arrays: weights, or images, labels and mask/<layer>

PROGRAMS: dict[Phase, str] = {
    "train-step": "training_step",
    "forward-backward": "loss_and_gradients",
    "forward": "logits_at_test",
}


class Share:
    """A network on this process' devices: their shares of the tensors, and what is computed with them."""

    def __init__(self, network: SplitNetwork, weights: Given) -> None:
        self.network = network
        self.tensors: Tensors = self.tensors_in(weights)
        self._velocity: Tensors = {}
        self._loop: ShareLoop | None = None

    def perform(self, command: Command, arrays: Given) -> Arrays:
        """What all processes do at the same time; every one of them gets the whole result."""
        self.network.engine.numerics.enforce()
        match command["do"]:
            case "activations":
                return self._activations(arrays, masked=command["masked"])
            case "gradients":
                loss, gradients = self.network.loss_and_gradients(self.tensors, *self.batch_in(arrays))
                return self.fetched("loss", loss) | self.fetched_all("gradient/", gradients)
            case "train":
                return self._train(arrays, UpdateRule(**command["rule"]), fresh=command["fresh"])
            case "weights":
                return self.fetched_all("weights/", self.tensors)
            case "loop":
                self._loop = ShareLoop(self, command["phase"], UpdateRule(**command["rule"]))
                return {}
        assert self._loop is not None, command
        return self._loop.perform(command, arrays)

    def tensors_in(self, arrays: Given) -> Tensors:
        """Weights or velocity on the devices, copied."""
        specs, put = self.network.tensor_specs, self.network.engine.put
        return {name: put(arrays[name], spec) for name, spec in specs.items()}

    def batch_in(self, arrays: Given) -> tuple[Tensor, Tensor, Tensors]:
        """Images, labels and masks on the devices, copied."""
        labels = self.network.engine.put(arrays["labels"], self.network.label_spec)
        return self.images_in(arrays), labels, self._masks_in(arrays)

    def fetched(self, name: str, array: Tensor) -> Arrays:
        """One whole array on the host; a number becomes [1]."""
        return {name: np.atleast_1d(self.network.engine.fetch(array))}

    def fetched_all(self, prefix: str, tensors: Tensors) -> Arrays:
        """Canonical tensors, whole and in order."""
        return {prefix + name: self.network.engine.fetch(tensors[name]) for name in self.network.shapes}

    def images_in(self, arrays: Given) -> Tensor:
        """Images on the devices, copied."""
        return self.network.engine.put_activation(arrays["images"], self.network.image_spec)

    def _masks_in(self, arrays: Given) -> Tensors:
        specs, put = self.network.mask_specs, self.network.engine.put_activation
        return {name: put(arrays[f"mask/{name}"], spec) for name, spec in specs.items() if f"mask/{name}" in arrays}

    def _activations(self, arrays: Given, *, masked: bool) -> Arrays:
        given = (self.tensors, self.images_in(arrays))
        if masked:
            outputs = self.network.outputs_in_training(*given, self._masks_in(arrays))
        else:
            outputs = self.network.outputs_at_test(*given)
        names = [stage.layer.name for stage in self.network.plan.stages]
        return {name: self.network.engine.fetch(y) for name, y in zip(names, outputs, strict=True)}

    def _train(self, arrays: Given, rule: UpdateRule, *, fresh: bool) -> Arrays:
        if fresh:
            self._velocity = zero_velocity(self.tensors)
        state = self.tensors, self._velocity, self.network.engine.put(rates_of(rule, self.tensors), Spec())
        loss, self.tensors, self._velocity = self.network.training_step(*state, *self.batch_in(arrays))
        return self.fetched("loss", loss)


def zero_velocity(tensors: Tensors) -> Tensors:
    """What training starts with, lying as the tensors."""
    return {name: jnp.zeros_like(tensor, device=tensor.sharding) for name, tensor in tensors.items()}


class ShareLoop:
    """A loop's part on this process' devices. Masks are drawn apart from the step, which only reads them."""

    def __init__(self, share: Share, phase: Phase, rule: UpdateRule) -> None:
        self._share = share
        self._phase = phase
        self._set_rule(rule)
        self._velocity = zero_velocity(share.tensors) if phase == "train-step" else {}
        self._program = getattr(share.network, PROGRAMS[phase])
        self._drawers: dict[int, Any] = {}  # by batch size
        self._drawer: Any = None  # of masks, before every step
        self._steps = 0
        self._left: tuple[Any, ...] = ()  # by the last step

    def perform(self, command: Command, arrays: Given) -> Arrays:
        """load, compile, step, wait, result, and what training needs beside them."""
        match command["do"]:
            case "load":
                self._load(arrays, draws=command["draws"])
            case "compile":
                self._program = self._program.lower(*self._arguments()).compile()
            case "step":
                self._step()
            case "wait":
                jax.block_until_ready((self._left, self._masks))
            case "result":
                return self._result()
            case "loss":
                return self._share.fetched("loss", self._left[0])
            case "set_rule":
                self._set_rule(UpdateRule(**command["rule"]))
            case "start_from":
                self._velocity = self._share.tensors_in(arrays)
            case "logits":
                return self._logits(arrays)
            case unknown:
                raise ValueError(f"no command {unknown!r}")
        return {}

    def _set_rule(self, rule: UpdateRule) -> None:
        self._rates = self._share.network.engine.put(rates_of(rule, self._share.tensors), Spec())

    def _logits(self, arrays: Given) -> Arrays:
        self._settle()
        given = self._share.tensors, self._share.images_in(arrays)
        return self._share.fetched("logits", self._share.network.logits_at_test(*given))

    def _load(self, arrays: Given, *, draws: bool) -> None:
        self._images, self._labels, self._masks = self._share.batch_in(arrays)
        self._drawer = None
        if draws:
            count = len(self._images)
            if count not in self._drawers:
                self._drawers[count] = self._share.network.mask_drawer(count)
            self._drawer = self._drawers[count]

    def _settle(self) -> None:
        if self._share.network.engine.emulated:
            jax.block_until_ready(self._left)  # devices that share their threads can wait for each other for ever

    def _step(self) -> None:
        self._settle()
        left = self._program(*self._arguments())
        self._left = left if isinstance(left, tuple) else (left,)
        if self._phase == "train-step":
            _, self._share.tensors, self._velocity = self._left

    def _result(self) -> Arrays:
        share = self._share
        if self._phase == "forward":
            return share.fetched("logits", self._left[0])
        found = share.fetched("loss", self._left[0])
        kinds = ("weights/", "velocity/") if self._phase == "train-step" else ("gradient/",)
        for kind, tensors in zip(kinds, self._left[1:], strict=True):
            found |= share.fetched_all(kind, tensors)
        return found

    def _arguments(self) -> tuple[Any, ...]:
        """What the phase's program takes."""
        if self._phase == "forward":
            return self._share.tensors, self._images
        if self._drawer is not None:
            self._steps += 1
            self._masks = self._drawer(np.uint32(self._steps))
        changed = (self._velocity, self._rates) if self._phase == "train-step" else ()
        return self._share.tensors, *changed, self._images, self._labels, self._masks
