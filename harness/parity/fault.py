"""What a fault is: one mistake people make when they port a network, in a form that can be planted and recognised.

The same object serves twice. Planted in a framework's operators it must be caught (`--self-test`); applied to the
reference it predicts what a layer with this mistake computes, and so names the likely cause of a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from impls.protocol import Array, Arrays, Operators, UpdateRule, Vjp
from impls.spec import Layer, Network

Parameters = Mapping[str, Array]


@dataclass(frozen=True)
class Fault:
    """One mistake.

    name: short, for tables. description: completes "yours has ...". target: the miniature network's layer it is planted
    in, or "loss" or "sgd". kind: the layer class it concerns, None for the loss and the update. figure: the number in a
    layer that the description ends on, where it speaks of one.
    """

    name: str
    description: str
    target: str
    kind: type[Layer] | None = None
    applies: Callable[[Any], bool] = lambda layer: True
    figure: Callable[[Any], int] | None = None

    def told(self, layer: Layer) -> str:
        """The description as it reads for this layer: "the reference's α divided by n = 5"."""
        return self.description if self.figure is None else f"{self.description} = {self.figure(layer)}"

    def concerns(self, layer: Layer) -> bool:
        """Whether a layer could have this fault at all."""
        return self.kind is not None and isinstance(layer, self.kind) and self.applies(layer)

    def hits(self, layer: Layer) -> bool:
        """Whether the planted fault is in this layer: the target in a network, any layer of its kind on its own."""
        return self.concerns(layer) and (layer.name == self.target or layer.name.startswith("case:"))

    def forward(
        self, operators: Operators, layer: Layer, x: Array, parameters: Parameters, mask: Array | None
    ) -> Array:
        """The layer's output with the fault."""
        return operators.forward(layer, x, parameters, mask)

    def vjp(
        self, operators: Operators, layer: Layer, x: Array, parameters: Parameters, dy: Array, mask: Array | None
    ) -> Vjp:
        """The vector-Jacobian product of the faulty layer."""
        return operators.vjp(layer, x, parameters, dy, mask)

    def network(self, network: Network) -> Network:
        """The network with the fault, where it concerns the order of the layers."""
        return network

    def loss(self, loss: float, dlogits: Array) -> tuple[float, Array]:
        """The loss and its gradient with the fault."""
        return loss, dlogits

    def update(self, weight: Array, velocity: Array, gradient: Array, rule: UpdateRule, decay: float) -> None:
        """The weight update with the fault."""
        from harness.parity.composed import sgd_update

        sgd_update(weight, velocity, gradient, rule, decay)


@dataclass(frozen=True)
class Respecified(Fault):
    """The layer is built with other hyper-parameters: `change(layer, input shape)` gives them."""

    change: Callable[[Any, tuple[int, ...]], Layer] = lambda layer, shape: layer

    def forward(
        self, operators: Operators, layer: Layer, x: Array, parameters: Parameters, mask: Array | None
    ) -> Array:
        return operators.forward(self.change(layer, x.shape), x, parameters, mask)

    def vjp(
        self, operators: Operators, layer: Layer, x: Array, parameters: Parameters, dy: Array, mask: Array | None
    ) -> Vjp:
        changed = self.change(layer, x.shape)
        return operators.vjp(changed, x, parameters, _fitted(operators, changed, x, parameters, dy, mask), mask)


def _fitted(
    operators: Operators, layer: Layer, x: Array, parameters: Parameters, dy: Array, mask: Array | None
) -> Array:
    """dy cut or filled with zeros to the shape of the faulty layer's output."""
    shape = operators.forward(layer, x, parameters, mask).shape
    if shape == dy.shape:
        return dy
    fitted = np.zeros(shape, dy.dtype)
    common = tuple(slice(0, min(a, b)) for a, b in zip(shape, dy.shape, strict=True))
    fitted[common] = dy[common]
    return fitted


