"""Several devices in JAX, a mesh with one axis, and what they exchange."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec
from numpy.typing import NDArray

from impls.protocol import Array, Settings, Unsupported
from impls.with_jax.arrays import Numerics, numerics_of, program
from impls.with_jax.operators import Tensor
from impls.with_jax.tuning import tuning_of

AXIS = "devices"

AnyArray = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Engine:
    """The devices of a run, and how to compute on them."""

    mesh: Mesh
    numerics: Numerics
    compiler: tuple[tuple[str, str], ...] = ()  # XLA's options

    @property
    def emulated(self) -> bool:
        """Whether the devices are parts of one CPU."""
        return self.numerics.device.platform == "cpu"

    def put(self, array: AnyArray, spec: Spec) -> jax.Array:
        """A copy of a host's array, shared among the devices as `spec` says; each process keeps its own share."""
        sharding = NamedSharding(self.mesh, spec)
        shares = jax.make_array_from_callback(array.shape, sharding, lambda index: np.array(array[index]))
        return jax.block_until_ready(shares)  # a copy under way still reads the host's memory

    def put_activation(self, array: Array, spec: Spec) -> jax.Array:
        """The same in the computation's type, cast on the devices."""
        return self.put(np.asarray(array, np.float32), spec).astype(self.numerics.dtype)

    def fetch(self, array: jax.Array) -> Array:
        """The whole array, on every process' host, in float32: a copy where a later program may use it up."""
        if array.is_fully_addressable:
            return np.array(array, np.float32)
        return np.array(multihost_utils.process_allgather(array, tiled=True), np.float32)

    def program(self, body: Callable[..., Any], takes: Any, gives: Any, donated: tuple[int, ...] = ()) -> Any:
        """A compiled function of whole arrays from one of each device's shares."""
        # check_vma=False: what lies whole is equal by construction, and a gather's transpose is its reduce-scatter.
        shared = jax.shard_map(body, mesh=self.mesh, in_specs=takes, out_specs=gives, check_vma=False)
        return program(shared, self.compiler, static=0, donated=donated)


def engine_of(settings: Settings) -> Engine:
    """The devices for these settings, as many from each process. Raises Unsupported."""
    numerics = numerics_of(settings)
    if ":" in settings.device:
        raise Unsupported(f"device {settings.device!r} is one: for {settings.devices} devices give cpu or cuda")
    each, rest = divmod(settings.devices, jax.process_count())
    if rest:
        raise Unsupported(f"{settings.devices} devices cannot be shared by {jax.process_count()} processes")
    found = jax.devices(settings.device)
    chosen = [device for number in range(jax.process_count()) for device in _of_process(found, number)[:each]]
    if len(chosen) < settings.devices:
        across = f" in {jax.process_count()} processes" if jax.process_count() > 1 else ""
        raise Unsupported(
            f"{settings.devices} devices {settings.device!r} are not there: JAX {jax.__version__} found"
            f" {len(found)}{across}: {', '.join(map(str, found))}"
        )
    return Engine(Mesh(np.array(chosen), (AXIS,)), numerics, tuning_of(settings).compiler)


def _of_process(devices: list[jax.Device], number: int) -> list[jax.Device]:
    return [device for device in devices if device.process_index == number]


def gather(x: Tensor, axis: int) -> Tensor:
    """The devices' shares joined along an axis, on each. Its gradient: summed over the devices, own share taken."""
    return lax.all_gather(x, AXIS, axis=axis, tiled=True)


def with_halo(x: Tensor, reach: int) -> Tensor:
    """[..., reach + channels + reach]: a share of the channels between its neighbours' edges, zeros at the ends."""
    count = lax.axis_size(AXIS)
    up = [(number, number + 1) for number in range(count - 1)]
    down = [(number + 1, number) for number in range(count - 1)]
    before = lax.ppermute(x[..., -reach:], AXIS, up)
    after = lax.ppermute(x[..., :reach], AXIS, down)
    return jnp.concatenate([before, x, after], axis=-1)


def summed(parts: Any) -> Any:
    """Arrays summed over the devices, on each."""
    return lax.psum(parts, AXIS)


def own_key(key: Tensor) -> Tensor:
    """A random key of each device's own."""
    return jax.random.fold_in(key, lax.axis_index(AXIS))
