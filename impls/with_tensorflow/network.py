"""The module built from a `Network`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import tensorflow as tf

from impls.derive import parameter_shapes, require_tensors
from impls.protocol import Array
from impls.spec import Conv, Dense, Dropout, Layer, Network
from impls.with_tensorflow.arrays import Numerics, parameter_in
from impls.with_tensorflow.operators import OperatorTable, Tensor, apply_layer


class TensorFlowNetwork(tf.Module):
    """A network's layers in order, over variables in float32 named as the canonical tensors."""

    def __init__(
        self, network: Network, weights: Mapping[str, Array], numerics: Numerics, table: OperatorTable
    ) -> None:
        """Copies the weights. Raises InvalidNetwork, and ValueError for a missing or misshapen tensor."""
        super().__init__()
        self.network = network
        self.layers = network.layers
        self.table = table
        self.tensors: dict[str, tf.Variable] = {}
        require_tensors(network, weights)
        for name in parameter_shapes(network):
            with tf.device(numerics.device):
                self.tensors[name] = tf.Variable(parameter_in(weights[name], numerics.device), name=name)

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
