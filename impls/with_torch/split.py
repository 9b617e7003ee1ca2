"""A network on several devices: what each process does with its own, the implementation that tells them, its loop.

Every process of a run does the same at the same time; the leading one says what.
"""

from __future__ import annotations

import itertools
import traceback
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import torch

from impls.derive import parameter_shapes, require_tensors
from impls.protocol import Array, Arrays, Batch, Phase, Settings, UpdateRule
from impls.spec import Dropout, Network
from impls.spec_json import network_from_json, network_to_json
from impls.split import Lies, Plan, plan
from impls.with_torch.arrays import activation_out, numerics_of, parameter_in, parameter_out
from impls.with_torch.engine import Command, Dealt, Engine
from impls.with_torch.operators import Tensor
from impls.with_torch.sgd import update
from impls.with_torch.split_network import SplitNetwork, Tensors

AXES: dict[Lies, int | None] = {Lies.WHOLE: None, Lies.BATCH: 0, Lies.CHANNELS: -1}  # of canonical arrays


class Share:
    """A network on this process' device: its share of the tensors, and what is computed with them."""

    def __init__(self, network: SplitNetwork) -> None:
        self.network = network
        self._velocity: Tensors = {}
        self._loop: ShareLoop | None = None

    def perform(self, command: Command, arrays: Arrays) -> Arrays:
        """What all processes do at the same time; the leading one gets the whole result."""
        network = self.network
        network.numerics.enforce()
        match command["do"]:
            case "activations":
                return self._activations(arrays)
            case "gradients":
                loss, gradients = network.loss_and_gradients(*batch_in(network, arrays))
                return whole_loss(network, loss) | whole(network, "gradient/", gradients)
            case "train":
                return self._train(arrays, UpdateRule(**command["rule"]), fresh=command["fresh"])
            case "weights":
                return whole(network, "weights/", network.tensors)
            case "loop":
                self._loop = ShareLoop(network, command["phase"], UpdateRule(**command["rule"]))
                return {}
        assert self._loop is not None, command
        return self._loop.perform(command, arrays)

    def _activations(self, arrays: Arrays) -> Arrays:
        network = self.network
        images, masks = network.activation_in(arrays["images"]), masks_in(network, arrays)
        with torch.no_grad():
            outputs = network.outputs(images, masks or None)
            collect = network.engine.collect
            return {stage.layer.name: collect(activation_out(y), AXES[stage.after]) for stage, y in outputs}

    def _train(self, arrays: Arrays, rule: UpdateRule, *, fresh: bool) -> Arrays:
        network = self.network
        if fresh:
            self._velocity = zero_velocity(network.tensors)
        loss, gradients = network.loss_and_gradients(*batch_in(network, arrays))
        update(network.tensors, self._velocity, gradients, rule)
        return whole_loss(network, loss)


def batch_in(network: SplitNetwork, arrays: Arrays) -> tuple[Tensor, Tensor, Tensors]:
    """Images, labels and masks of this device, on it."""
    labels = torch.from_numpy(arrays["labels"]).to(network.numerics.device)
    return network.activation_in(arrays["images"]), labels, masks_in(network, arrays)


def masks_in(network: SplitNetwork, arrays: Arrays) -> Tensors:
    """Those of the arrays that are masks, by layer."""
    prefix = "mask/"
    found = {name: array for name, array in arrays.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): network.activation_in(array) for name, array in found.items()}


def whole_loss(network: SplitNetwork, part: Tensor) -> Arrays:
    """The loss [1], put together from its parts."""
    parts = network.engine.collect(part.reshape(1).float().cpu().numpy(), axis=0)
    return {"loss": parts.sum(keepdims=True)}


def whole(network: SplitNetwork, prefix: str, tensors: Mapping[str, Tensor]) -> Arrays:
    """Canonical tensors put together from the devices' shares, copied."""
    collect = network.engine.collect
    shares = {name: np.array(parameter_out(tensor), order="C") for name, tensor in tensors.items()}
    return {prefix + name: collect(share, network.axis(name)) for name, share in shares.items()}


def zero_velocity(tensors: Mapping[str, Tensor]) -> Tensors:
    """What training starts with."""
    return {name: torch.zeros_like(tensor, requires_grad=False) for name, tensor in tensors.items()}


