"""PyTorch's entry point: what it is, its operators, and a network built in it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from impls.protocol import Array, Settings
from impls.spec import Network
from impls.with_torch.arrays import find_device, numerics_of
from impls.with_torch.operators import TABLES
from impls.with_torch.single import SingleLayers
from impls.with_torch.training import TorchImplementation


class TorchFramework:
    """`impls.protocol.Framework` for PyTorch."""

    name = "torch"

    def describe(self, device: str = "cpu") -> dict[str, str]:
        """Versions, threads and device. Raises Unsupported where the device is not there."""
        found = find_device(device)
        facts = {
            "version": torch.__version__,
            "device": "cpu",
            "threads": str(torch.get_num_threads()),
            "instruction_set": torch.backends.cpu.get_cpu_capability(),
            "onednn": "yes" if torch.backends.mkldnn.is_available() else "no",
        }
        if found.type == "cuda":
            major, minor = torch.cuda.get_device_capability(found)
            facts["device"] = torch.cuda.get_device_name(found)
            facts["compute_capability"] = f"{major}.{minor}"
            facts["cuda"] = str(torch.version.cuda)
            facts["cudnn"] = str(torch.backends.cudnn.version())
        return facts

    def operators(self, settings: Settings) -> SingleLayers:
        """Single layers under these settings. Raises Unsupported."""
        return SingleLayers(numerics_of(settings), TABLES[settings.tuning])

    def build(self, network: Network, weights: Mapping[str, Array], settings: Settings) -> TorchImplementation:
        """The whole network with a copy of these canonical weights. Raises Unsupported, InvalidNetwork, ValueError."""
        return TorchImplementation(network, weights, numerics_of(settings), TABLES[settings.tuning])


FRAMEWORK = TorchFramework()
