"""TensorFlow's entry point: what it is, its operators, and a network built in it."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from impls.protocol import Array, Probe, Settings, Work
from impls.spec import Layer, Network
from impls.split import SPLITS
from impls.with_tensorflow.arrays import find_device, numerics_of
from impls.with_tensorflow.engine import emulate_devices, serve
from impls.with_tensorflow.operators import table_of
from impls.with_tensorflow.single import SingleLayers
from impls.with_tensorflow.split import SplitImplementation
from impls.with_tensorflow.timed import layer_work, probe_work
from impls.with_tensorflow.training import TensorFlowImplementation
from impls.with_tensorflow.tuning import tuning_of


class TensorFlowFramework:
    """`impls.protocol.Framework` for TensorFlow."""

    name = "tensorflow"
    splits = SPLITS[1:]

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
        return SingleLayers(numerics, table_of(tuning_of(settings), numerics))

    def build(
        self, network: Network, weights: Mapping[str, Array], settings: Settings
    ) -> TensorFlowImplementation | SplitImplementation:
        """The whole network with a copy of these canonical weights. Raises Unsupported, InvalidNetwork, ValueError."""
        if settings.split != "none":
            return SplitImplementation(network, weights, settings)
        numerics = numerics_of(settings)
        return TensorFlowImplementation(network, weights, numerics, tuning_of(settings))

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
        """The largest memory TensorFlow has allocated on one device, in MiB; None on the CPU."""
        found = find_device(settings.device)
        if not found.startswith("/GPU"):
            return None
        names = [f"GPU:{index}" for index in range(settings.devices)] if settings.devices > 1 else [found[1:]]
        return max(tf.config.experimental.get_memory_info(name)["peak"] for name in names) / 2**20

    def follow(self) -> None:
        """Serve as one further process of a run under TF_CONFIG, until the leading one ends. Raises Unsupported."""
        serve()


emulate_devices()  # before anything makes TensorFlow find its devices
FRAMEWORK = TensorFlowFramework()
