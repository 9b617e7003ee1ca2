"""The header of a `.npy` file: what its array is, before any of it is read.

Reference: numpy/lib/_format_impl.py, whose module docstring is the format's description. NumPy parses the header as a
Python literal of whatever kind; here it must be the one form that NumPy writes.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.exchange.foreign import MOST_SIDES

MAGIC = b"\x93NUMPY"
MOST_HEADER = 10_000  # bytes, as in NumPy
MOST_TEXT = 100_000_000  # characters of a string
_FORM = re.compile(
    rb"\{'descr': '([<>|=]?[A-Za-z][0-9]{0,9})', 'fortran_order': (True|False), 'shape': \(([0-9L, ]*)\),? *\}\s*"
)


class NotNumpy(ValueError):
    """The bytes are no array that can be read; the message says why."""


class Header(NamedTuple):
    """What an array is: `kind` as NumPy writes it (<f4, |O), and where its values begin."""

    kind: str
    fortran: bool
    shape: tuple[int, ...]
    start: int

    @property
    def is_objects(self) -> bool:
        """Whether a pickle follows in place of values."""
        return self.kind.lstrip("|<>=").startswith("O")

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Raises NotNumpy for anything but numbers and text."""
        if not re.fullmatch(r"[<>|=]?([biuf][1248]|U[0-9]+)", self.kind) or self.kind.endswith("f1"):
            raise NotNumpy(f"it is of kind {self.kind!r}, expected numbers")
        try:
            return np.dtype(self.kind)
        except (TypeError, ValueError):
            raise NotNumpy(f"it is of kind {self.kind!r}, which NumPy does not know") from None

    @property
    def length(self) -> int:
        """Bytes of the values. Raises NotNumpy."""
        return math.prod(self.shape) * self.dtype.itemsize

    def values(self, raw: NDArray[np.uint8]) -> NDArray[np.generic]:
        """The array [shape], a view of its bytes. Raises NotNumpy where they are not as many as it says."""
        if len(raw) != self.length:
            raise NotNumpy(f"its shape {self.shape} of {self.dtype} needs {self.length:,} bytes, it has {len(raw):,}")
        return raw.view(self.dtype).reshape(self.shape, order="F" if self.fortran else "C")

    def text(self, raw: NDArray[np.uint8]) -> str:
        """The one string of an array without sides. Raises NotNumpy."""
        if self.shape or "U" not in self.kind or len(raw) != self.length or self.length > 4 * MOST_TEXT:
            raise NotNumpy("it is no text")
        try:
            return bytes(raw).decode("utf-32-be" if self.kind[0] == ">" else "utf-32-le").rstrip("\0")
        except UnicodeDecodeError:
            raise NotNumpy("it is no text") from None


def parse(head: bytes) -> Header:
    """The header in a file's first bytes, of which `MOST_HEADER + 12` are enough. Raises NotNumpy."""
    size = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}.get(head[6:8])
    if not head.startswith(MAGIC) or size is None:
        raise NotNumpy("it does not begin as a .npy file")
    start = 8 + size + int.from_bytes(head[8 : 8 + size], "little")
    if start > MOST_HEADER:
        raise NotNumpy(f"its header would have {start:,} bytes, at most {MOST_HEADER:,} are expected")
    found = _FORM.fullmatch(head[8 + size : start])
    if found is None or len(head) < start:
        raise NotNumpy("its header does not name one kind, an order and a shape")
    kind, fortran, sides = (part.decode("ascii") for part in found.groups())
    numbers = [side.strip().removesuffix("L") for side in sides.split(",") if side.strip()]  # L: written by Python 2
    if len(numbers) > MOST_SIDES or not all(re.fullmatch(r"[0-9]{1,18}", number) for number in numbers):
        raise NotNumpy("its shape is no row of whole numbers")
    return Header(kind, fortran == "True", tuple(map(int, numbers)), start)
