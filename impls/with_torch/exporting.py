"""A network's weights as a file of PyTorch's own: `torch.load(path, weights_only=True)["state_dict"]`."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import torch

from impls.protocol import Array
from impls.spec import Network
from impls.torch_names import torch_arrays

MARK = "alexbench"  # the key of the JSON object that says which network it is, and how its images were prepared


def write(network: Network, weights: Mapping[str, Array], path: str, metadata: Mapping[str, str]) -> None:
    """Write {"state_dict": tensors by PyTorch's names, "alexbench": JSON}. Raises ValueError, OSError.

    References:
        https://docs.pytorch.org/docs/stable/notes/serialization.html, "torch.load with weights_only=True"
    """
    arrays = torch_arrays(network, weights)
    state = OrderedDict((name, torch.from_numpy(_writable(array))) for name, array in arrays.items())
    torch.save({"state_dict": state, MARK: metadata.get(MARK, json.dumps({"network": network.name}))}, path)


def _writable(array: Array) -> Array:
    """PyTorch wraps memory that can be written to; what is mapped from a file cannot."""
    return array if array.flags.writeable else np.array(array)
