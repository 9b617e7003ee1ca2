"""Device and precision in JAX; canonical NumPy arrays to device arrays and back.

JAX has no layout of its own; the canonical ones are used: [N, H, W, C], [h, w, in / groups, out] and [in, out].
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from impls.protocol import Array, PrecisionName, Settings, Unsupported

DTYPES: dict[PrecisionName, Any] = {
    "float32": jnp.float32,
    "tf32": jnp.float32,
    "bfloat16": jnp.bfloat16,
    "float16": jnp.float16,
}

CACHE_LINE = 64  # bytes


@dataclass(frozen=True, slots=True)
class Numerics:
    """Where and in what type to compute."""

    device: jax.Device
    dtype: Any
    tf32: bool

    def enforce(self) -> None:
        """Set JAX's process-wide default precision of products, which allows TF32 unless told otherwise.

        It is part of every compiled function's key, so that a change compiles anew instead of being overlooked.

        References:
            https://docs.jax.dev/en/latest/_autosummary/jax.default_matmul_precision.html
        """
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if self.tf32 else "highest")


def find_device(name: str) -> jax.Device:
    """The device called `cpu`, `cuda` or `cuda:1`. Raises Unsupported."""
    known = {"cpu": jax.devices("cpu")[0], **{f"cuda:{index}": gpu for index, gpu in enumerate(_gpus())}}
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in known:
        raise Unsupported(f"device {name!r} is not there: JAX {jax.__version__} found {', '.join(known)}")
    return known[wanted]


def _gpus() -> list[jax.Device]:
    try:
        return list(jax.devices("cuda"))
    except RuntimeError:  # JAX's word for "no such backend"
        return []


def numerics_of(settings: Settings) -> Numerics:
    """Device, type and TF32 for these settings. Raises Unsupported."""
    device = find_device(settings.device)
    tf32 = settings.precision == "tf32"
    if tf32 and float(getattr(device, "compute_capability", "0")) < 8:
        raise Unsupported(
            f"tf32 needs an NVIDIA GPU of compute capability 8 or later; this device is {settings.device}"
        )
    return Numerics(device, DTYPES[settings.precision], tf32)


def activation_in(array: Array, numerics: Numerics) -> jax.Array:
    """[N, H, W, C] or [N, features], in the computation's type; on the CPU over the array's own memory where it can."""
    # cast by NumPy: JAX would compile a cast for every shape
    return jax.device_put(np.asarray(array, dtype=np.float32).astype(numerics.dtype, copy=False), numerics.device)


def activation_copy(array: Array, numerics: Numerics) -> jax.Array:
    """The same over memory of its own, so that the caller may write to the array at once. Cast on the device."""
    return jax.device_put(_aligned(array), numerics.device).astype(numerics.dtype)


def _aligned(array: Array) -> Array:
    """A float32 copy that begins where XLA has its own arrays begin, in whole cache lines.

    JAX shares a host's memory from 16 bytes on, and Eigen adds in an order that depends on where its data begin.
    """
    room = np.empty(array.size * 4 + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    found = room[start : start + array.size * 4].view(np.float32).reshape(array.shape)
    found[...] = array
    return found


def labels_in(labels: NDArray[np.integer], numerics: Numerics) -> jax.Array:
    """[N] int32, a copy."""
    return jax.device_put(np.array(labels, dtype=np.int32), numerics.device)


def activation_out(array: jax.Array) -> Array:
    """The array in float32, read-only, without a copy on the CPU."""
    return np.asarray(array).astype(np.float32, copy=False)


def parameter_in(array: Array, device: jax.Device) -> jax.Array:
    """A float32 copy on the device, made before this returns: a copy under way still reads the caller's memory.

    `jax.device_put` would share aligned memory on the CPU, with `may_alias=False` too (jax 0.10.2).
    """
    return jax.block_until_ready(jnp.array(array, dtype=jnp.float32, copy=True, device=device))


def parameter_out(array: jax.Array) -> Array:
    """The array in float32, read-only, without a copy on the CPU: the caller must own the array."""
    return activation_out(array)


def parameter_copy(array: jax.Array) -> Array:
    """A copy in float32, of an array that a later program may use up."""
    return np.array(array, np.float32)


@functools.cache
def program(
    function: Callable[..., Any], compiler: tuple[tuple[str, str], ...], static: int = 1, donated: tuple[int, ...] = ()
) -> Any:
    """The function compiled with these options; its first `static` arguments are hashable, the donated used up."""
    options = _known_to_xla(compiler)
    return jax.jit(function, static_argnums=tuple(range(static)), donate_argnums=donated, compiler_options=options)


@functools.cache
def _known_to_xla(compiler: tuple[tuple[str, str], ...]) -> dict[str, str] | None:
    """The options, or none where this XLA refuses them: they change speed alone."""
    if not compiler:
        return None
    try:
        jax.jit(lambda x: x + 1, compiler_options=dict(compiler)).lower(np.float32(0)).compile()
    except (RuntimeError, ValueError):
        return None
    return dict(compiler)
