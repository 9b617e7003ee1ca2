"""A network on several devices: the implementation, its loop, and the processes that follow the leading one."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from impls import child_process
from impls.derive import parameter_shapes, require_tensors
from impls.protocol import Array, Arrays, Batch, Phase, Settings, Unsupported, UpdateRule
from impls.spec import Network
from impls.spec_json import network_from_json, network_to_json
from impls.split import Lies
from impls.with_jax.processes import DeviceLost, Link, join, leave, processes
from impls.with_jax.share import Command, Given, Share
from impls.with_jax.split_network import split_network


class SplitImplementation:
    """`impls.protocol.Implementation` for JAX on several devices, in the leading process."""

    _numbers = itertools.count()

    def __init__(self, network: Network, weights: Mapping[str, Array], settings: Settings) -> None:
        """Shares out the weights. Raises Unsupported, InvalidNetwork, and ValueError for a tensor that does not fit."""
        self._link = join()
        self._number = next(self._numbers)
        made = split_network(network, settings)
        self.plan = made.plan
        self._network = network
        arrays = self.tensors_of(weights, "weights")
        described = {"network": network_to_json(network), "settings": asdict(settings)}
        with self._told({"do": "build", "number": self._number, **described}, arrays):
            self._share = Share(made, arrays)
        if self._link is not None:
            weakref.finalize(self, self._link.released.append, self._number)

    def activations(self, images: Array, masks: Mapping[str, Array] | None = None) -> Arrays:
        """Every layer's output by layer name, put together from the devices' shares."""
        return self.run("activations", self.images_of(images) | self._masks(masks), masked=masks is not None)

    def gradients(self, batch: Batch) -> tuple[float, Arrays]:
        """Mean cross-entropy of a training-mode pass, and its gradient by canonical tensor name."""
        found = self.run("gradients", self.arrays_of(batch))
        loss = float(found.pop("loss")[0])
        return loss, {name.removeprefix("gradient/"): gradient for name, gradient in found.items()}

    def train(self, steps: Sequence[tuple[Batch, UpdateRule]]) -> Iterator[float]:
        """Run SGD steps from zero velocity. A step is complete on all devices when its loss is yielded."""
        for index, (batch, rule) in enumerate(steps):
            found = self.run("train", self.arrays_of(batch), rule=asdict(rule), fresh=index == 0)
            yield float(found["loss"][0])

    def weights(self) -> Arrays:
        """A copy of the present weights, canonical names and layouts, float32."""
        return {name.removeprefix("weights/"): array for name, array in self.run("weights").items()}

    def loop(self, phase: Phase, rule: UpdateRule) -> SplitLoop:
        """A phase to be timed; it uses up the implementation's tensors."""
        self.run("loop", phase=phase, rule=asdict(rule))
        return SplitLoop(self)

    def run(self, do: str, arrays: Given | None = None, **fields: object) -> Arrays:
        """Have all devices do it; returns what they made, whole. Raises DeviceLost."""
        command, given = {"do": do, "number": self._number, **fields}, arrays or {}
        with self._told(command, given):
            return self._share.perform(command, given)

    def tensors_of(self, arrays: Mapping[str, Array], kind: str) -> Given:
        """The network's own tensors, in its order, float32. Raises ValueError for a missing or misshapen one."""
        require_tensors(self._network, arrays, kind)
        return {name: np.asarray(arrays[name], np.float32) for name in parameter_shapes(self._network)}

    def arrays_of(self, batch: Batch, *, drawn: bool = False) -> Given:
        """A batch under the names of commands; without masks where they will be drawn. Raises ValueError."""
        labels = np.asarray(batch.labels, np.int32)
        return self.images_of(batch.images) | {"labels": labels} | self._masks(None if drawn else batch.masks)

    @contextlib.contextmanager
    def _told(self, command: Command, arrays: Given) -> Iterator[None]:
        """What this process does with the others, which are told first."""
        if self._link is None:
            yield
            return
        with self._link.guarded():
            self._link.tell(command, arrays)
            yield

    def images_of(self, images: Array) -> Given:
        """Images under the name of commands. Raises ValueError where the devices cannot share them."""
        lies = {stage.before for stage in self.plan.stages}
        if Lies.BATCH in lies and len(images) % self.plan.devices:
            raise ValueError(f"a batch of {len(images)} images cannot be shared equally by {self.plan.devices} devices")
        return {"images": np.asarray(images, np.float32)}

    def _masks(self, masks: Mapping[str, Array] | None) -> Given:
        if masks is None:
            return {}
        for name in self._share.network.mask_specs:
            if name not in masks:
                raise ValueError(f"no mask for dropout layer {name!r}; masks given: {', '.join(masks) or 'none'}")
        return {f"mask/{name}": np.asarray(masks[name], np.float32) for name in self._share.network.mask_specs}


