"""NumPy's files: a dictionary pickled into a `.npy`, or the arrays of an `.npz`.

The converters from Caffe to TensorFlow write {"conv1": [W, b]} or {"conv1": {"weights": W, "biases": b}}: kernels as
[h, w, in / groups, out], dense weights as [in, out] with fc6's inputs in the order H, W, C; the first kernels still
want Caffe's BGR pixels. An .npz of ours is canonical, which its entry "alexbench" says.

Reference: github.com/ethereon/caffe-tensorflow, kaffe/transformers.py (DataReshaper, ParameterNamer) and convert.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.exchange import npy_header, pairing
from harness.exchange.carried import KEY, Carried, carried
from harness.exchange.file_bytes import file_size, map_bytes
from harness.exchange.foreign import ForeignTensor, ForeignWeights, FormatError, Learned
from harness.exchange.npy_header import Header, NotNumpy
from harness.exchange.pickles import BadPickle, PickledArray, load, text_of
from harness.exchange.zip_members import Archive

FLOATS = frozenset({"float16", "float32", "float64"})
MOST_DEPTH = 4  # dictionaries in dictionaries
MOST_ENTRIES = 20_000  # of all of them, one that is there twice counted twice
TENSORFLOW = ":0"  # behind a variable's name, in TensorFlow and in Keras up to 2
PARTS = ("weight", "bias")  # what a list of one or two arrays is

CONVERTED = "taken for a converter's file: kernels [h, w, in / groups, out], Caffe's BGR pixels 0..255"
PLAIN = "taken for Keras' or Flax' layout, by its kernels: [h, w, in, out], RGB pixels"
TORCH_LAYOUT = "taken for PyTorch's layout, by the shapes: kernels [out, in, h, w], RGB pixels"


class _Layout(NamedTuple):
    conv_axes: str
    dense_axes: str
    note: str


def read(path: Path) -> ForeignWeights:
    """The learned layers of a .npy or an .npz. Raises FormatError."""
    head = bytes(map_bytes(path, 0, min(len(npy_header.MAGIC), file_size(path))))
    if head == npy_header.MAGIC:
        tensors, said = _of_npy(path), Carried()
    else:
        tensors, said = _of_npz(path)
    layout = _layout(tensors, ours=said.network is not None)
    floats = [tensor for tensor in tensors if tensor.dtype in FLOATS]
    skipped = [tensor.name[:80] for tensor in tensors if tensor.dtype not in FLOATS]
    layers = pairing.pair(
        path, floats, suffixes=pairing.COMMON, conv_axes=layout.conv_axes, dense_axes=layout.dense_axes, ordered=False
    )  # fmt: skip
    left_out = (f"left out, since they are no weights: {', '.join(map(repr, skipped))[:400]}",) if skipped else ()
    caffes = layout.note == CONVERTED
    return ForeignWeights(
        path=path,
        format="NumPy",
        layers=layers,
        flatten="chw" if layout.note == TORCH_LAYOUT else "hwc",
        colours="bgr" if caffes else "rgb",
        network=said.network,
        preprocessing=said.preprocessing,
        inputs=_inputs(layers, caffes=caffes),
        notes=((layout.note,) if layout.note else ()) + left_out,
    )


def _inputs(layers: tuple[Learned, ...], *, caffes: bool) -> Any:
    if caffes:
        return "caffe"
    return "torchvision" if pairing.is_torchvision(layers) else None


def _layout(tensors: list[ForeignTensor], *, ours: bool) -> _Layout:
    """Kernels are square: where they are tells PyTorch's layout from TensorFlow's."""
    if ours:
        return _Layout("hwio", "io", "")
    kernels = [tensor.shape for tensor in tensors if len(tensor.shape) == 4]
    if kernels and all(s[2] == s[3] for s in kernels) and not all(s[0] == s[1] for s in kernels):
        return _Layout("oihw", "oi", TORCH_LAYOUT)
    named = any(tensor.name.rpartition("/")[2].endswith("kernel") for tensor in tensors)
    return _Layout("hwio", "io", PLAIN if named else CONVERTED)


def _of_npy(path: Path) -> list[ForeignTensor]:
    size = file_size(path)
    data = map_bytes(path, 0, size).data
    try:
        header = npy_header.parse(bytes(data[: npy_header.MOST_HEADER]))
        if not header.is_objects:
            raise FormatError(
                f"{str(path)!r} holds one array of shape {header.shape}, expected a dictionary of layers' arrays"
            )
        found, _ = load(data, "dictionary of arrays", start=header.start)
        if isinstance(found, PickledArray):
            objects = found.items()
            found = objects[0] if objects is not None and len(objects) == 1 else found
        if not isinstance(found, dict):
            raise FormatError(f"{str(path)!r} holds no dictionary of layers' arrays")
        return [_pickled(name, array) for name, array in _flattened(path, found).items()]
    except (BadPickle, NotNumpy) as error:
        raise FormatError(f"{str(path)!r}: {error}") from None


def _flattened(path: Path, found: Any) -> dict[str, PickledArray]:
    """Arrays by names such as conv1/weights, from dictionaries in dictionaries."""
    named: dict[str, PickledArray] = {}
    waiting: list[tuple[str, Any, int]] = [("", found, MOST_DEPTH)]
    for _ in range(MOST_ENTRIES):
        if not waiting:
            return named
        name, value, depth = waiting.pop()
        if isinstance(value, PickledArray):
            if name in named:
                raise FormatError(f"{str(path)!r} has two arrays called {name[:80]!r}")
            named[name] = value
            continue
        if isinstance(value, list | tuple) and 1 <= len(value) <= len(PARTS):
            value = dict(zip(PARTS, value, strict=False))
        if not isinstance(value, dict) or depth == 0:
            raise FormatError(f"{str(path)!r}: {name[:80]!r} is no array, and no dictionary or pair of arrays")
        if len(waiting) + len(value) > MOST_ENTRIES:
            break
        keys = {text_of(key): key for key in value}
        if None in keys or len(keys) < len(value):
            raise FormatError(f"{str(path)!r}: {name[:80]!r} has a key that is no name, or is there twice")
        waiting.extend((f"{name}/{key}" if name else str(key), value[keys[key]], depth - 1) for key in keys)
    raise FormatError(f"{str(path)!r} has over {MOST_ENTRIES:,} entries")


def _pickled(name: str, array: PickledArray) -> ForeignTensor:
    values = array.values()
    return ForeignTensor(name.removesuffix(TENSORFLOW), values.shape, values.dtype.name, lambda: values)


def _of_npz(path: Path) -> tuple[list[ForeignTensor], Carried]:
    tensors, said = [], Carried()
    with Archive(path) as archive:
        for member in archive.names:
            try:
                header = _header(archive, member)
                if member == f"{KEY}.npy":
                    said = carried(path, header.text(_bytes(path, archive, member, header)))
                    continue
            except NotNumpy as error:
                raise FormatError(f"{str(path)!r}: its member {member[:80]!r}: {error}") from None
            place = archive.place(member)
            raw: Callable[[], NDArray[np.uint8]] = functools.partial(_again, path, member, header)
            if place is not None:
                raw = functools.partial(map_bytes, path, place[0] + header.start, header.length)
            values = functools.partial(_values, header, raw)
            name = member.removesuffix(".npy").removesuffix(TENSORFLOW)
            tensors.append(ForeignTensor(name, header.shape, header.dtype.name, values))
    return tensors, said


def _header(archive: Archive, member: str) -> Header:
    """Raises NotNumpy where it is not that of all of the member's bytes."""
    header = npy_header.parse(archive.head(member, npy_header.MOST_HEADER))
    if archive.size(member) != header.start + header.length:
        raise NotNumpy(f"its {header.shape} of {header.dtype} are not {archive.size(member):,} bytes")
    return header


def _again(path: Path, member: str, header: Header) -> NDArray[np.uint8]:
    with Archive(path) as archive:
        return _bytes(path, archive, member, header)


def _bytes(path: Path, archive: Archive, member: str, header: Header) -> NDArray[np.uint8]:
    """A compressed array's values, unpacked."""
    raw = np.frombuffer(archive.read(member, header.start + header.length), np.uint8)[header.start :]
    if len(raw) != header.length:
        raise FormatError(f"{str(path)!r}: its member {member!r} has changed since it was looked at")
    return raw


def _values(header: Header, raw: Callable[[], NDArray[np.uint8]]) -> NDArray[np.generic]:
    return header.values(raw())
