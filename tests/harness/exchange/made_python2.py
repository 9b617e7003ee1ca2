"""Pickles as Python 2 and its NumPy wrote them, protocols 0 and 2: strings are bytes, classes may be old-style.

Reference: Python 2.7, Lib/pickle.py, save_string, save_inst, save_dict; NumPy 1.x, array_reduce and arraydescr_reduce.
"""

from __future__ import annotations

import struct
from typing import Any, Literal

import numpy as np


class OldInstance:
    """An object of an old-style class, which Python 2 names and does not call."""

    def __init__(self, module: str, name: str, /, **state: Any) -> None:
        self.module, self.name, self.state = module, name, state


class OldClass:
    """A class itself, by its name."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


def dumps(value: Any, protocol: Literal[0, 2]) -> bytes:
    """The pickle of numbers, strings, containers, arrays and old-style instances."""
    return (b"\x80\x02" if protocol == 2 else b"") + _saved(value, protocol) + b"."


def _saved(value: Any, protocol: int) -> bytes:
    if isinstance(value, list | tuple | dict):
        return _container(value, protocol)
    if isinstance(value, OldInstance | OldClass):
        return _old(value, protocol)
    match value:
        case None:
            return b"N"
        case bool():
            return (b"\x88" if value else b"\x89") if protocol else (b"I01\n" if value else b"I00\n")
        case int():
            return b"J" + struct.pack("<i", value) if protocol else b"I%d\n" % value
        case float():
            return b"G" + struct.pack(">d", value) if protocol else b"F" + repr(value).encode() + b"\n"
        case str():
            return _string(value.encode("latin1"), protocol)
        case bytes():
            return _string(value, protocol)
        case np.ndarray():
            return _array(value, protocol)
    raise TypeError(type(value))


def _container(value: list[Any] | tuple[Any, ...] | dict[Any, Any], protocol: int) -> bytes:
    items = [_saved(item, protocol) for item in (value.values() if isinstance(value, dict) else value)]
    if isinstance(value, tuple):
        return b"(" + b"".join(items) + b"t"
    if isinstance(value, list):
        return (b"]" if protocol else b"(l") + b"".join(item + b"a" for item in items)
    keys = [_saved(key, protocol) for key in value]
    pairs = b"".join(key + item + b"s" for key, item in zip(keys, items, strict=True))
    return (b"}" if protocol else b"(d") + pairs


def _old(value: OldInstance | OldClass, protocol: int) -> bytes:
    if isinstance(value, OldClass):
        return _name(value.module, value.name)
    state = _saved(value.state, protocol) + b"b"
    if protocol:
        return b"(" + _name(value.module, value.name) + b"o" + state
    return b"(i" + f"{value.module}\n{value.name}\n".encode() + state


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _string(value: bytes, protocol: int) -> bytes:
    if protocol and len(value) < 256:
        return b"U" + bytes([len(value)]) + value
    if protocol:
        return b"T" + struct.pack("<i", len(value)) + value
    return b"S" + repr(value)[1:].encode("ascii") + b"\n"


def _array(array: np.ndarray[Any, Any], protocol: int) -> bytes:
    kind, order = array.dtype.str[1:], array.dtype.str[0]
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    dtype = _called("numpy", "dtype", (kind, 0, 1), protocol)
    dtype += _saved((3, order, None, None, None, -1, -1, 0), protocol) + b"b"
    made = _name("numpy.core.multiarray", "_reconstruct")
    made += b"(" + _name("numpy", "ndarray") + _saved((0,), protocol) + _saved("b", protocol) + b"tR"
    state = b"(" + _saved(1, protocol) + _saved(array.shape, protocol) + dtype + _saved(fortran, protocol)
    return made + state + _string(array.tobytes("F" if fortran else "C"), protocol) + b"tb"


def _called(module: str, name: str, arguments: tuple[Any, ...], protocol: int) -> bytes:
    return _name(module, name) + _saved(arguments, protocol) + b"R"