class SplitLoop:
    """`impls.protocol.TrainingLoop` for JAX on several devices, in the leading process."""

    def __init__(self, implementation: SplitImplementation) -> None:
        self._implementation = implementation

    def load(self, batch: Batch) -> None:
        """Put a batch on the devices, to be used by every step until the next one is loaded."""
        drawn = not batch.masks
        self._implementation.run("load", self._implementation.arrays_of(batch, drawn=drawn), draws=drawn)

    def compile(self) -> bool:
        """Compile for the loaded batch's shapes; nothing but the drawing of masks is run."""
        self._implementation.run("compile")
        return True

    def step(self) -> None:
        """One step of the phase on all devices; may return before it is done."""
        self._implementation.run("step")

    def wait(self) -> None:
        """Return when everything started is done."""
        self._implementation.run("wait")

    def result(self) -> Arrays:
        """What the last step left, canonical and on the host."""
        return self._implementation.run("result")

    def loss(self) -> float:
        """The last step's loss, with the weights before its update."""
        return float(self._implementation.run("loss")["loss"][0])

    def set_rule(self, rule: UpdateRule) -> None:
        """Take the steps that follow by another rule: an array of other values for the same program."""
        self._implementation.run("set_rule", rule=asdict(rule))

    def start_from(self, velocity: Mapping[str, Array]) -> None:
        """Put this velocity in the place of zeros. Raises ValueError for a missing or misshapen tensor."""
        self._implementation.run("start_from", self._implementation.tensors_of(velocity, "velocity"))

    def logits(self, images: Array) -> Array:
        """Test-time logits [N, classes] of images [N, H, W, C] by the present weights. Raises ValueError."""
        return self._implementation.run("logits", self._implementation.images_of(images))["logits"]


def follow() -> None:
    """Do as the leading process says, until it ends. Raises Unsupported, DeviceLost.

    A process of its own does so: JAX aborts the others' as soon as the leading one is gone.
    """
    own = processes()
    if own is None or own.index == 0:
        raise Unsupported("nobody to follow: JAX_PROCESS_ID above 0, with JAX_COORDINATOR_ADDRESS, names a follower")
    command = child_process.command(__name__)
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=child_process.environment()) as process:
        try:
            code = process.wait()
        finally:
            process.kill()
    if code not in (0, -signal.SIGABRT):
        raise DeviceLost(f"process {own.index} of {own.count} ended with exit status {code}: what it wrote says why")


def serve() -> None:
    """The process that `follow` starts. It ends with the one that started it, whose end closes its input."""
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(1)), daemon=True).start()
    try:
        link = join()
        assert link is not None
        _obey(link)
    except BaseException:
        # Alive, but no more at the others' exchanges, it would let them wait for ever.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    leave()


def _obey(link: Link) -> None:
    shares: dict[int, Share] = {}
    while (heard := link.hear()) is not None:
        command, arrays = heard
        for number in command["released"]:
            shares.pop(number, None)
        match command["do"]:
            case "end":
                return
            case "build":
                network, settings = network_from_json(command["network"]), Settings(**command["settings"])
                shares[command["number"]] = Share(split_network(network, settings), arrays)
            case _:
                shares[command["number"]].perform(command, arrays)
    os._exit(0)  # the leading process is gone, and cannot be met to take leave


if __name__ == "__main__":
    serve()