class ShareLoop:
    """A loop's part on this process' device. Masks are drawn apart from the step, which only reads them."""

    def __init__(self, network: SplitNetwork, phase: Phase, rule: UpdateRule) -> None:
        self._network = network
        self._phase = phase
        self._rule = rule
        self._velocity = zero_velocity(network.tensors) if phase == "train-step" else {}
        self._draws = False
        self._last: Tensors = {}

    def perform(self, command: Command, arrays: Arrays) -> Arrays:
        """load, step, wait, result, and what training needs beside them."""
        match command["do"]:
            case "load":
                self._load(arrays, command["draws"])
            case "step":
                self._step()
            case "wait":
                self._wait()
            case "result":
                return self._result()
            case "loss":
                return whole_loss(self._network, self._last["loss"])
            case "set_rule":
                self._rule = UpdateRule(**command["rule"])
            case "start_from":
                self._start_from(arrays)
            case "logits":
                with torch.no_grad():
                    return self._whole_logits(self._network.logits(self._network.activation_in(arrays["images"]), None))
            case unknown:
                raise ValueError(f"no command {unknown!r}")
        return {}

    def _load(self, arrays: Arrays, draws: int) -> None:
        """`draws`: the number of images whose masks are drawn at every step, 0 where they are given."""
        self._images, self._labels, self._masks = batch_in(self._network, arrays)
        self._draws = draws > 0
        if draws:
            self._masks = self._network.room_for_masks(draws)

    def _step(self) -> None:
        network = self._network
        self._last = {}
        if self._phase == "forward":
            with torch.no_grad():
                self._last = {"logits": network.logits(self._images, None)}
            return
        if self._draws:
            network.draw(self._masks)
        loss, gradients = network.loss_and_gradients(self._images, self._labels, self._masks)
        if self._phase == "train-step":
            update(network.tensors, self._velocity, gradients, self._rule)
            gradients = {}
        self._last = {"loss": loss, **gradients}

    def _wait(self) -> None:
        if self._network.numerics.device.type == "cuda":
            torch.cuda.synchronize(self._network.numerics.device)
        self._network.engine.meet()

    def _result(self) -> Arrays:
        network, last = self._network, dict(self._last)
        if self._phase == "forward":
            return self._whole_logits(last["logits"])
        loss = whole_loss(network, last.pop("loss"))
        if self._phase == "forward-backward":
            return loss | whole(network, "gradient/", last)
        return loss | whole(network, "weights/", network.tensors) | whole(network, "velocity/", self._velocity)

    def _start_from(self, velocity: Arrays) -> None:
        for name, tensor in self._velocity.items():
            tensor.copy_(parameter_in(velocity[name], tensor.device, self._network.table.memory_format))

    def _whole_logits(self, own: Tensor) -> Arrays:
        network = self._network
        axis = None if network.plan.gather_logits else AXES[network.plan.stages[-1].after]
        return {"logits": network.engine.collect(activation_out(own), axis)}


class SplitImplementation:
    """`impls.protocol.Implementation` for PyTorch on several devices, in the leading process."""

    _numbers = itertools.count()

    def __init__(
        self, network: Network, made: Plan, weights: Mapping[str, Array], settings: Settings, engine: Engine
    ) -> None:
        """Deals out the weights. Raises Unsupported, and ValueError for a missing or misshapen tensor."""
        numerics_of(replace(settings, device=engine.device(settings)))
        self.plan = made
        self._network = network
        self._engine = engine
        self._number = next(self._numbers)
        dealt = self.dealt_tensors(weights, "weights")
        command = {"do": "build", "number": self._number, "network": network_to_json(network)}
        with engine.guarded():
            own = engine.send({**command, "settings": asdict(settings)}, dealt)
            self._share = Share(SplitNetwork(engine, made, settings, own))
        weakref.finalize(self, engine.released.append, self._number)

    def activations(self, images: Array, masks: Mapping[str, Array] | None = None) -> Arrays:
        """Every layer's output by layer name, put together from the devices' shares."""
        return self.run("activations", self.dealt_images(images) | self._dealt_masks(masks))

    def gradients(self, batch: Batch) -> tuple[float, Arrays]:
        """Mean cross-entropy of a training-mode pass, and its gradient by canonical tensor name."""
        found = self.run("gradients", self.dealt(batch))
        loss = float(found.pop("loss")[0])
        return loss, {name.removeprefix("gradient/"): gradient for name, gradient in found.items()}

    def train(self, steps: Sequence[tuple[Batch, UpdateRule]]) -> Iterator[float]:
        """Run SGD steps from zero velocity. A step is complete on all devices when its loss is yielded."""
        for index, (batch, rule) in enumerate(steps):
            found = self.run("train", self.dealt(batch), rule=asdict(rule), fresh=index == 0)
            yield float(found["loss"][0])

    def weights(self) -> Arrays:
        """A copy of the present weights, canonical names and layouts, float32."""
        return {name.removeprefix("weights/"): array for name, array in self.run("weights").items()}

    def loop(self, phase: Phase, rule: UpdateRule) -> SplitLoop:
        """A phase to be timed, over this implementation's own weights."""
        self.run("loop", phase=phase, rule=asdict(rule))
        return SplitLoop(self)

    def run(self, do: str, arrays: Mapping[str, Dealt] | None = None, **fields: object) -> Arrays:
        """Have all devices do it; returns what they made, whole. Raises DeviceLost."""
        command = {"do": do, "number": self._number, **fields}
        with self._engine.guarded():
            return self._share.perform(command, self._engine.send(command, arrays or {}))

    def dealt_tensors(self, arrays: Mapping[str, Array], kind: str) -> dict[str, Dealt]:
        """Weights or velocity for the devices. Raises ValueError for a missing or misshapen tensor."""
        require_tensors(self._network, arrays, kind)
        own = {name: np.asarray(arrays[name], np.float32) for name in parameter_shapes(self._network)}
        return {name: Dealt(array, -1 if self.plan.tensor_is_sharded(name) else None) for name, array in own.items()}

    def dealt(self, batch: Batch, *, drawn: bool = False) -> dict[str, Dealt]:
        """A batch for the devices; without masks where they will be drawn. Raises ValueError."""
        lies = Lies.WHOLE if self.plan.gather_logits else self.plan.stages[-1].after
        labels = Dealt(np.asarray(batch.labels, np.int64), AXES[lies])
        return self.dealt_images(batch.images) | {"labels": labels} | self._dealt_masks(None if drawn else batch.masks)

    def dealt_images(self, images: Array) -> dict[str, Dealt]:
        """Images for the devices. Raises ValueError where they cannot share them."""
        lies = self.plan.stages[0].before
        if lies is Lies.BATCH and len(images) % self.plan.devices:
            raise ValueError(f"a batch of {len(images)} images cannot be shared equally by {self.plan.devices} devices")
        return {"images": Dealt(np.asarray(images, np.float32), AXES[lies])}

    def _dealt_masks(self, masks: Mapping[str, Array] | None) -> dict[str, Dealt]:
        if masks is None:
            return {}
        found = {}
        for stage in self.plan.stages:
            name = stage.layer.name
            if isinstance(stage.layer, Dropout):
                if name not in masks:
                    raise ValueError(f"no mask for dropout layer {name!r}; masks given: {', '.join(masks) or 'none'}")
                found[f"mask/{name}"] = Dealt(np.asarray(masks[name], np.float32), AXES[stage.before])
        return found


