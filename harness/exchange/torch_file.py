"""PyTorch's `.pth` and `.pt` without PyTorch: a pickled dictionary of tensors, whose values lie outside the pickle.

Two forms. Since version 1.6 a zip archive: `NAME/data.pkl`, the values of storage K in `NAME/data/K`, `NAME/byteorder`.
Before, one file: pickles of a magic number, of 1001, of facts about the machine, of the dictionary and of the keys of
the storages; then each storage: eight bytes with the count of its items, and the items, little-endian.

Reference: torch/serialization.py, _save and _legacy_save; torch/_utils.py, _rebuild_tensor_v2.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.exchange import pairing
from harness.exchange.carried import KEY, Carried, carried
from harness.exchange.file_bytes import file_size, map_bytes
from harness.exchange.foreign import MOST_SIDES, ForeignTensor, ForeignWeights, FormatError
from harness.exchange.pickles import BadPickle, Name, load, text_of
from harness.exchange.zip_members import Archive

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
ZIP = b"PK\x03\x04"
TAR = b"ustar"
TAR_AT = 257
MOST_PICKLE = 64 << 20  # bytes of data.pkl, which has no values
MOST_NUMBER = 1 << 62  # a side, a stride, an offset
MOST_DEPTH = 4  # dictionaries around the one with the tensors
NESTED = ("state_dict", "model_state_dict", "model", "module", "net", "network")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")  # DataParallel, compile, wrappers
INERT = frozenset({
    ("argparse", "Namespace"), ("torch", "device"),
    *((module, kind) for module in ("pathlib", "pathlib._local") for kind in ("PosixPath", "WindowsPath")),
    *(("torch", kind) for kind in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")),
})  # fmt: skip
LIGHTNING = frozenset({"pytorch_lightning", "lightning", "lightning_fabric"})  # whose names are keys in its checkpoints

KINDS: dict[str, tuple[str, int]] = {
    "DoubleStorage": ("float64", 8), "FloatStorage": ("float32", 4), "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2), "LongStorage": ("int64", 8), "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2), "CharStorage": ("int8", 1), "ByteStorage": ("uint8", 1), "BoolStorage": ("bool", 1),
    "UntypedStorage": ("uint8", 1),
}  # fmt: skip
FLOATS = frozenset({"float64", "float32", "float16", "bfloat16"})


class _Storage(NamedTuple):
    key: str
    kind: str
    itemsize: int
    length: int  # in items


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


Item = TypeVar("Item")
Raw = Callable[[], NDArray[np.uint8]]  # uint8 [bytes of one storage]


def read(path: Path) -> ForeignWeights:
    """The learned layers of a state dict. Raises FormatError."""
    with_zip = bytes(map_bytes(path, 0, min(4, file_size(path)))) == ZIP
    found, storages, order = _of_zip(path) if with_zip else _of_stream(path)
    said = carried(path, found.get(KEY) if isinstance(found, dict) else None)
    named, notes = _state_dict(path, found)
    tensors = [_foreign(path, name, tensor, storages, order) for name, tensor in named.items()]
    return of_state_dict(path, "PyTorch", tensors, said, notes, ordered=True)


def of_state_dict(
    path: Path, form: str, tensors: Sequence[ForeignTensor], said: Carried, notes: Sequence[str], *, ordered: bool
) -> ForeignWeights:
    """Tensors by PyTorch's names and in its layout, whatever file they stand in. Raises FormatError."""
    layers = pairing.pair(
        path, tensors, suffixes=pairing.TORCH, conv_axes="oihw", dense_axes="oi", ordered=ordered
    )  # fmt: skip
    return ForeignWeights(
        path=path,
        format=form,
        layers=layers,
        flatten="chw",
        network=said.network,
        preprocessing=said.preprocessing,
        inputs="torchvision" if pairing.is_torchvision(layers) else None,
        notes=tuple(notes),
    )


