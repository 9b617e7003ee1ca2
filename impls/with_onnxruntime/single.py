"""One layer at a time, NumPy in and out: the operators a parity check drives directly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from impls.onnx_graph import layer_model
from impls.protocol import Array, Unsupported, Vjp
from impls.spec import Layer
from impls.with_onnxruntime.arrays import Numerics, activation_in, activation_out, session_of
from impls.with_onnxruntime.tuning import Tuning

FORWARD_ONLY = "ONNX Runtime is forward only here: it offers no {what}"


class SingleLayers:
    """`impls.protocol.Operators` for ONNX Runtime, as far as it goes."""

    def __init__(self, numerics: Numerics, tuning: Tuning) -> None:
        self._numerics = numerics
        self._tuning = tuning

    def forward(self, layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None = None) -> Array:
        """One layer's output at test time, [N, ...]. Raises Unsupported for a mask."""
        if mask is not None:
            raise Unsupported(FORWARD_ONLY.format(what="dropout with a mask"))
        model = layer_model(layer, x.shape[1:], parameters).SerializeToString()
        (y,) = session_of(model, self._numerics, self._tuning).run(None, {"x": activation_in(x)})
        return activation_out(y)

    def vjp(self, layer: Layer, x: Array, parameters: Mapping[str, Array], dy: Array, mask: Array | None = None) -> Vjp:
        """Raises Unsupported."""
        raise Unsupported(FORWARD_ONLY.format(what="gradients"))

    def cross_entropy(self, logits: Array, labels: NDArray[np.integer]) -> tuple[float, Array]:
        """Raises Unsupported."""
        raise Unsupported(FORWARD_ONLY.format(what="loss"))
