"""Device and precision in TensorFlow; canonical NumPy arrays to tensors and back.

TensorFlow's layouts are the canonical ones: [N, H, W, C], [h, w, in / groups, out] and [in, out].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from impls.protocol import Array, PrecisionName, Settings, Unsupported

DTYPES: dict[PrecisionName, tf.DType] = {
    "float32": tf.float32,
    "tf32": tf.float32,
    "bfloat16": tf.bfloat16,
    "float16": tf.float16,
}


@dataclass(frozen=True, slots=True)
class Numerics:
    """Where and in what type to compute."""

    device: str  # TensorFlow's name, "/CPU:0" or "/GPU:1"
    dtype: tf.DType
    tf32: bool

    def enforce(self) -> None:
        """Set TensorFlow's process-wide TF32 switch, which is on unless told otherwise.

        References:
            https://www.tensorflow.org/api_docs/python/tf/config/experimental/enable_tensor_float_32_execution
        """
        tf.config.experimental.enable_tensor_float_32_execution(self.tf32)


def find_device(name: str) -> str:
    """TensorFlow's name of the device called `cpu`, `cuda` or `cuda:1`. Raises Unsupported."""
    gpus = tf.config.list_physical_devices("GPU")
    known = {"cpu": "/CPU:0", **{f"cuda:{index}": f"/GPU:{index}" for index in range(len(gpus))}}
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in known:
        raise Unsupported(f"device {name!r} is not there: TensorFlow {tf.__version__} found {', '.join(known)}")
    return known[wanted]


def numerics_of(settings: Settings) -> Numerics:
    """Device, type and TF32 for these settings. Raises Unsupported."""
    device = find_device(settings.device)
    tf32 = settings.precision == "tf32"
    if tf32 and _compute_capability(device) < (8, 0):
        raise Unsupported(
            f"tf32 needs an NVIDIA GPU of compute capability 8 or later; this device is {settings.device}"
        )
    return Numerics(device, DTYPES[settings.precision], tf32)


def _compute_capability(device: str) -> tuple[int, ...]:
    if not device.startswith("/GPU"):
        return (0, 0)
    gpu = tf.config.list_physical_devices("GPU")[int(device.rpartition(":")[2])]
    return tuple(tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)))


def activation_in(array: Array, numerics: Numerics) -> tf.Tensor:
    """[N, H, W, C] or [N, features], in the computation's type."""
    with tf.device(numerics.device):
        return tf.cast(tf.convert_to_tensor(np.asarray(array, dtype=np.float32)), numerics.dtype)


def activation_copy(array: Array, numerics: Numerics) -> tf.Tensor:
    """The same over memory of its own, which the caller cannot write to: TensorFlow would share aligned memory."""
    return activation_in(np.array(array, dtype=np.float32), numerics)


def activation_out(tensor: tf.Tensor) -> Array:
    """The tensor in float32, read-only, without a copy on the CPU (its `numpy()` would make one)."""
    return np.asarray(memoryview(tf.cast(tensor, tf.float32)))


def parameter_in(array: Array, device: str) -> tf.Tensor:
    """A float32 copy on the device."""
    with tf.device(device):
        return tf.convert_to_tensor(np.asarray(array, dtype=np.float32))


def parameter_out(tensor: tf.Tensor) -> Array:
    """The tensor in float32, read-only, without a copy on the CPU: the caller must own the tensor."""
    return activation_out(tensor)
