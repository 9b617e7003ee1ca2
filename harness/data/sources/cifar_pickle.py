"""CIFAR-10's pickled batches, read by an unpickler that can build nothing but bytes, numbers and containers.

A pickle may name any function and have it called. The only names accepted here are those in a pickled array, and they
stand for classes of this file: neither NumPy nor anything else is called before the contents have been checked.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PIXELS = 32 * 32 * 3
MOST_IMAGES = 100_000


class NotABatch(ValueError):
    """The pickle is not one of CIFAR's; the message says what it is instead."""


class Batch(NamedTuple):
    """What a batch file holds."""

    pixels: NDArray[np.uint8]  # [N, 3072]: all red, then all green, then all blue
    labels: list[int]
    names: list[str]


def read_batch(data: bytes) -> Batch:
    """The images of one file. Raises NotABatch."""
    found = _loaded(data)
    pixels = _array(_entry(found, "data"))
    labels, names = _entry(found, "labels"), _entry(found, "filenames")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise NotABatch("its labels are no list of whole numbers")
    if not isinstance(names, list):
        raise NotABatch("its filenames are no list")
    if not len(labels) == len(names) == len(pixels):
        raise NotABatch(f"it has {len(pixels)} images, {len(labels)} labels and {len(names)} names")
    return Batch(pixels, labels, [_text(name) for name in names])


def read_names(data: bytes) -> list[str]:
    """The class names of `batches.meta`. Raises NotABatch."""
    names = _entry(_loaded(data), "label_names")
    if not isinstance(names, list):
        raise NotABatch("its label_names are no list")
    return [_text(name) for name in names]


class _Dtype:
    """Stands for numpy.dtype."""

    def __init__(self, kind: Any = "", *_: Any) -> None:
        self.kind = _text(kind)

    def __setstate__(self, state: Any) -> None:
        pass  # byte order and the like, which a byte has not


class _Array:
    """Stands for numpy.ndarray; its state is (version, shape, dtype, Fortran order, bytes)."""

    state: Any = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for codecs.encode, by which Python 3 writes bytes in the old protocols."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise NotABatch("it encodes text in an unforeseen way")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise NotABatch(f"it asks for {module}.{name}, which no CIFAR batch does") from None

    def persistent_load(self, pid: Any) -> Any:
        raise NotABatch("it refers to objects outside itself, which no CIFAR batch does")


def _loaded(data: bytes) -> Any:
    try:
        return _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except NotABatch:
        raise
    # What a damaged pickle raises depends on where it is damaged.
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError) as error:
        raise NotABatch(f"it is no whole pickle ({' '.join(str(error).split()) or type(error).__name__})") from None
    except (MemoryError, OverflowError, RecursionError) as error:
        raise NotABatch(f"it asks for more than a batch can hold ({type(error).__name__})") from None


def _entry(found: Any, name: str) -> Any:
    if not isinstance(found, dict):
        raise NotABatch(f"it holds a {type(found).__name__} instead of a dictionary")
    for key in (name.encode(), name):  # written by Python 2, written by Python 3
        if key in found:
            return found[key]
    raise NotABatch(f"it has no entry {name!r}")


def _text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)[:1000]


def _array(found: Any) -> NDArray[np.uint8]:
    """uint8 [N, 3072]; every figure of the pickled state is checked before it is used."""
    if not isinstance(found, _Array) or not isinstance(found.state, tuple) or len(found.state) != 5:
        raise NotABatch("its data are no array")
    _, shape, dtype, fortran, raw = found.state
    if not isinstance(dtype, _Dtype) or dtype.kind not in ("u1", "|u1") or not isinstance(raw, bytes):
        raise NotABatch("its data are no array of bytes")
    if not isinstance(shape, tuple) or len(shape) != 2 or not all(type(n) is int and n > 0 for n in shape):
        raise NotABatch("its data are no table")
    if shape[1] != PIXELS or shape[0] > MOST_IMAGES or math.prod(shape) != len(raw):
        raise NotABatch(f"its data are {shape} in {len(raw):,} bytes: expected [N, {PIXELS}]")
    return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")
