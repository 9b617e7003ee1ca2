"""TensorFlow's entry point: what it is, its operators, and a network built in it."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from impls.protocol import Array, Settings
from impls.spec import Network
from impls.with_tensorflow.arrays import find_device, numerics_of
from impls.with_tensorflow.operators import table_of
from impls.with_tensorflow.single import SingleLayers
from impls.with_tensorflow.training import TensorFlowImplementation


class TensorFlowFramework:
    """`impls.protocol.Framework` for TensorFlow."""

    name = "tensorflow"

    def describe(self, device: str = "cpu") -> dict[str, str]:
        """Versions, threads and device. Raises Unsupported where the device is not there."""
        found = find_device(device)
        facts = {
            "version": tf.__version__,
            "device": "cpu",
            # 0: TensorFlow chooses, one thread per core
            "intra_op_threads": str(tf.config.threading.get_intra_op_parallelism_threads()),
            "inter_op_threads": str(tf.config.threading.get_inter_op_parallelism_threads()),
        }
        if found.startswith("/GPU"):
            index = int(found.rpartition(":")[2])
            details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[index])
            build = tf.sysconfig.get_build_info()
            facts["device"] = str(details.get("device_name", found))
            facts["compute_capability"] = ".".join(map(str, details.get("compute_capability", ())))
            facts["cuda"] = str(build.get("cuda_version"))
            facts["cudnn"] = str(build.get("cudnn_version"))
        return facts

    def operators(self, settings: Settings) -> SingleLayers:
        """Single layers under these settings. Raises Unsupported."""
        numerics = numerics_of(settings)
        return SingleLayers(numerics, table_of(settings.tuning, numerics))

    def build(self, network: Network, weights: Mapping[str, Array], settings: Settings) -> TensorFlowImplementation:
        """The whole network with a copy of these canonical weights. Raises Unsupported, InvalidNetwork, ValueError."""
        numerics = numerics_of(settings)
        return TensorFlowImplementation(network, weights, numerics, table_of(settings.tuning, numerics))


FRAMEWORK = TensorFlowFramework()
