"""A network's weights under the names and in the layouts that PyTorch's modules have. NumPy alone; no PyTorch.

A convolution's weight is [out, in / groups, h, w], a dense one [out, in]. What the first dense layer is given is a map
flattened in the order C, H, W, as torch.flatten does with [N, C, H, W].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impls import derive
from impls.spec import Network

Array: TypeAlias = NDArray[np.float32]

# torchvision/models/alexnet.py: places of the learned layers in its two nn.Sequential, `features` and `classifier`.
TORCHVISION = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}


def state_dict_names(network: Network) -> dict[str, str]:
    """Canonical tensor name -> key of the state dict, in the order of the layers; torchvision's own for its net."""
    modules = TORCHVISION if network.name == "torchvision" else {}
    found = {}
    for name in derive.parameter_shapes(network):
        layer, _, kind = name.partition("/")
        found[name] = f"{modules.get(layer, layer)}.{kind}"
    return found


def torch_arrays(network: Network, weights: Mapping[str, Array]) -> dict[str, Array]:
    """Key of the state dict -> contiguous array in PyTorch's layout, in the order of the layers.

    Raises ValueError where a tensor is missing or misshapen.
    """
    derive.require_tensors(network, weights)
    names = state_dict_names(network)
    return {
        names[name]: np.ascontiguousarray(_layout(weights[name], row.input_shape), dtype=np.float32)
        for row in derive.facts(network)
        for name in row.parameters
    }


def _layout(array: Array, input_shape: derive.Shape) -> Array:
    """[h, w, in / groups, out] to [out, in / groups, h, w]; [in, out] to [out, in], of a map in the order C, H, W."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    if array.ndim == 2 and len(input_shape) == 3:
        return array.reshape(*input_shape, -1).transpose(3, 2, 0, 1).reshape(array.shape[1], -1)
    return array.T
