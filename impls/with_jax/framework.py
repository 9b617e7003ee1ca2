"""JAX's entry point: what it is, its operators, and a network built in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import flax
import jax
import jaxlib

from impls.protocol import Array, Probe, Settings
from impls.spec import Layer, Network
from impls.split import SPLITS
from impls.with_jax.arrays import find_device, numerics_of
from impls.with_jax.processes import join
from impls.with_jax.single import SingleLayers
from impls.with_jax.split import SplitImplementation, follow
from impls.with_jax.timed import JaxWork, layer_work, probe_work
from impls.with_jax.training import JaxImplementation
from impls.with_jax.tuning import tuning_of


class JaxFramework:
    """`impls.protocol.Framework` for JAX with Flax."""

    name = "jax"
    splits = SPLITS[1:]

    def describe(self, device: str = "cpu") -> dict[str, str]:
        """Versions and device. Raises Unsupported where the device is not there."""
        join()  # of several processes, before JAX starts its devices
        found = find_device(device)
        return {
            "version": jax.__version__,
            "device": found.device_kind,
            "flax": flax.__version__,
            "jaxlib": jaxlib.__version__,
            "platform": found.client.platform_version,  # XLA, or CUDA and its version
        }

    def operators(self, settings: Settings) -> SingleLayers:
        """Single layers under these settings. Raises Unsupported."""
        join()
        return SingleLayers(numerics_of(settings), tuning_of(settings))

    def build(
        self, network: Network, weights: Mapping[str, Array], settings: Settings
    ) -> JaxImplementation | SplitImplementation:
        """The whole network with a copy of these canonical weights. Raises Unsupported, InvalidNetwork, ValueError."""
        if settings.split != "none":
            return SplitImplementation(network, weights, settings)
        return JaxImplementation(network, weights, numerics_of(settings), tuning_of(settings))

    def layer_work(
        self,
        layer: Layer,
        x: Array,
        parameters: Mapping[str, Array],
        settings: Settings,
        *,
        backward: bool,
        of_input: bool = True,
    ) -> JaxWork:
        """One layer to be timed. Raises Unsupported."""
        return layer_work(
            layer, x, parameters, numerics_of(settings), tuning_of(settings), backward=backward, of_input=of_input
        )

    def probe(self, probe: Probe, settings: Settings) -> JaxWork:
        """What the device can do. Raises Unsupported."""
        return probe_work(probe, numerics_of(settings), tuning_of(replace(settings, tuning="tuned")))

    def device_memory_mb(self, settings: Settings) -> float | None:
        """The largest memory allocated on the device so far, in MiB; None on the CPU."""
        device = find_device(settings.device)
        statistics = None if device.platform == "cpu" else device.memory_stats()
        return None if statistics is None else statistics["peak_bytes_in_use"] / 2**20

    def follow(self) -> None:
        """Serve as one further process of a run under jax.distributed. Raises Unsupported."""
        follow()


FRAMEWORK = JaxFramework()
