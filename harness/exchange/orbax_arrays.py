"""Arrays of an Orbax checkpoint through TensorStore: runs in a confined child (see `harness.exchange.confined`).

Orbax keeps each array as zarr (version 2 or 3), in a folder of its own or, by default, all of them in one OCDBT
key-value store. TensorStore's file driver refuses keys with "..", so that no store reaches out of its folder.

Reference: orbax/checkpoint/_src/serialization; google.github.io/tensorstore, "zarr", "zarr3", "ocdbt"
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import CannotMeasure
from harness.exchange.foreign import MOST_ELEMENTS, MOST_SIDES, FormatError
from harness.requirements import install_command

FLOATS = ("float16", "float32", "float64", "bfloat16")
FLOAT_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
MOST_RATIO = 20  # of unpacked to packed weights, which are noise and pack hardly at all
SMALL = 64 << 20  # bytes, below which the ratio does not matter
# One thread for each kind of work and nothing kept: the process has little room.
CONTEXT = {
    "cache_pool": {"total_bytes_limit": 0},
    "data_copy_concurrency": {"limit": 1},
    "file_io_concurrency": {"limit": 1},
}


def listing(path: Path, names: list[str], ocdbt: bool, zarr3: bool, whole: bool) -> list[list[Any]]:
    """Shape and dtype of each array. Raises FormatError, CannotMeasure."""
    found = []
    wanted = 0
    for name in names:
        store = _opened(path, name, ocdbt, zarr3, whole)
        shape, dtype = [int(side) for side in store.shape], str(store.dtype.name)
        elements = int(np.prod([float(side) for side in shape])) if shape else 1
        if elements > MOST_ELEMENTS or len(shape) > MOST_SIDES:
            raise FormatError(f"{str(path)!r}: array {name[:120]!r} has shape {shape}")
        wanted += elements * FLOAT_BYTES.get(dtype, 0)
        found.append([shape, dtype])
    stored = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if wanted > max(SMALL, MOST_RATIO * stored):
        raise FormatError(f"{str(path)!r} of {stored:,} bytes would unpack to arrays of {wanted:,}")
    return found


def dump(path: Path, folder: str, names: list[str], ocdbt: bool, zarr3: bool, whole: bool) -> list[str]:
    """Write the arrays to files 0, 1, … in `folder`, and say their dtypes. Raises FormatError, CannotMeasure."""
    dtypes = []
    for place, name in enumerate(names):
        store = _opened(path, name, ocdbt, zarr3, whole)
        dtype = str(store.dtype.name)
        if dtype not in FLOATS:
            raise FormatError(f"{str(path)!r}: array {name[:120]!r} has dtype {dtype}, expected floating-point numbers")
        values = store.read().result()
        dtype = "float32" if dtype == "bfloat16" else dtype
        values.astype(np.dtype(dtype).newbyteorder("<"), copy=False).tofile(Path(folder) / str(place))
        dtypes.append(dtype)
    return dtypes


def _opened(path: Path, name: str, ocdbt: bool, zarr3: bool, whole: bool) -> Any:
    try:
        import tensorstore
    except ImportError as error:
        raise CannotMeasure(f"Orbax folders need tensorstore ({error}): {install_command('formats')}") from None
    store: dict[str, Any] = {"driver": "file", "path": f"{path}/{name}/"}
    if ocdbt:
        store = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{path}/"}, "path": f"{name}/"}
    spec: dict[str, Any] = {"driver": "zarr3" if zarr3 else "zarr", "kvstore": store}
    if whole:  # Orbax has written every chunk, so one that is missing is lost
        spec["fill_missing_data_reads"] = False
    return tensorstore.open(spec, open=True, read=True, context=tensorstore.Context(CONTEXT)).result()
