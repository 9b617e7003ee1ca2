"""Pickles of numbers, text, containers and NumPy arrays, read without running anything: see `pickle_machine`.

What an array's pickle says of it is recorded and checked before NumPy sees any of it: so many items of so many bytes
must be as many bytes as are there.

Reference: numpy/_core/src/multiarray/methods.c, array_reduce and array_setstate; descriptor.c, arraydescr_setstate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.exchange.pickle_machine import Machine, put
from harness.exchange.pickle_terms import BadPickle, Inert, Known, Name, Recorded, Terms

__all__ = ["BadPickle", "Inert", "Loaded", "Name", "PickledArray", "load", "text_of"]

MOST_SIDES = 32
MOST_SIDE = 1 << 62
NUMBERS = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})


class Loaded(NamedTuple):
    """What a pickle holds, and where in the data it ends."""

    value: Any
    end: int


def load(
    data: bytes | memoryview,
    what: str,
    *,
    start: int = 0,
    known: Known | None = None,
    inert: Callable[[Name], bool] = lambda name: False,
    persistent: Callable[[Any], Any] | None = None,
    old_text: Literal["bytes", "latin1"] = "latin1",
) -> Loaded:
    """The pickle that begins at `start`.

    `what` names the kind of file in messages; `known` adds to the names that are understood, `inert` says which others
    may pass, as objects without a meaning; `persistent` gives what stands for an object outside the pickle. Python 2's
    strings become text by Latin-1, or bytes. Bytes of more than 64 KiB are views of `data`. Raises BadPickle.
    """
    terms = Terms(what=what, known={**KNOWN, **(known or {})}, inert=inert, persistent=persistent, old_text=old_text)
    machine = Machine(memoryview(data), terms, start)
    return Loaded(machine.run(), machine.at)


def text_of(value: Any, most: int = 1_000) -> str | None:
    """A pickled string as text, whichever Python wrote it; None for anything else, and for one that is too long."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) and len(value) <= most else None


class PickledDtype(Recorded):
    """Stands for numpy.dtype; its state is (version, byte order, …)."""

    def __init__(self, kind: Any = "", *_: Any) -> None:
        self.kind = (text_of(kind) or "").lstrip("|<>=")

    @property
    def order(self) -> str:
        """`>` for big-endian values, else `<`."""
        state = self.state
        return ">" if isinstance(state, tuple) and len(state) > 1 and text_of(state[1]) == ">" else "<"

    def of_numbers(self) -> np.dtype[Any]:
        """As NumPy's. Raises BadPickle where its items are not plain numbers."""
        if self.kind not in NUMBERS:
            raise BadPickle(f"it has an array of {self.kind[:50] or 'nothing'!r}, expected numbers")
        return np.dtype(self.order + self.kind)


