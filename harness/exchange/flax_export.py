"""Canonical weights as a msgpack file that `flax.serialization.msgpack_restore` reads: params[layer]["kernel", "bias"].

Canonical layouts are Flax' own: kernels HWIO and [in, out], inputs of the first dense layer in the order H, W, C.

Reference: flax/serialization.py, `msgpack_serialize`
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import CannotMeasure
from harness.exchange.carried import KEY
from harness.exchange.flax_file import ARRAY, CHUNKED
from harness.exchange.foreign import FormatError
from harness.requirements import install_command
from impls import derive
from impls.spec import Network

MOST_CHUNK = 1 << 30  # bytes of one array; msgpack's own limit is 2^32, Flax' chunks are of this size
KINDS = {"weight": "kernel", "bias": "bias"}


def write(
    network: Network,
    arrays: Mapping[str, NDArray[np.float32]],
    path: Path,
    metadata: Mapping[str, str],
    most_chunk: int = MOST_CHUNK,
) -> None:
    """Write the file, which appears under its name only when it is whole. Raises FormatError, CannotMeasure."""
    try:
        import msgpack
    except ImportError as error:
        raise CannotMeasure(f"a Flax file needs msgpack ({error}): {install_command('formats')}") from None
    layers: dict[str, dict[str, str]] = {}
    for name in derive.parameter_shapes(network):
        layer, _, kind = name.rpartition("/")
        layers.setdefault(layer, {})[KINDS[kind]] = name
    packer = msgpack.Packer(use_bin_type=True, strict_types=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            ours = metadata.get(KEY)
            file.write(packer.pack_map_header(1 + (ours is not None)))
            file.write(packer.pack("params") + packer.pack_map_header(len(layers)))
            for layer, kinds in layers.items():
                file.write(packer.pack(layer) + packer.pack_map_header(len(kinds)))
                for kind, name in kinds.items():
                    file.write(packer.pack(kind) + packer.pack(_packed(arrays[name], msgpack, most_chunk)))
            if ours is not None:
                file.write(packer.pack(KEY) + packer.pack(ours))
        temporary.replace(path)
    except OSError as error:
        raise FormatError(f"cannot write {str(path)!r}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _packed(array: NDArray[np.float32], msgpack: Any, most_chunk: int) -> Any:
    """One array as Flax packs it: whole, or in chunks where it is large."""
    values = np.ascontiguousarray(array, dtype="<f4")
    if values.nbytes <= most_chunk:
        return _extension(values, msgpack)
    flat, step = values.reshape(-1), max(1, most_chunk // values.itemsize)
    chunks = [flat[start : start + step] for start in range(0, flat.size, step)]
    return {
        CHUNKED: True,
        "shape": {str(axis): side for axis, side in enumerate(values.shape)},
        "chunks": {str(place): _extension(chunk, msgpack) for place, chunk in enumerate(chunks)},
    }


def _extension(values: NDArray[np.float32], msgpack: Any) -> Any:
    return msgpack.ExtType(ARRAY, msgpack.packb((values.shape, "float32", values.tobytes()), use_bin_type=True))
