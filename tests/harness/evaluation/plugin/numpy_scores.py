"""Frameworks in NumPy that can score weights, one right and others with a fault, as somebody outside could write them.

They compute by the oracle's formulas in float32. Workers find this file through the entry points that the tests make.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping

import numpy as np

from impls.oracle import network as whole
from impls.protocol import Array, Arrays, Batch, Phase, Settings, Unsupported, UpdateRule
from impls.spec import Network

MARK = np.float32(0.5)  # a bias of the last layer that some faults look for


class NumpyLoop:
    """As much of `impls.protocol.Loop` as a forward pass needs."""

    def __init__(self, network: Network, weights: Mapping[str, Array], fault: str) -> None:
        self._network, self._fault = network, fault
        self._weights = {name: np.array(value, np.float32) for name, value in weights.items()}
        self._marked = self._weights[f"{network.logits}/bias"][0] == MARK
        self._steps = 0

    def load(self, batch: Batch) -> None:
        assert batch.images.dtype == np.float32
        self._batch = batch

    def compile(self) -> bool:
        return False

    def wait(self) -> None:
        """NumPy is done when it returns."""

    def step(self) -> None:
        self._steps += 1
        self._logits = whole.forward(self._network, self._weights, self._batch.images, None, np.float32)[
            self._network.logits
        ]
        if self._fault == "nan" and self._steps > 1:
            self._logits[0, 0] = np.nan
        if self._fault == "sign":
            self._logits = -self._logits
        if self._fault == "memory":
            raise MemoryError("Unable to allocate 9.9 TiB")
        if self._fault == "raises" and self._marked:
            raise ArithmeticError("these weights are too much")
        if self._fault == "killed" and self._marked and self._steps > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == "slow":
            time.sleep(0.3)
        if self._fault == "hangs" and self._steps > 1:
            time.sleep(600)

    def result(self) -> Arrays:
        return {"logits": self._logits}


class NumpyImplementation:
    """As much of `impls.protocol.Implementation` as scoring asks for."""

    def __init__(self, network: Network, weights: Mapping[str, Array], fault: str) -> None:
        self._network, self._weights, self._fault = network, weights, fault

    def loop(self, phase: Phase, rule: UpdateRule) -> NumpyLoop:
        assert phase == "forward"
        return NumpyLoop(self._network, self._weights, self._fault)

    def activations(self, images: Array) -> Arrays:
        return whole.forward(self._network, self._weights, images, None, np.float32)


class NumpyFramework:
    """As much of `impls.protocol.Framework` as scoring asks for."""

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


FAULTS = ("", "nan", "sign", "memory", "raises", "killed", "slow", "hangs")
RIGHT, NAN, SIGN, MEMORY, RAISES, KILLED, SLOW, HANGS = (NumpyFramework(fault) for fault in FAULTS)
