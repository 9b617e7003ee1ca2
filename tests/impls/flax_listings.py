"""Modules as people write them, for `test_reading_jax.py`. Read in a worker: nothing here is imported by pytest."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx

Array = jax.Array


def norm_by_window(x: Array, alpha: float = 1e-4, k: float = 2.0) -> Array:
    """A windowed sum over channels."""
    total = jax.lax.reduce_window(jnp.square(x), 0.0, jax.lax.add, (1, 1, 1, 5), (1, 1, 1, 1), "SAME")
    return x / (k + alpha * total) ** 0.75


def norm_by_slices(x: Array, alpha: float = 1e-4, k: float = 2.0) -> Array:
    """Shifted slices of padded squares."""
    squares = jnp.pad(x**2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    total = sum(squares[..., shift : shift + x.shape[-1]] for shift in range(5))
    return x * jnp.power(k + alpha * total, -0.75)


def norm_by_band(x: Array, alpha: float = 1e-4, k: float = 2.0) -> Array:
    """A product with a band matrix."""
    places = jnp.arange(x.shape[-1])
    band = (jnp.abs(places[:, None] - places[None]) <= 2).astype(x.dtype)
    return x / jnp.power(k + alpha * (jnp.square(x) @ band), 0.75)


def norm_by_convolution(x: Array, alpha: float = 1e-4, k: float = 2.0) -> Array:
    """A convolution of the squares within each map: a spatial norm."""
    maps = jnp.moveaxis(jnp.square(x), -1, 1).reshape(-1, *x.shape[1:3], 1)
    total = jax.lax.conv_general_dilated(
        maps, jnp.ones((3, 3, 1, 1)), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    total = jnp.moveaxis(total.reshape(x.shape[0], x.shape[3], *x.shape[1:3]), 1, -1)
    return x / jnp.power(k + alpha * total, 0.75)


class Paper(nn.Module):
    """The paper's network with a third of its kernels, every norm written in another way."""

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        x = jnp.pad(x, ((0, 0), (0, 3), (0, 3), (0, 0)))
        x = nn.relu(nn.Conv(32, (11, 11), strides=4, padding="VALID")(x))
        x = nn.max_pool(norm_by_window(x), (3, 3), strides=(2, 2))
        x = nn.relu(nn.Conv(64, (5, 5), padding=2, feature_group_count=2, name="second")(x))
        x = nn.max_pool(norm_by_slices(x), (3, 3), (2, 2))
        x = jnp.maximum(nn.Conv(96, (3, 3), padding="SAME")(x), 0)
        a, b = jnp.split(x, 2, axis=-1)
        x = jnp.concatenate([jax.nn.relu(nn.Conv(48, (3, 3))(a)), jax.nn.relu(nn.Conv(48, (3, 3))(b))], axis=-1)
        x = jnp.where(x > 0, x, 0)  # changes nothing, and is a ReLU all the same
        x = nn.Conv(64, (3, 3), feature_group_count=2)(x)
        x = nn.max_pool(norm_by_band(x), (3, 3), (2, 2))
        x = x.reshape((x.shape[0], -1))
        x = nn.Dropout(0.5)(nn.relu(nn.Dense(64)(x)), deterministic=not train)
        x = nn.relu(nn.Dense(64)(x))
        x = x * jax.random.bernoulli(self.make_rng("dropout"), 0.6, x.shape) if train else x * 0.6
        return nn.log_softmax(nn.Dense(1000)(x))


class Towers(nn.Module):
    """Norms and ReLUs inside the towers."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        ends = []
        for half in jnp.split(nn.Conv(8, (3, 3), strides=2)(x), 2, axis=-1):
            found = norm_by_slices(nn.relu(half), 2e-5)
            ends.append(nn.relu(nn.Conv(6, (3, 3), padding="VALID")(found)))
        return nn.DenseGeneral(7, axis=(-3, -2, -1))(jnp.concatenate(ends, -1))


class Foreigners(nn.Module):
    """What has no class here."""

    @nn.compact
    def __call__(self, x: Array, training: bool = True) -> Array:
        x = nn.Conv(8, (3, 3), use_bias=False)(x)
        x = jnp.tanh(nn.BatchNorm(use_running_average=not training, name="bn")(x))
        x = nn.gelu(nn.avg_pool(x, (2, 2), (2, 2)))
        x = norm_by_convolution(x, 3e-3, 1.0)
        x = nn.swish(x + nn.Conv(8, (1, 1))(x))
        x = nn.Conv(4, (3, 1))(x)
        x = nn.LayerNorm()(jnp.mean(x, (1, 2)))
        return nn.softmax(nn.Dense(3)(x))


class Objects(nnx.Module):
    """flax.nnx: layers as attributes, grey images."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(1, 8, (5, 5), strides=2, padding="SAME", rngs=rngs)
        self.bn = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.25, rngs=rngs)
        self.out = nnx.Linear(8 * 14 * 14, 5, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = nnx.relu(self.bn(self.conv(x)))
        x = nnx.max_pool(x, (3, 3), strides=(1, 1), padding="SAME")
        return nnx.softmax(self.out(self.dropout(x.reshape(x.shape[0], -1))))


def smaller() -> nnx.Module:
    """A function that returns a module."""
    return nnx.Sequential(nnx.Conv(3, 4, (3, 3), padding="VALID", rngs=nnx.Rngs(0)), nnx.relu)


class Huge(nnx.Module):
    """3.5 GB of weights in one layer."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(3, 256, (3, 3), strides=8, rngs=rngs)
        self.out = nnx.Linear(256 * 28 * 28, 4400, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = self.conv(x)
        return self.out(x.reshape(x.shape[0], -1))


class Halves(nn.Module):
    """In bfloat16, in a sequence, flattened image by image."""

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        conv = nn.Conv(8, (3, 3), dtype=jnp.bfloat16)
        x = nn.Sequential([conv, nn.relu, lambda x: nn.max_pool(x, (2, 2), (2, 2))])(x.astype(jnp.bfloat16))
        x = jax.vmap(jnp.ravel)(x)
        return nn.Dropout(0.3, deterministic=not train)(nn.Dense(4)(x))


class Masks(nn.Module):
    """Masks that are no dropout: a ReLU by hand, and connections that are cut for good."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = nn.Dense(64)(x.reshape(x.shape[0], -1))
        x = x * (x > 0)
        x = x * jnp.broadcast_to(jnp.arange(64) % 2, x.shape)
        return nn.Dense(4)(x)


class Tied(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        same = nn.Conv(4, (3, 3), name="same")
        x = nn.relu(nn.Conv(4, (3, 3), name="first")(x))
        x = nn.relu(same(nn.relu(same(x))))
        return nn.Dense(3)(x.reshape(x.shape[0], -1))


class Undecided(nn.Module):
    """Its dropout is told neither way."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return nn.Dropout(0.5)(nn.Dense(3)(x.reshape(x.shape[0], -1)))


class Needs(nnx.Module):
    def __init__(self, width: int, rngs: nnx.Rngs) -> None: ...


class Constant(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        return jnp.ones((x.shape[0], 3))


instance = Towers()
number = 3