def _of_zip(path: Path) -> tuple[Any, dict[str, Raw], str]:
    with Archive(path) as archive:
        pickled = [name for name in archive.names if name.rpartition("/")[2] == "data.pkl" and name.count("/") < 2]
        if len(pickled) != 1:
            raise FormatError(f"{str(path)!r} is no file of torch.save: it has {len(pickled)} members data.pkl")
        root = pickled[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in archive.names:
            raise FormatError(f"{str(path)!r} is a TorchScript archive: load it in PyTorch and save its state_dict()")
        order = archive.read(f"{root}byteorder", 16) if f"{root}byteorder" in archive.names else b"little"
        if order not in (b"little", b"big"):
            raise FormatError(f"{str(path)!r}: its byteorder is {order!r}, expected little or big")
        wanted: dict[str, _Storage] = {}
        data = archive.read(pickled[0], MOST_PICKLE)
        found = _loaded(path, memoryview(data), 0, wanted).value
        storages: dict[str, Raw] = {}
        there = frozenset(archive.names)
        for key, storage in wanted.items():
            member, size = f"{root}data/{key}", storage.length * storage.itemsize
            if member not in there or archive.size(member) != size:
                has = f"{archive.size(member):,} bytes" if member in there else "nothing"
                raise FormatError(
                    f"{str(path)!r}: storage {key[:80]!r} should be {size:,} bytes, the archive has {has}"
                )
            place = archive.place(member)
            packed = functools.partial(_unpacked, path, member, size)
            storages[key] = packed if place is None else functools.partial(map_bytes, path, *place)
    return found, storages, "<" if order == b"little" else ">"


def _unpacked(path: Path, member: str, size: int) -> NDArray[np.uint8]:
    with Archive(path) as archive:
        return np.frombuffer(archive.read(member, size), np.uint8)


def _of_stream(path: Path) -> tuple[Any, dict[str, Raw], str]:
    size = file_size(path)
    data = map_bytes(path, 0, size).data
    if bytes(data[TAR_AT : TAR_AT + len(TAR)]) == TAR:
        raise FormatError(f"{str(path)!r} is in PyTorch's first form, a tar archive: load it there and save it anew")
    wanted: dict[str, _Storage] = {}
    at = 0
    for what, expected in (("magic number", MAGIC), ("protocol", PROTOCOL)):
        value, at = _loaded(path, data, at, wanted)
        if not isinstance(value, int) or value != expected:
            raise FormatError(f"{str(path)!r} is no file of torch.save: its {what} is not {expected}")
    _, at = _loaded(path, data, at, wanted)
    found, at = _loaded(path, data, at, wanted)
    keys, at = _loaded(path, data, at, wanted)
    places = _places(path, data, at, keys, wanted)
    return found, {key: functools.partial(map_bytes, path, *place) for key, place in places.items()}, "<"


def _places(
    path: Path, data: memoryview, at: int, keys: Any, wanted: dict[str, _Storage]
) -> dict[str, tuple[int, int]]:
    """Offset and length of each storage behind the pickles."""
    names = [text_of(key) or "" for key in keys] if isinstance(keys, list) else []
    if len(set(names)) != len(names) or set(names) != set(wanted):
        raise FormatError(f"{str(path)!r}: its list of storages is not that of its tensors")
    places: dict[str, tuple[int, int]] = {}
    for name in names:
        storage = wanted[name]
        count = int.from_bytes(data[at : at + 8], "little", signed=True)
        length = storage.length * storage.itemsize
        if count != storage.length or at + 8 + length > len(data):
            raise FormatError(
                f"{str(path)!r} is truncated or damaged: storage {name[:80]!r} should be {storage.length:,} numbers at"
                f" byte {at:,} of {len(data):,}"
            )
        places[name] = at + 8, length
        at += 8 + length
    return places


def _loaded(path: Path, data: memoryview, start: int, wanted: dict[str, _Storage]) -> Any:
    """One pickle; the storages that its tensors refer to go into `wanted`."""
    try:
        return load(
            data, "state dict", start=start, known=_KNOWN, inert=_is_inert,
            persistent=functools.partial(_storage, wanted),
        )  # fmt: skip
    except BadPickle as error:
        remedy = "; load it in PyTorch and save its state_dict() instead" if error.asked else ""
        raise FormatError(f"{str(path)!r}: {error}{remedy}") from None


def _is_inert(name: Name) -> bool:
    return (name.module, name.name) in INERT or name.module.partition(".")[0] in LIGHTNING


def _storage(wanted: dict[str, _Storage], reference: Any) -> _Storage:
    """What stands for ("storage", kind, key, device, count) and what may follow."""
    if not isinstance(reference, tuple) or len(reference) < 5 or text_of(reference[0]) != "storage":
        raise BadPickle("it holds a whole module, not a state dict", "a module")
    _, kind, key, _, count, *view = reference
    name = text_of(key)
    if not isinstance(kind, Name) or kind.name not in KINDS or name is None or type(count) is not int or count < 0:
        raise BadPickle("it has a storage of no known kind")
    if any(part is not None for part in view):
        raise BadPickle("it has a storage that is a part of another one, as PyTorch before 0.4 wrote them")
    found = _Storage(name, *KINDS[kind.name], count)
    if wanted.setdefault(name, found) != found:
        raise BadPickle(f"it has two storages called {name[:80]!r}")
    return found


def _rebuilt(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    """Stands for torch._utils._rebuild_tensor_v2. A view must lie inside its storage, and not cover it twice."""
    if not isinstance(storage, _Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise BadPickle("it has a tensor without a storage")
    numbers = (offset, *shape, *strides)
    if (
        len(shape) != len(strides)
        or len(shape) > MOST_SIDES
        or not all(type(n) is int and 0 <= n < MOST_NUMBER for n in numbers)
    ):
        raise BadPickle("it has a tensor whose sizes are no whole numbers")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if 0 not in shape and (last >= storage.length or math.prod(shape) > storage.length):
        raise BadPickle(f"it has a tensor of shape {shape} and strides {strides} in a storage of {storage.length:,}")
    # Where a side is 1 its stride says nothing, and may be any number.
    return _Tensor(storage, offset, shape, tuple(0 if side == 1 else n for side, n in zip(shape, strides, strict=True)))


def _parameter(tensor: Any = None, *_: Any) -> Any:
    return tensor


def _size(sides: Any = ()) -> tuple[Any, ...]:
    return tuple(sides)


def _never(*_: Any) -> Any:
    raise BadPickle("it makes a storage by itself")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor"): _rebuilt,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch", "Size"): _size,
    **{(module, kind): _never for module in ("torch", "torch.cuda", "torch.storage") for kind in KINDS},
}


def _state_dict(path: Path, found: Any) -> tuple[dict[str, _Tensor], tuple[str, ...]]:
    """The tensors of float kinds by name, without the prefix that all names share; and notes."""
    found = _innermost(found)
    if not isinstance(found, dict):
        raise FormatError(f"{str(path)!r} holds a {type(found).__name__.lstrip('_')}, expected a dictionary of tensors")
    entries = {text_of(key) or "": value for key, value in found.items() if key != KEY}
    if "" in entries or len(entries) != len(found) - (KEY in found):
        raise FormatError(f"{str(path)!r}: the keys of its dictionary are no names")
    tensors = {name: value for name, value in entries.items() if isinstance(value, _Tensor)}
    if not tensors or len(tensors) < len(entries):
        others = ", ".join(repr(name[:80]) for name in entries if name not in tensors) or "nothing"
        raise FormatError(f"{str(path)!r} is no state dict, a dictionary of tensors alone: it has {others[:400]}")
    notes = []
    if skipped := [name for name, tensor in tensors.items() if tensor.storage.kind not in FLOATS]:
        notes.append(f"left out, since they are no weights: {', '.join(map(repr, skipped))[:400]}")
        tensors = {name: tensor for name, tensor in tensors.items() if name not in skipped}
    stripped, prefix = without_prefix(tensors)
    if prefix:
        notes.append(f'every name begins with "{prefix}", which is left out')
    return stripped, tuple(notes)


def _innermost(found: Any) -> Any:
    """The state dict in a checkpoint, which may hold the epoch and an optimizer's state as well."""
    for _ in range(MOST_DEPTH):
        if not isinstance(found, dict):
            break
        inner = next((found[key] for key in NESTED if isinstance(found.get(key), dict)), None)
        if inner is None:
            break
        found = inner
    return found


def without_prefix(tensors: Mapping[str, Item]) -> tuple[dict[str, Item], str]:
    """The tensors without the wrappers' prefix that all of their names share, and that prefix."""
    found, whole = dict(tensors), ""
    while prefix := next((p for p in PREFIXES if found and all(name.startswith(p) for name in found)), ""):
        whole += prefix
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found, whole


def _foreign(path: Path, name: str, tensor: _Tensor, storages: dict[str, Raw], order: str) -> ForeignTensor:
    raw = storages[tensor.storage.key]
    return ForeignTensor(
        name, tensor.shape, tensor.storage.kind, functools.partial(_values, path, name, tensor, raw, order)
    )


def _values(path: Path, name: str, tensor: _Tensor, raw: Raw, order: str) -> NDArray[np.generic]:
    """The tensor's values, a view of the file; bfloat16 becomes float32, which holds it exactly."""
    kind, itemsize = tensor.storage.kind, tensor.storage.itemsize
    storage = raw()
    if len(storage) != tensor.storage.length * itemsize:
        raise FormatError(f"{str(path)!r}: tensor {name[:80]!r} has changed since it was looked at")
    flat = storage.view(order + ("u2" if kind == "bfloat16" else np.dtype(kind).str[1:]))[tensor.offset :]
    strides = [stride * itemsize for stride in tensor.strides]
    values = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)
    return widened(values) if kind == "bfloat16" else values


def widened(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    """bfloat16, given as its bits, as float32, whose upper half it is."""
    return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
