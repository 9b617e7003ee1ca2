"""Device and precision in PyTorch; canonical NumPy arrays to PyTorch's layouts and back.

PyTorch's logical layouts are [N, C, H, W] for activations, [out, in / groups, h, w] for kernels and [out, in] for dense
weights. `channels_last` keeps those shapes and stores activations as canonical arrays are stored, so that a conversion
is a change of strides without a copy.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch

from impls.protocol import Array, PrecisionName, Settings, Unsupported

DTYPES: dict[PrecisionName, torch.dtype] = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, slots=True)
class Numerics:
    """Where and in what type to compute."""

    device: torch.device
    dtype: torch.dtype
    tf32: bool

    def enforce(self) -> None:
        """Set PyTorch's process-wide TF32 switches; cuDNN's convolutions use TF32 unless told otherwise.

        References:
            https://docs.pytorch.org/docs/stable/notes/cuda.html, "TensorFloat-32 (TF32) on Ampere (and later) devices"
        """
        allowed = "tf32" if self.tf32 else "ieee"
        torch.backends.cuda.matmul.fp32_precision = allowed
        torch.backends.cudnn.conv.fp32_precision = allowed
        torch.backends.mkldnn.matmul.fp32_precision = "ieee"
        torch.backends.mkldnn.conv.fp32_precision = "ieee"


def find_device(name: str) -> torch.device:
    """The device called `cpu`, `cuda` or `cuda:1`. Raises Unsupported."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = ", ".join(["cpu", *(f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(count))])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise Unsupported(f"PyTorch knows no device {name!r}; it found {found}") from None
    if device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < count):
        return device
    raise Unsupported(f"device {name!r} is not there: PyTorch {torch.__version__} found {found}")


def numerics_of(settings: Settings) -> Numerics:
    """Device, type and TF32 for these settings. Raises Unsupported."""
    device = find_device(settings.device)
    tf32 = settings.precision == "tf32"
    if tf32 and not (device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)):
        raise Unsupported(
            f"tf32 needs an NVIDIA GPU of compute capability 8 or later; this device is {settings.device}"
        )
    return Numerics(device, DTYPES[settings.precision], tf32)


def _wrap(array: Array) -> torch.Tensor:
    """A tensor over the array's own memory where that is float32 and contiguous. Nobody may write to it."""
    contiguous = np.ascontiguousarray(array, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")  # memory-mapped, read-only
        return torch.from_numpy(contiguous)


def activation_in(array: Array, numerics: Numerics, memory_format: torch.memory_format) -> torch.Tensor:
    """[N, H, W, C] to a tensor of shape [N, C, H, W] in this memory format, or [N, features] as it is."""
    return _to_maps(_wrap(array).to(numerics.device, numerics.dtype), memory_format)


def activation_copy(array: Array, numerics: Numerics, memory_format: torch.memory_format) -> torch.Tensor:
    """The same over memory of its own, which the caller cannot write to.

    It begins where PyTorch has tensors begin, in whole cache lines: MKL adds in an order that depends on that.
    """
    return _to_maps(_wrap(array).to(numerics.device, numerics.dtype, copy=True), memory_format)


def _to_maps(tensor: torch.Tensor, memory_format: torch.memory_format) -> torch.Tensor:
    if tensor.ndim != 4:
        return tensor
    return tensor.permute(0, 3, 1, 2).contiguous(memory_format=memory_format)


def activation_out(tensor: torch.Tensor) -> Array:
    """[N, C, H, W] to [N, H, W, C], or [N, features] as it is; float32, contiguous, without a copy where it can."""
    canonical = tensor.detach().permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor.detach()
    return np.ascontiguousarray(canonical.float().cpu().numpy())


def parameter_in(array: Array, device: torch.device, memory_format: torch.memory_format) -> torch.Tensor:
    """A float32 copy: [h, w, in / groups, out] to [out, in / groups, h, w], [in, out] to [out, in], a bias as it is."""
    tensor = _wrap(array)
    if tensor.ndim == 4:
        return tensor.permute(3, 2, 0, 1).to(device, copy=True, memory_format=memory_format)
    return tensor.t().to(device, copy=True, memory_format=torch.contiguous_format)


def parameter_out(tensor: torch.Tensor) -> Array:
    """The canonical layout as a float32 view, without a copy on the CPU: the caller must own the tensor."""
    view = tensor.detach().permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor.detach().t()
    canonical: Array = view.float().cpu().numpy()
    return canonical
