"""ONNX Runtime's entry point: what it is, its operators, and a network run by it. Forward only."""

from __future__ import annotations

from collections.abc import Mapping

import onnxruntime

from impls import control_groups, registry
from impls.protocol import Array, Implementation, Settings, Unsupported
from impls.spec import Network
from impls.split import Split
from impls.with_onnxruntime.arrays import PROVIDERS, find_device, numerics_of
from impls.with_onnxruntime.network import OnnxImplementation
from impls.with_onnxruntime.single import SingleLayers
from impls.with_onnxruntime.tuning import tuning_of

if missing := registry.missing_modules("onnxruntime"):  # `onnx`, which makes the graphs, and is imported only then
    raise ModuleNotFoundError(f"No module named {missing[0]!r}", name=missing[0])


class OnnxRuntimeFramework:
    """`impls.protocol.Framework` for ONNX Runtime, without what serves gradients, timing and several devices."""

    name = "onnxruntime"
    splits: tuple[Split, ...] = ()

    def describe(self, device: str = "cpu") -> dict[str, str]:
        """Versions, threads and device. Raises Unsupported where the device is not there."""
        found = find_device(device)
        return {
            "version": onnxruntime.__version__,
            "device": "cpu" if found.provider == PROVIDERS["cpu"] else device,
            "provider": found.provider,
            "cores": str(control_groups.usable_cores()),
        }

    def operators(self, settings: Settings) -> SingleLayers:
        """Single layers under these settings, forward only. Raises Unsupported."""
        return SingleLayers(numerics_of(settings), tuning_of(settings))

    def build(self, network: Network, weights: Mapping[str, Array], settings: Settings) -> Implementation:
        """The whole network with these canonical weights. Raises Unsupported, InvalidNetwork, ValueError."""
        if settings.split != "none":
            raise Unsupported(f"ONNX Runtime runs on one device here: it has no split {settings.split!r}")
        return OnnxImplementation(network, weights, numerics_of(settings), tuning_of(settings))


FRAMEWORK = OnnxRuntimeFramework()
