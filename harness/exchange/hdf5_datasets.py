"""What is in an HDF5 file: runs in a confined child (see `harness.exchange.confined`), and nowhere else.

A dataset is listed with its shape and type; nothing is followed out of the file (external and soft links, external
storage, virtual datasets), no size is taken for true that the file has no bytes for.

Reference: The HDF Group, HDF5 File Format Specification 3.0; docs.h5py.org, "Groups" and "Datasets".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import CannotMeasure
from harness.exchange.foreign import MOST_ELEMENTS, MOST_SIDES, FormatError
from harness.requirements import install_command

MOST_OBJECTS = 20_000
MOST_DEPTH = 40
MOST_TEXT = 8 << 20  # bytes of one attribute: a model's configuration is the largest
MOST_RATIO = 1_100  # of unpacked to packed bytes: deflate packs no tighter
# Attributes of Keras' files; those that end in a number are parts of what did not fit into one.
WANTED = ("layer_names", "weight_names", "model_config", "name", "keras_version")


def listing(path: Path) -> dict[str, Any]:
    """`datasets`: name -> [shape, dtype]; `attributes`: group -> attribute -> text or list of texts.

    Raises FormatError, CannotMeasure.
    """
    h5py = _library()
    datasets: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        for name, item in _objects(h5py, h5py.h5g.open(file.id, b"/"), path):
            if isinstance(item, h5py.h5d.DatasetID):
                datasets[name] = _checked(h5py, item, name, path)
            elif found := _attributes(h5py, item, path):
                attributes[name] = found
    return {"datasets": datasets, "attributes": attributes}


def dump(path: Path, folder: str, names: list[str]) -> list[str]:
    """Write the datasets called `names` to files 0, 1, … in `folder`, and say their dtypes.

    Raises FormatError, CannotMeasure.
    """
    h5py = _library()
    dtypes = []
    with h5py.File(path, "r") as file:
        found = _objects(h5py, h5py.h5g.open(file.id, b"/"), path)
        known = {name: item for name, item in found if isinstance(item, h5py.h5d.DatasetID)}
        for place, name in enumerate(names):
            if name not in known:
                raise FormatError(f"{str(path)!r} has no dataset {name!r}")
            dtype = _checked(h5py, known[name], name, path)[1]
            values = h5py.Dataset(known[name])[()]
            values.astype(values.dtype.newbyteorder("<"), copy=False).tofile(Path(folder) / str(place))
            dtypes.append(dtype)
    return dtypes


def _library() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise CannotMeasure(f"HDF5 files need h5py ({error}): {install_command('formats')}") from None
    return h5py


def _objects(h5py: Any, file: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Every group and dataset, under its name, by the library's own identifiers. Raises FormatError."""
    seen = {h5py.h5o.get_info(file).addr}
    waiting = [(b"", file, 0)]
    yield "", file
    while waiting:
        prefix, group, depth = waiting.pop()
        for name in group:
            full = prefix + b"/" + name if prefix else name
            shown = full.decode("utf-8", "replace")
            if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                raise FormatError(
                    f"{str(path)!r}: {shown!r} is a link that is not followed: expected groups and datasets"
                )
            item = h5py.h5o.open(group, name)
            address = h5py.h5o.get_info(item).addr
            is_group = isinstance(item, h5py.h5g.GroupID)
            if is_group and address in seen:
                raise FormatError(f"{str(path)!r}: group {shown!r} is met twice, its groups go in circles")
            seen.add(address)
            if len(seen) > MOST_OBJECTS or depth > MOST_DEPTH:
                raise FormatError(f"{str(path)!r} has over {MOST_OBJECTS} objects or {MOST_DEPTH} groups in each other")
            if is_group:
                waiting.append((full, item, depth + 1))
            if is_group or isinstance(item, h5py.h5d.DatasetID):
                yield shown, item


def _checked(h5py: Any, item: Any, name: str, path: Path) -> list[Any]:
    """Shape and dtype of a dataset that has the bytes it claims. Raises FormatError."""
    plan = item.get_create_plist()
    layout = plan.get_layout()
    if layout == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise FormatError(f"{str(path)!r}: the values of {name!r} lie in another file, which is not opened")
    shape = item.shape or ()
    elements = math.prod(shape)
    if elements > MOST_ELEMENTS or len(shape) > MOST_SIDES:
        raise FormatError(f"{str(path)!r}: {name!r} has shape {shape}, at most {MOST_ELEMENTS:,} numbers are expected")
    kind = item.dtype
    is_float = kind.kind == "f" and kind.itemsize in (2, 4, 8)
    if not is_float:
        return [list(shape), str(kind)[:60]]
    wanted, stored = elements * kind.itemsize, item.get_storage_size()
    if stored < wanted and (layout != h5py.h5d.CHUNKED or stored * MOST_RATIO < wanted):
        raise FormatError(f"{str(path)!r}: {name!r} needs {wanted:,} bytes, the file has {stored:,} for it")
    return [list(shape), f"float{kind.itemsize * 8}"]


def _attributes(h5py: Any, group: Any, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place in range(min(h5py.h5a.get_num_attrs(group), MOST_OBJECTS)):
        attribute = h5py.h5a.open(group, index=place)
        name = attribute.name.decode("utf-8", "replace")
        if not name.rstrip("0123456789").startswith(WANTED) and name not in WANTED:
            continue
        if math.prod(attribute.shape) * attribute.dtype.itemsize > MOST_TEXT:
            raise FormatError(f"{str(path)!r}: attribute {name!r} has over {MOST_TEXT:,} bytes")
        value = _text(h5py.AttributeManager(h5py.Group(group))[attribute.name])
        if value is not None:
            found[name] = value
    return found


def _text(value: Any) -> Any:
    """Texts and lists of texts; None for anything else."""
    if isinstance(value, bytes):
        return value[:MOST_TEXT].decode("utf-8", "replace")
    if isinstance(value, str):
        return value[:MOST_TEXT]
    if getattr(value, "ndim", 0) == 1:
        parts = [_text(part) for part in value.tolist()[:MOST_OBJECTS]]
        return parts if all(isinstance(part, str) for part in parts) else None
    return None
