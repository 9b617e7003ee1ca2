"""Files that Flax and Orbax themselves make: run in a process of its own, `FOLDER` its argument."""

import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx, serialization

folder = Path(sys.argv[1]).resolve()


class Net(nn.Module):
    """Layers without names of their own, the second convolution grouped."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(8, (3, 3))(x))
        x = nn.Conv(6, (3, 3), feature_group_count=2, bias_init=nn.initializers.normal())(x)
        x = nn.Dense(5)(x.reshape((x.shape[0], -1)))
        return nn.Dense(4)(x)


class Normalised(nn.Module):
    """With a batch normalisation, which no network here has."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.BatchNorm(use_running_average=False)(nn.Conv(2, (3, 3))(x))
        return nn.Dense(4)(x.reshape((x.shape[0], -1)))


class Modern(nnx.Module):
    """Layers with names of their own."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.fc2 = nnx.Linear(8, 4, rngs=rngs)


def main() -> None:
    """Each tree in each kind of file."""
    variables = Net().init(jax.random.key(0), jnp.zeros((1, 6, 5, 3)))
    params = variables["params"]
    flat = {f"{layer}-{kind}": np.asarray(value) for layer, kinds in params.items() for kind, value in kinds.items()}
    np.savez(folder / "linen.npz", **flat)
    (folder / "linen.msgpack").write_bytes(serialization.to_bytes(variables))
    (folder / "params_alone.msgpack").write_bytes(serialization.to_bytes(params))
    state = {"params": params, "step": 3, "opt_state": {"0": {"mu": params}}, "rng": np.zeros(2, np.uint32)}
    (folder / "state.msgpack").write_bytes(serialization.to_bytes(state))
    half = jax.tree.map(lambda value: value.astype(jnp.bfloat16), variables)
    (folder / "half.msgpack").write_bytes(serialization.to_bytes(half))
    whole, serialization.MAX_CHUNK_SIZE = serialization.MAX_CHUNK_SIZE, 64
    (folder / "chunked.msgpack").write_bytes(serialization.to_bytes(variables))
    serialization.MAX_CHUNK_SIZE = whole
    normal = Normalised().init(jax.random.key(0), jnp.zeros((1, 6, 5, 3)))
    (folder / "normalised.msgpack").write_bytes(serialization.to_bytes(normal))
    modern = nnx.state(Modern(nnx.Rngs(0)))
    np.savez(folder / "modern.npz", **{
        "conv1-kernel": modern["conv1"]["kernel"].get_value(), "conv1-bias": modern["conv1"]["bias"].get_value(),
        "fc2-kernel": modern["fc2"]["kernel"].get_value(), "fc2-bias": modern["fc2"]["bias"].get_value(),
    })  # fmt: skip
    (folder / "modern.msgpack").write_bytes(serialization.to_bytes(nnx.to_pure_dict(modern)))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "standard", variables)
        checkpointer.save(folder / "modern", modern)
        checkpointer.save(folder / "half", half)
    for zarr3 in (False, True):
        handler = ocp.PyTreeCheckpointHandler(use_zarr3=zarr3, use_ocdbt=False)
        ocp.Checkpointer(handler).save(folder / ("zarr3" if zarr3 else "zarr"), variables)
    manager = ocp.CheckpointManager(folder / "managed")
    for step in (2, 10):
        manager.save(step, args=ocp.args.StandardSave(jax.tree.map(lambda value, by=step: value + by, variables)))
    manager.wait_until_finished()


if __name__ == "__main__":
    main()