class SplitLoop:
    """`impls.protocol.TrainingLoop` for PyTorch on several devices, in the leading process."""

    def __init__(self, implementation: SplitImplementation) -> None:
        self._implementation = implementation

    def load(self, batch: Batch) -> None:
        """Put a batch on the devices, to be used by every step until the next one is loaded."""
        drawn = not batch.masks
        arrays = self._implementation.dealt(batch, drawn=drawn)
        self._implementation.run("load", arrays, draws=len(batch.images) if drawn else 0)

    def compile(self) -> bool:
        """Eager PyTorch compiles nothing."""
        return False

    def step(self) -> None:
        """One step of the phase on all devices; asynchronous on GPUs."""
        self._implementation.run("step")

    def wait(self) -> None:
        """Return when everything started is done on all devices."""
        self._implementation.run("wait")

    def result(self) -> Arrays:
        """What the last step left, canonical and on the host."""
        return self._implementation.run("result")

    def loss(self) -> float:
        """The last step's loss, with the weights before its update."""
        return float(self._implementation.run("loss")["loss"][0])

    def set_rule(self, rule: UpdateRule) -> None:
        """Take the steps that follow by another rule."""
        self._implementation.run("set_rule", rule=asdict(rule))

    def start_from(self, velocity: Mapping[str, Array]) -> None:
        """Put this velocity in the place of zeros. Raises ValueError for a missing or misshapen tensor."""
        self._implementation.run("start_from", self._implementation.dealt_tensors(velocity, "velocity"))

    def logits(self, images: Array) -> Array:
        """Test-time logits [N, classes] of images [N, H, W, C] by the present weights. Raises ValueError."""
        return self._implementation.run("logits", self._implementation.dealt_images(images))["logits"]


def follow(engine: Engine) -> None:
    """Do as the leading process says, until it ends."""
    try:
        _serve(engine)
    except Exception:
        traceback.print_exc()
        raise
    finally:  # connected, but no more at the others' exchanges, it would let them wait
        engine.stop(abruptly=True)


def _serve(engine: Engine) -> None:
    shares: dict[int, Share] = {}
    while (heard := engine.receive()) is not None:
        command, arrays = heard
        for number in command["released"]:
            shares.pop(number, None)
        match command["do"]:
            case "end":
                return
            case "build":
                network, settings = network_from_json(command["network"]), Settings(**command["settings"])
                made = plan(network, settings.split, settings.devices)
                shares[command["number"]] = Share(SplitNetwork(engine, made, settings, arrays))
            case _:
                shares[command["number"]].perform(command, arrays)
