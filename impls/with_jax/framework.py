"""JAX's entry point: what it is, its operators, and a network built in it."""

from __future__ import annotations

from collections.abc import Mapping

import flax
import jax
import jaxlib

from impls.protocol import Array, Settings
from impls.spec import Network
from impls.with_jax.arrays import find_device, numerics_of
from impls.with_jax.operators import TABLES
from impls.with_jax.single import SingleLayers
from impls.with_jax.training import JaxImplementation


class JaxFramework:
    """`impls.protocol.Framework` for JAX with Flax."""

    name = "jax"

    def describe(self, device: str = "cpu") -> dict[str, str]:
        """Versions and device. Raises Unsupported where the device is not there."""
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
        return SingleLayers(numerics_of(settings), TABLES[settings.tuning])

    def build(self, network: Network, weights: Mapping[str, Array], settings: Settings) -> JaxImplementation:
        """The whole network with a copy of these canonical weights. Raises Unsupported, InvalidNetwork, ValueError."""
        return JaxImplementation(network, weights, numerics_of(settings), TABLES[settings.tuning])


FRAMEWORK = JaxFramework()