class PickledArray(Recorded):
    """Stands for numpy.ndarray; its state is (version, shape, dtype, Fortran order, bytes or list)."""

    def __init__(self, state: Any = None) -> None:
        self.state = state

    def _parts(self) -> tuple[tuple[int, ...], PickledDtype, bool, Any]:
        state = self.state
        if not isinstance(state, tuple) or len(state) != 5:
            raise BadPickle("it has an array without contents")
        _, shape, dtype, fortran, raw = state
        if not isinstance(shape, tuple) or len(shape) > MOST_SIDES or not isinstance(dtype, PickledDtype):
            raise BadPickle("it has an array without a shape and a kind")
        if not all(type(side) is int and 0 <= side < MOST_SIDE for side in shape):
            raise BadPickle("it has an array whose shape is no row of whole numbers")
        return shape, dtype, bool(fortran), raw

    @property
    def shape(self) -> tuple[int, ...]:
        """Raises BadPickle."""
        return self._parts()[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Raises BadPickle where the items are not numbers."""
        return self._parts()[1].of_numbers()

    def values(self) -> NDArray[Any]:
        """The array [shape], a view of the pickle's data where they are long. Raises BadPickle."""
        shape, kind, fortran, raw = self._parts()
        dtype = kind.of_numbers()
        if isinstance(raw, str):
            raw = raw.encode("latin1", "replace")
        if not isinstance(raw, bytes | memoryview) or len(raw) != math.prod(shape) * dtype.itemsize:
            size = f"{len(raw):,} bytes" if isinstance(raw, bytes | memoryview) else "no bytes"
            raise BadPickle(f"it has an array of shape {shape} and {dtype} in {size}")
        return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")

    def items(self) -> list[Any] | None:
        """The objects in an array of objects; None for an array of numbers. Raises BadPickle."""
        shape, kind, _, raw = self._parts()
        if not kind.kind.startswith("O"):
            return None
        if not isinstance(raw, list) or len(raw) != math.prod(shape):
            raise BadPickle("it has an array of objects without its objects")
        return raw


def _reconstruct(*_: Any) -> PickledArray:
    return PickledArray()


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    """Protocol 5's arrays."""
    return PickledArray((1, shape, dtype, order == "F", raw))


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    found = PickledArray((1, (), dtype, False, raw)).values()
    return found.item()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for codecs.encode, by which Python 3 writes bytes in the old protocols."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise BadPickle("it encodes text in an unforeseen way")
    return text.encode("latin1")


def _mapping(items: Any = ()) -> dict[Any, Any]:
    """Stands for dict, OrderedDict and Counter, made from pairs or from a dictionary."""
    found: dict[Any, Any] = {}
    pairs = [tuple(pair) for pair in (items.items() if isinstance(items, dict) else items)]
    put(found, [key for key, _ in pairs], [value for _, value in pairs])
    return found


def _default_mapping(factory: Any = None) -> dict[Any, Any]:
    return {}


def _list(items: Any = ()) -> list[Any]:
    return list(items)


def _tuple(items: Any = ()) -> tuple[Any, ...]:
    return tuple(items)


def _members(items: Any = ()) -> dict[Any, None]:
    # A set's items as a dictionary's keys, which are checked as they come in.
    found: dict[Any, None] = {}
    for item in items:
        if item not in found if isinstance(item, str | int | float | bytes) else True:
            put(found, [item], [None])
    return found


def _set(items: Any = ()) -> set[Any]:
    return set(_members(items))


def _frozen_set(items: Any = ()) -> frozenset[Any]:
    return frozenset(_members(items))


def _bytes(*arguments: Any) -> bytes:
    """Stands for bytes(), by which Python 3 writes empty ones in the old protocols, and for bytearray(bytes)."""
    if not arguments:
        return b""
    if isinstance(arguments[0], bytes):
        return arguments[0]
    return _encode(*arguments)


def _new_object(*_: Any) -> Recorded:
    return Recorded()


def _reconstructor(made: Any, *_: Any) -> Inert:
    """Stands for copyreg's, by which protocols 0 and 1 make objects."""
    if not isinstance(made, Name):
        raise BadPickle("it makes an object of no class")
    return Inert(made, ())


def _built_in(name: str, stand: Callable[..., Any]) -> dict[tuple[str, str], Callable[..., Any]]:
    return {("builtins", name): stand, ("__builtin__", name): stand}


def _of_numpy(name: str, stand: Callable[..., Any]) -> dict[tuple[str, str], Callable[..., Any]]:
    modules = ("multiarray", "numeric")
    return {(f"numpy.{core}.{module}", name): stand for core in ("core", "_core") for module in modules}


KNOWN: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): PickledDtype,
    ("numpy", "ndarray"): _reconstruct,
    **_of_numpy("_reconstruct", _reconstruct),
    **_of_numpy("_frombuffer", _from_buffer),
    **_of_numpy("scalar", _scalar),
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): _mapping,
    ("collections", "defaultdict"): _default_mapping,
    ("collections", "Counter"): _mapping,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("copy_reg", "_reconstructor"): _reconstructor,
    **_built_in("object", _new_object),
    **_built_in("dict", _mapping),
    **_built_in("list", _list),
    **_built_in("tuple", _tuple),
    **_built_in("set", _set),
    **_built_in("frozenset", _frozen_set),
    **_built_in("bytes", _bytes),
    **_built_in("bytearray", _bytes),
}
