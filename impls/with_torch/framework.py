"""PyTorch's entry point: what it is, its operators, and a network built in it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from impls.protocol import Array, Implementation, Probe, Settings, Unsupported, Work
from impls.spec import Layer, Network
from impls.split import SPLITS, InvalidSplit, plan
from impls.with_torch.arrays import find_device, numerics_of
from impls.with_torch.engine import Engine
from impls.with_torch.operators import table_of
from impls.with_torch.processes import following, leading
from impls.with_torch.single import SingleLayers
from impls.with_torch.split import SplitImplementation, follow
from impls.with_torch.timed import layer_work, probe_work
from impls.with_torch.training import TorchImplementation
from impls.with_torch.tuning import tuning_of


class TorchFramework:
    """`impls.protocol.Framework` for PyTorch."""

    name = "torch"
    splits = SPLITS[1:]

    def __init__(self) -> None:
        self._engine: Engine | None = None  # several devices with their processes, from the first split on

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
        return SingleLayers(numerics_of(settings), table_of(tuning_of(settings)))

    def build(self, network: Network, weights: Mapping[str, Array], settings: Settings) -> Implementation:
        """The whole network with a copy of these canonical weights. Raises Unsupported, InvalidNetwork, ValueError."""
        if settings.split != "none":
            try:
                made = plan(network, settings.split, settings.devices)
            except InvalidSplit as error:
                raise Unsupported(str(error)) from None
            self._engine = leading(settings, self._engine)
            return SplitImplementation(network, made, weights, settings, self._engine)
        return TorchImplementation(network, weights, numerics_of(settings), tuning_of(settings))

    def layer_work(
        self,
        layer: Layer,
        x: Array,
        parameters: Mapping[str, Array],
        settings: Settings,
        *,
        backward: bool,
        of_input: bool = True,
    ) -> Work:
        """One layer to be timed, as it runs inside the network. Raises Unsupported."""
        return layer_work(
            layer, x, parameters, numerics_of(settings), tuning_of(settings), backward=backward, of_input=of_input
        )

    def probe(self, probe: Probe, settings: Settings) -> Work:
        """What the device can do in this precision, whatever the tuning. Raises Unsupported."""
        return probe_work(probe, numerics_of(settings))

    def device_memory_mb(self, settings: Settings) -> float | None:
        """The largest memory PyTorch has reserved for tensors on one device, in MiB; None on the CPU."""
        device = find_device(settings.device)
        if device.type != "cuda":
            return None
        engine = self._engine if settings.split != "none" else None
        index = device.index or 0 if engine is None else engine.local_rank  # other processes know of the others
        return torch.cuda.max_memory_allocated(index) / 2**20

    def follow(self) -> None:
        """Drive one further device of a run that another process leads, until that ends. Raises Unsupported."""
        follow(following())


FRAMEWORK = TorchFramework()