@dataclass(frozen=True)
class Rearranged(Fault):
    """The layer's parameters are misread: `move(layer, input shape, parameters)`; `back` is its transpose."""

    move: Callable[[Any, tuple[int, ...], Parameters], Arrays] = lambda layer, shape, parameters: dict(parameters)
    back: Callable[[Any, tuple[int, ...], Parameters], Arrays] = lambda layer, shape, parameters: dict(parameters)

    def forward(
        self, operators: Operators, layer: Layer, x: Array, parameters: Parameters, mask: Array | None
    ) -> Array:
        return operators.forward(layer, x, self.move(layer, x.shape, parameters), mask)

    def vjp(
        self, operators: Operators, layer: Layer, x: Array, parameters: Parameters, dy: Array, mask: Array | None
    ) -> Vjp:
        result = operators.vjp(layer, x, self.move(layer, x.shape, parameters), dy, mask)
        return Vjp(result.dx, self.back(layer, x.shape, result.dparameters))


@dataclass(frozen=True)
class Distorted(Fault):
    """The layer's input, output, mask or derivative is changed by functions of arrays."""

    on_x: Callable[[Array], Array] = lambda x: x
    on_parameter: Callable[[Array], Array] = lambda p: p
    on_mask: Callable[[Array], Array | None] = lambda mask: mask
    on_y: Callable[[Array, Array, Array | None], Array] = lambda x, y, mask: y
    on_dx: Callable[[Array, Array, Array], Array] = lambda x, dy, dx: dx

    def forward(
        self, operators: Operators, layer: Layer, x: Array, parameters: Parameters, mask: Array | None
    ) -> Array:
        given = {name: self.on_parameter(value) for name, value in parameters.items()}
        y = operators.forward(layer, self.on_x(x), given, None if mask is None else self.on_mask(mask))
        return self.on_y(x, y, mask)

    def vjp(
        self, operators: Operators, layer: Layer, x: Array, parameters: Parameters, dy: Array, mask: Array | None
    ) -> Vjp:
        given = {name: self.on_parameter(value) for name, value in parameters.items()}
        result = operators.vjp(layer, self.on_x(x), given, dy, None if mask is None else self.on_mask(mask))
        return Vjp(self.on_dx(x, dy, result.dx), result.dparameters)


@dataclass(frozen=True)
class Removed(Fault):
    """The layer is missing: its output is its input."""

    def forward(
        self, operators: Operators, layer: Layer, x: Array, parameters: Parameters, mask: Array | None
    ) -> Array:
        return x

    def vjp(
        self, operators: Operators, layer: Layer, x: Array, parameters: Parameters, dy: Array, mask: Array | None
    ) -> Vjp:
        return Vjp(dy, {})


@dataclass(frozen=True)
class Swapped(Fault):
    """The target and the layer after it stand in the wrong order."""

    def hits(self, layer: Layer) -> bool:
        return False

    def network(self, network: Network) -> Network:
        layers = list(network.layers)
        at = [layer.name for layer in layers].index(self.target)
        layers[at], layers[at + 1] = layers[at + 1], layers[at]
        return replace(network, layers=tuple(layers))


@dataclass(frozen=True)
class WrongLoss(Fault):
    """The loss and its gradient are multiplied by `factor(batch size)`."""

    factor: Callable[[int], float] = lambda batch: 1.0

    def loss(self, loss: float, dlogits: Array) -> tuple[float, Array]:
        factor = self.factor(len(dlogits))
        return loss * factor, (dlogits * factor).astype(dlogits.dtype)


@dataclass(frozen=True)
class WrongUpdate(Fault):
    """The weight update is another rule."""

    rule: Callable[[Array, Array, Array, UpdateRule, float], None] = lambda w, v, g, rule, decay: None

    def update(self, weight: Array, velocity: Array, gradient: Array, rule: UpdateRule, decay: float) -> None:
        self.rule(weight, velocity, gradient, rule, decay)
