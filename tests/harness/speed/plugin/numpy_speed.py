"""Frameworks in NumPy that can be timed, one right and others with a fault, as somebody outside could write them.

They compute by the oracle's formulas in float32. Workers find this file through the entry points that the tests make.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from impls.derive import facts
from impls.oracle import network as whole
from impls.oracle import operators, sgd
from impls.oracle.rounding import PRECISIONS
from impls.protocol import Array, Arrays, Batch, Phase, Probe, Settings, Unsupported, UpdateRule
from impls.spec import Dropout, Layer, Network


class NumpyWork:
    """`impls.protocol.Work`."""

    def __init__(self, program) -> None:
        self.step = program

    def wait(self) -> None:
        """NumPy is done when it returns."""


class NumpyLoop:
    """`impls.protocol.Loop`."""

    def __init__(
        self, network: Network, weights: Mapping[str, Array], phase: Phase, rule: UpdateRule, fault: str
    ) -> None:
        self._network, self._phase, self._rule, self._fault = network, phase, rule, fault
        self._weights = {name: np.array(value, np.float32) for name, value in weights.items()}
        self._velocity = {name: np.zeros_like(value) for name, value in self._weights.items()}
        self._rng = np.random.default_rng(0)
        self._last: Arrays = {}
        self._steps = 0

    def load(self, batch: Batch) -> None:
        self._batch = batch

    def compile(self) -> bool:
        return False

    def wait(self) -> None:
        """NumPy is done when it returns."""

    def step(self) -> None:
        self._steps += 1
        if self._phase == "forward":
            found = whole.forward(self._network, self._weights, self._batch.images, None, np.float32)
            self._last = {"logits": found[self._network.logits]}
            return
        done = whole.gradients(self._network, self._weights, self._with_masks(), np.float32, PRECISIONS["float32"])
        gradients = {name: np.asarray(value) for name, value in done.gradients.items()}
        self._misbehave(gradients)
        self._last = {"loss": np.array([done.loss], np.float32)}
        if self._phase == "forward-backward":
            self._last |= {f"gradient/{name}": value for name, value in gradients.items()}
            return
        for name, weight in self._weights.items():
            sgd.update(weight, self._velocity[name], gradients[name], self._rule, self._rule.weight_decay)

    def _misbehave(self, gradients: Arrays) -> None:
        if self._fault == "gradient":
            gradients["conv1/weight"] *= np.float32(1.1)
        if self._fault == "frozen" and self._steps > 1:
            self._rule = UpdateRule(0.0, 0.0, 0.0)
        if self._fault == "memory" and len(self._batch.labels) > 2:
            raise MemoryError("Unable to allocate 9.9 TiB")
        if self._fault == "killed" and self._steps > 3 and not Path(os.environ["SPARE_FILE"]).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == "slow":
            time.sleep(0.2)

    def _with_masks(self) -> Batch:
        if self._batch.masks:
            return self._batch
        count = len(self._batch.labels)
        masks = {
            row.layer.name: (self._rng.random((count, *row.input_shape)) >= row.layer.rate).astype(np.float32)
            for row in facts(self._network)
            if isinstance(row.layer, Dropout)
        }
        return self._batch._replace(masks=masks)

    def result(self) -> Arrays:
        found = {name: value.copy() for name, value in self._last.items()}
        if self._phase == "train-step":
            found |= {f"velocity/{name}": value.copy() for name, value in self._velocity.items()}
            found |= {f"weights/{name}": value.copy() for name, value in self._weights.items()}
        return found


class NumpyImplementation:
    """As much of `impls.protocol.Implementation` as a speed run asks for."""

    def __init__(self, network: Network, weights: Mapping[str, Array], fault: str) -> None:
        self._network, self._weights, self._fault = network, weights, fault

    def loop(self, phase: Phase, rule: UpdateRule) -> NumpyLoop:
        return NumpyLoop(self._network, self._weights, phase, rule, self._fault)


class NumpyFramework:
    """As much of `impls.protocol.Framework` as a speed run asks for."""

    def __init__(self, fault: str = "") -> None:
        self.name = f"numpy-{fault}" if fault else "numpy"
        self._fault = fault

    def describe(self, device: str = "cpu") -> dict[str, str]:
        if device != "cpu":
            raise Unsupported(f"NumPy has no device {device!r}")
        return {"version": np.__version__, "device": "cpu"}

    def operators(self, settings: Settings) -> None:
        """Not asked for."""

    def build(self, network: Network, weights: Mapping[str, Array], settings: Settings) -> NumpyImplementation:
        devices = 2 if self._fault == "alone" else 1  # which computes everything on each of two
        if settings.devices > devices or settings.precision != "float32":
            raise Unsupported(f"NumPy has one device and float32, not {settings.devices} and {settings.precision}")
        if self._fault == "alone":
            Path(os.environ["STARTED_FILE"]).touch()
        return NumpyImplementation(network, weights, self._fault)

    def layer_work(
        self,
        layer: Layer,
        x: Array,
        parameters: Mapping[str, Array],
        settings: Settings,
        *,
        backward: bool,
        of_input: bool = True,
    ) -> NumpyWork:
        if self._fault == "layer" and layer.name == "conv2":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == "raises" and layer.name == "conv2":
            raise RuntimeError("conv2 alone is not to be had")
        mask = np.ones_like(x) if isinstance(layer, Dropout) else None
        y = operators.forward(layer, x, parameters, mask)

        def program() -> None:
            operators.forward(layer, x, parameters, mask)
            if backward:
                operators.vjp(layer, x, parameters, np.ones_like(y), mask, need_dx=of_input)

        return NumpyWork(program)

    def probe(self, probe: Probe, settings: Settings) -> NumpyWork:
        if probe.kind == "convolution":
            raise Unsupported("NumPy has no convolution")
        if self._fault == "probe":
            os.kill(os.getpid(), signal.SIGKILL)
        x = np.ones((probe.size, probe.size) if probe.kind == "matmul" else probe.size, np.float32)
        return NumpyWork((lambda: x @ x) if probe.kind == "matmul" else x.copy)

    def device_memory_mb(self, settings: Settings) -> None:
        return None

    def follow(self) -> None:
        raise Unsupported("NumPy knows no other processes")


FAULTS = ("", "gradient", "frozen", "memory", "killed", "slow", "probe", "layer", "alone", "raises")
RIGHT, GRADIENT, FROZEN, MEMORY, KILLED, SLOW, PROBE, LAYER, ALONE, RAISES = (NumpyFramework(fault) for fault in FAULTS)

if (started := os.environ.get("STARTED_FILE")) and Path(started).exists():  # a second process does not come up
    os.kill(os.getpid(), signal.SIGKILL)
