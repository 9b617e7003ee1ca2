"""The module built from a `Network`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import jax
from flax import nnx

from impls.derive import parameter_shapes, require_tensors
from impls.protocol import Array
from impls.spec import Conv, Dense, Dropout, Layer, Network
from impls.with_jax.arrays import Numerics, parameter_in
from impls.with_jax.operators import OperatorTable, Tensor, apply_layer, cross_entropy

Tensors: TypeAlias = dict[str, Tensor]  # by canonical name


class FlaxNetwork(nnx.Module):
    """A network's layers in order, over parameters in float32 named as the canonical tensors."""

    def __init__(
        self, network: Network, weights: Mapping[str, Array], numerics: Numerics, table: OperatorTable
    ) -> None:
        """Copies the weights. Raises InvalidNetwork, and ValueError for a missing or misshapen tensor."""
        self.layers = network.layers
        self.table = table
        self.tensors = nnx.Dict()
        require_tensors(network, weights)
        for name in parameter_shapes(network):
            self.tensors[name] = nnx.Param(parameter_in(weights[name], numerics.device))

    def __call__(self, images: Tensor, masks: Mapping[str, Tensor] | None = None) -> Tensor:
        """Logits [N, classes] of images [N, H, W, C]."""
        *_, (_, logits) = self.outputs(images, masks)
        return logits

    def outputs(self, images: Tensor, masks: Mapping[str, Tensor] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Every layer's name and output in order. With masks as in training, without as at test time."""
        x = images
        for layer in self.layers:
            x = apply_layer(layer, x, self._parameters_of(layer), _mask_for(layer, masks), self.table)
            yield layer.name, x

    def _parameters_of(self, layer: Layer) -> dict[str, Tensor]:
        if not isinstance(layer, Conv | Dense):
            return {}
        return {kind: self.tensors[f"{layer.name}/{kind}"] for kind in ("weight", "bias")}


def _mask_for(layer: Layer, masks: Mapping[str, Tensor] | None) -> Tensor | None:
    if masks is None or not isinstance(layer, Dropout):
        return None
    if layer.name not in masks:
        given = ", ".join(masks) or "none"
        raise ValueError(f"no mask for dropout layer {layer.name!r}; masks given: {given}")
    return masks[layer.name]


# Programs: the module is split once into its graph, static and hashable, and its tensors.
def all_outputs(graph: Any, tensors: Tensors, images: Tensor, masks: Mapping[str, Tensor] | None) -> list[Tensor]:
    """Every layer's output in order."""
    return [y for _, y in nnx.merge(graph, {"tensors": tensors}).outputs(images, masks)]


def logits_at_test(graph: Any, tensors: Tensors, images: Tensor) -> Tensor:
    """Logits [N, classes] as at test time."""
    return nnx.merge(graph, {"tensors": tensors})(images)


def loss_and_gradients(
    graph: Any, tensors: Tensors, images: Tensor, labels: Tensor, masks: Mapping[str, Tensor]
) -> tuple[Tensor, Tensors]:
    """Mean cross-entropy of a training-mode pass, and its gradient with respect to every tensor."""

    def loss(tensors: Tensors) -> Tensor:
        return cross_entropy(nnx.merge(graph, {"tensors": tensors})(images, masks), labels)

    return jax.value_and_grad(loss)(tensors)
