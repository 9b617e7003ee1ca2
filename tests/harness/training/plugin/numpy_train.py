"""Frameworks in NumPy that can be trained, one right and others with a fault, as somebody outside could write them.

They compute by the oracle's formulas in float32. Workers find this file through the entry points that the tests make.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from impls.oracle import network as whole
from impls.oracle import sgd
from impls.oracle.rounding import PRECISIONS
from impls.protocol import Array, Arrays, Batch, Phase, Settings, Unsupported, UpdateRule
from impls.spec import Network

FAULT_STEP = 5  # of the process, from 1
LAST_STEP = 6  # of two epochs of three steps


class TimedLoop:
    """`impls.protocol.Loop`: enough to be timed."""

    def __init__(self, network: Network, weights: Mapping[str, Array], rule: UpdateRule, fault: str) -> None:
        self._network, self._rule, self._fault = network, rule, fault
        self._weights = {name: np.array(value, np.float32) for name, value in weights.items()}
        self._velocity = {name: np.zeros_like(value) for name, value in self._weights.items()}
        self._loss, self._steps = 0.0, 0

    def load(self, batch: Batch) -> None:
        self._batch = batch

    def compile(self) -> bool:
        return False

    def wait(self) -> None:
        """NumPy is done when it returns."""

    def step(self) -> None:
        self._steps += 1
        done = whole.gradients(self._network, self._weights, self._batch, np.float32, PRECISIONS["float32"])
        self._loss = done.loss
        for name, weight in self._weights.items():
            own = replace(self._rule, learning_rate=self._rule.rate(name), factors=())
            sgd.update(weight, self._velocity[name], np.asarray(done.gradients[name]), own, own.decay(name))
        if self._steps == LAST_STEP and self._fault == "overflow":
            self._weights["conv3/bias"][0] = -np.inf  # behind a ReLU: neither loss nor logits show it
        if self._steps == FAULT_STEP:
            self._misbehave()

    def _misbehave(self) -> None:
        if self._fault == "nan":
            self._loss = float("nan")
        if self._fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == "silent":
            time.sleep(600)

    def result(self) -> Arrays:
        found = {"loss": np.array([self._loss], np.float32)}
        found |= {f"velocity/{name}": value.copy() for name, value in self._velocity.items()}
        return found | {f"weights/{name}": value.copy() for name, value in self._weights.items()}


class TrainedLoop(TimedLoop):
    """`impls.protocol.TrainingLoop`."""

    def loss(self) -> float:
        return self._loss

    def set_rule(self, rule: UpdateRule) -> None:
        self._rule = rule

    def start_from(self, velocity: Mapping[str, Array]) -> None:
        self._velocity = {name: np.array(velocity[name], np.float32) for name in self._weights}

    def logits(self, images: Array) -> Array:
        found = whole.forward(self._network, self._weights, images, None, np.float32)
        return np.asarray(found[self._network.logits], np.float32)


class NumpyImplementation:
    """As much of `impls.protocol.Implementation` as a training asks for."""

    def __init__(self, network: Network, weights: Mapping[str, Array], fault: str) -> None:
        self._given = (network, weights)
        self._fault = fault

    def loop(self, phase: Phase, rule: UpdateRule) -> TimedLoop:
        return (TimedLoop if self._fault == "timed" else TrainedLoop)(*self._given, rule, self._fault)


class NumpyFramework:
    """As much of `impls.protocol.Framework` as a training asks for."""

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
        if settings.precision != "float32":
            raise Unsupported(f"NumPy computes in float32, not in {settings.precision}")
        return NumpyImplementation(network, weights, self._fault)


FAULTS = ("", "nan", "overflow", "killed", "silent", "timed")
RIGHT, NAN, OVERFLOW, KILLED, SILENT, TIMED = (NumpyFramework(fault) for fault in FAULTS)
