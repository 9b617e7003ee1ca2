"""A whole network composed layer by layer from a framework's single operators, with or without a planted fault.

The self-test runs the framework's own operators through this, so that a fault can sit in any layer, in the loss or in
the weight update, and reaches every level of the comparison as it would in a real port.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.parity.fault import Fault
from impls.protocol import Array, Arrays, Batch, Framework, Operators, Settings, UpdateRule, Vjp
from impls.spec import Layer, Network


class FaultyOperators:
    """A framework's operators, with the fault in the layers it hits. No fault: the operators unchanged."""

    def __init__(self, inner: Operators, fault: Fault | None) -> None:
        self._inner = inner
        self._fault = fault

    def forward(self, layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None = None) -> Array:
        """See `impls.protocol.Operators.forward`."""
        if self._fault is not None and self._fault.hits(layer):
            return self._fault.forward(self._inner, layer, x, parameters, mask)
        return self._inner.forward(layer, x, parameters, mask)

    def vjp(self, layer: Layer, x: Array, parameters: Mapping[str, Array], dy: Array, mask: Array | None = None) -> Vjp:
        """See `impls.protocol.Operators.vjp`."""
        if self._fault is not None and self._fault.hits(layer):
            return self._fault.vjp(self._inner, layer, x, parameters, dy, mask)
        return self._inner.vjp(layer, x, parameters, dy, mask)

    def cross_entropy(self, logits: Array, labels: NDArray[np.integer]) -> tuple[float, Array]:
        """See `impls.protocol.Operators.cross_entropy`."""
        loss, dlogits = self._inner.cross_entropy(logits, labels)
        return self._fault.loss(loss, dlogits) if self._fault is not None else (loss, dlogits)


class ComposedImplementation:
    """`impls.protocol.Implementation` out of single operators; the update of SGD in float32 NumPy."""

    def __init__(
        self, network: Network, weights: Mapping[str, Array], operators: FaultyOperators, fault: Fault | None
    ) -> None:
        self._network = network if fault is None else fault.network(network)
        self._weights = {name: np.array(value, dtype=np.float32) for name, value in weights.items()}
        self._operators = operators
        self._fault = fault

    def _parameters(self, layer: Layer) -> Arrays:
        prefix = f"{layer.name}/"
        return {name.removeprefix(prefix): value for name, value in self._weights.items() if name.startswith(prefix)}

    def activations(self, images: Array, masks: Mapping[str, Array] | None = None) -> Arrays:
        """Every layer's output by name."""
        found: Arrays = {}
        x = images
        for layer in self._network.layers:
            x = self._operators.forward(layer, x, self._parameters(layer), (masks or {}).get(layer.name))
            found[layer.name] = x
        return found

    def gradients(self, batch: Batch) -> tuple[float, Arrays]:
        """Mean cross-entropy and its gradients, by backpropagation through the operators' own VJPs."""
        found = self.activations(batch.images, batch.masks)
        inputs = [batch.images, *found.values()]
        loss, dy = self._operators.cross_entropy(inputs[-1], batch.labels)
        gradients: Arrays = {}
        for layer, x in zip(reversed(self._network.layers), reversed(inputs[:-1]), strict=True):
            result = self._operators.vjp(layer, x, self._parameters(layer), dy, batch.masks.get(layer.name))
            gradients |= {f"{layer.name}/{name}": value for name, value in result.dparameters.items()}
            dy = result.dx
        return loss, gradients

    def train(self, steps: Sequence[tuple[Batch, UpdateRule]]) -> Iterator[float]:
        """SGD in the paper's form, or the fault's."""
        update = sgd_update if self._fault is None else self._fault.update
        velocity = {name: np.zeros_like(value) for name, value in self._weights.items()}
        for batch, rule in steps:
            loss, gradients = self.gradients(batch)
            for name, weight in self._weights.items():
                decay = rule.weight_decay if rule.decay_biases or not name.endswith("/bias") else 0.0
                update(weight, velocity[name], gradients[name], rule, decay)
            yield loss

    def weights(self) -> Arrays:
        """The present weights."""
        return self._weights


def sgd_update(weight: Array, velocity: Array, gradient: Array, rule: UpdateRule, decay: float) -> None:
    """v <- m v - decay lr w - lr g; w <- w + v, in place (the paper, section 5)."""
    velocity *= rule.momentum
    velocity -= decay * rule.learning_rate * weight
    velocity -= rule.learning_rate * gradient
    weight += velocity


class ComposedFramework:
    """A framework whose networks are composed from its operators."""

    def __init__(self, inner: Framework, fault: Fault | None) -> None:
        self.name = inner.name
        self._inner = inner
        self._fault = fault

    def describe(self, device: str = "cpu") -> dict[str, str]:
        """As the framework describes itself."""
        return self._inner.describe(device)

    def operators(self, settings: Settings) -> FaultyOperators:
        """The framework's operators with the fault in them."""
        return FaultyOperators(self._inner.operators(settings), self._fault)

    def build(self, network: Network, weights: Mapping[str, Array], settings: Settings) -> ComposedImplementation:
        """The network out of those operators."""
        return ComposedImplementation(network, weights, self.operators(settings), self._fault)
