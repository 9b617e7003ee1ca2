"""Device, precision and session in ONNX Runtime; canonical NumPy arrays to ONNX's layouts and back.

ONNX's layouts are [N, C, H, W] for activations; the weights' are in the graph (`impls.onnx_graph`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from impls import control_groups
from impls.protocol import Array, Settings, Unsupported
from impls.with_onnxruntime.tuning import Tuning

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
QUIET = 3  # errors alone: warnings tell of initializers that the optimiser removed


@dataclass(frozen=True, slots=True)
class Numerics:
    """Where to compute: an execution provider with its options. The type is float32."""

    provider: str
    options: dict[str, str]


def find_device(name: str) -> Numerics:
    """The device called `cpu`, `cuda` or `cuda:1`. Raises Unsupported."""
    kind, _, index = name.partition(":")
    offered = onnxruntime.get_available_providers()
    provider = PROVIDERS.get(kind)
    if provider is None or provider not in offered:
        raise Unsupported(
            f"device {name!r} is not there: ONNX Runtime {onnxruntime.__version__} offers {', '.join(offered)}"
        )
    # A convolution by cuDNN may use TF32 unless it is told not to.
    return Numerics(provider, {"device_id": index or "0", "use_tf32": "0"} if kind == "cuda" else {})


def numerics_of(settings: Settings) -> Numerics:
    """The device for these settings. Raises Unsupported for another precision than float32."""
    if settings.precision != "float32":
        raise Unsupported(f"ONNX Runtime runs the exported graph in float32 here, not in {settings.precision}")
    return find_device(settings.device)


def session_of(model: bytes, numerics: Numerics, tuning: Tuning) -> Any:
    """A session for a serialised model. Raises Unsupported where the provider does not start."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    if tuning.threads == "free":
        options.intra_op_num_threads = control_groups.usable_cores()
    session = onnxruntime.InferenceSession(model, options, providers=[(numerics.provider, numerics.options)])
    if numerics.provider not in session.get_providers():  # it falls back to the CPU with a warning only
        raise Unsupported(f"ONNX Runtime could not start its {numerics.provider}")
    return session


def activation_in(array: Array) -> Array:
    """[N, H, W, C] to [N, C, H, W], or [N, features] as it is; float32, contiguous."""
    native = array.transpose(0, 3, 1, 2) if array.ndim == 4 else array
    return np.ascontiguousarray(native, dtype=np.float32)


def activation_out(array: Array) -> Array:
    """[N, C, H, W] to [N, H, W, C], or [N, features] as it is; float32, contiguous."""
    canonical = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
    return np.ascontiguousarray(canonical)
