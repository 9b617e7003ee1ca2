"""A full `impls.protocol.Framework` in NumPy, as somebody outside this project could write one.

It computes by the oracle's formulas in float32, so it is a correct implementation with rounding errors of its own.
Workers load this file by its path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from impls.oracle import network as whole
from impls.oracle import operators, sgd
from impls.oracle.rounding import PRECISIONS, Precision
from impls.protocol import Array, Arrays, Batch, Settings, Unsupported, UpdateRule, Vjp
from impls.spec import Layer, Network


def _precision(settings: Settings) -> Precision:
    if settings.device != "cpu":
        raise Unsupported(f"NumPy has no device {settings.device!r}")
    if settings.precision != "float32":
        raise Unsupported(f"precision {settings.precision} is not for NumPy")
    return PRECISIONS[settings.precision]


class NumpyOperators:
    """`impls.protocol.Operators`."""

    def forward(self, layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None = None) -> Array:
        y = operators.forward(layer, x, parameters, mask)
        return np.array(y, np.float32)

    def vjp(self, layer: Layer, x: Array, parameters: Mapping[str, Array], dy: Array, mask: Array | None = None) -> Vjp:
        found = operators.vjp(layer, x, parameters, dy, mask)
        return Vjp(found.dx, {name: np.asarray(value) for name, value in found.dparameters.items()})

    def cross_entropy(self, logits: Array, labels: NDArray[np.integer]) -> tuple[float, Array]:
        return operators.cross_entropy(logits, labels)


class NumpyImplementation:
    """`impls.protocol.Implementation`."""

    def __init__(self, network: Network, weights: Mapping[str, Array], precision: Precision) -> None:
        self._network, self._precision = network, precision
        self._weights = {name: np.array(value, np.float32) for name, value in weights.items()}

    def activations(self, images: Array, masks: Mapping[str, Array] | None = None) -> Arrays:
        return whole.forward(self._network, self._weights, images, masks, np.float32, self._precision)

    def gradients(self, batch: Batch) -> tuple[float, Arrays]:
        found = whole.gradients(self._network, self._weights, batch, np.float32, self._precision)
        return found.loss, {name: np.asarray(value) for name, value in found.gradients.items()}

    def train(self, steps: Sequence[tuple[Batch, UpdateRule]]) -> Iterator[float]:
        velocity = {name: np.zeros_like(value) for name, value in self._weights.items()}
        for batch, rule in steps:
            loss, gradients = self.gradients(batch)
            for name, weight in self._weights.items():
                decay = rule.weight_decay if rule.decay_biases or not name.endswith("/bias") else 0.0
                sgd.update(weight, velocity[name], gradients[name], rule, decay)
            yield loss

    def weights(self) -> Arrays:
        return {name: value.copy() for name, value in self._weights.items()}


class NumpyFramework:
    """`impls.protocol.Framework`."""

    name = "numpy"

    def describe(self, device: str = "cpu") -> dict[str, str]:
        _precision(Settings(device=device))
        return {"version": np.__version__, "device": "cpu"}

    def operators(self, settings: Settings) -> NumpyOperators:
        _precision(settings)
        return NumpyOperators()

    def build(self, network: Network, weights: Mapping[str, Array], settings: Settings) -> NumpyImplementation:
        return NumpyImplementation(network, weights, _precision(settings))


FRAMEWORK = NumpyFramework()
