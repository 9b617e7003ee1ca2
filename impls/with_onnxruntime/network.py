"""A network at work in ONNX Runtime: its activations at test time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from impls.onnx_graph import IMAGES, LOGITS, model
from impls.protocol import Array, Arrays, Batch, Loop, Phase, Unsupported, UpdateRule
from impls.spec import Network
from impls.tensor_file import WeightsError
from impls.with_onnxruntime.arrays import Numerics, activation_in, activation_out, session_of
from impls.with_onnxruntime.single import FORWARD_ONLY
from impls.with_onnxruntime.tuning import Tuning


class OnnxImplementation:
    """`impls.protocol.Implementation` for ONNX Runtime, as far as it goes.

    The logits are those of the graph as it is exported, whose layers the runtime fuses as it likes; the other
    activations come from the same graph with every layer among its outputs, which a fusion cannot hide.
    """

    def __init__(self, network: Network, weights: Mapping[str, Array], numerics: Numerics, tuning: Tuning) -> None:
        """Raises Unsupported for a network over the 2 GB of an ONNX file."""
        self._network = network
        self._weights = {name: np.asarray(array, np.float32) for name, array in weights.items()}
        try:
            made = model(network, self._weights, {}, every_layer=True)
        except WeightsError as error:
            raise Unsupported(str(error)) from None
        self._observed = session_of(made.SerializeToString(), numerics, tuning)
        del made.graph.output[:-1]  # the logits are the last
        self._exported = session_of(made.SerializeToString(), numerics, tuning)

    def activations(self, images: Array, masks: Mapping[str, Array] | None = None) -> Arrays:
        """Every layer's output by layer name, canonical layouts. Raises Unsupported for masks."""
        if masks is not None:
            raise Unsupported(FORWARD_ONLY.format(what="dropout with masks"))
        given = {IMAGES: activation_in(images)}
        names = [layer.name for layer in self._network.layers[:-1]]
        found = dict(zip(names, map(activation_out, self._observed.run(names, given)), strict=True)) if names else {}
        (logits,) = self._exported.run([LOGITS], given)
        return {**found, self._network.logits: logits}

    def gradients(self, batch: Batch) -> tuple[float, Arrays]:
        """Raises Unsupported."""
        raise Unsupported(FORWARD_ONLY.format(what="gradients"))

    def train(self, steps: Sequence[tuple[Batch, UpdateRule]]) -> Iterator[float]:
        """Raises Unsupported."""
        raise Unsupported(FORWARD_ONLY.format(what="training"))

    def weights(self) -> Arrays:
        """The weights it was built with, canonical names and layouts."""
        return {name: array.copy() for name, array in self._weights.items()}

    def loop(self, phase: Phase, rule: UpdateRule) -> Loop:
        """Raises Unsupported."""
        raise Unsupported(FORWARD_ONLY.format(what="loop to be timed"))
