"""`digits`: 1,797 handwritten digits of 8x8 pixels that scikit-learn carries, read without importing it.

Every fifth digit of a class is held out. The file goes writer by writer, 13 of them, so each wrote in both parts and
each class has a fifth in both: a network that learned to read reads these. Holding out the last writers instead asks
another question, how it reads strange hands, of three people only: a nearest neighbour then errs 5 times as often
(4.5 % instead of 0.8 %), by which three they happen to be.

References:
    Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998 (test set)
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.sources.source import Item, Reference, Skip, Source, held_out
from harness.errors import CannotMeasure, UsageError
from harness.requirements import pip

SIDE = 8
LARGEST = 16  # of a pixel's value
COUNT = 1797
MOST_BYTES = 4_000_000


def open_digits() -> Source:
    """The embedded digits. Raises CannotMeasure where scikit-learn is missing."""
    file = embedded_file()

    def items(validation: bool) -> Iterator[Item | Skip]:
        seen = [0] * 10  # of each class
        for index, label in enumerate(_read(file)[1].tolist()):
            if held_out(seen[label]) == validation:
                yield Item(label, f"digit {index}", ("digits", index))
            seen[label] += 1

    return Source(
        title="digits",
        root=file.parent,
        channels=1,
        side=SIDE,
        classes=tuple("0123456789"),
        parts={"train": lambda: items(False), "val": lambda: items(True)},
        files=lambda: [file.name],
    )


def embedded_file() -> Path:
    """Where scikit-learn keeps the digits."""
    spec = importlib.util.find_spec("sklearn")
    for root in (spec.submodule_search_locations or []) if spec is not None else []:
        file = Path(root) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return file
    raise CannotMeasure(f"the digits come with scikit-learn, which is not installed: {pip()} install scikit-learn")


def read(root: Path, reference: Reference) -> NDArray[np.uint8]:
    """One digit, uint8 [8, 8]: ink is white."""
    digit: NDArray[np.uint8] = _read(root / "digits.csv.gz")[0][int(reference[1])]
    return digit


@functools.lru_cache(maxsize=1)
def _read(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels [N, 8, 8], their values spread from 0..16 to 0..255, and labels [N]. A line is 64 pixels and the digit."""
    try:
        with gzip.open(file) as stream:
            text = stream.read(MOST_BYTES).decode("ascii")
        table = np.array([line.split(",") for line in text.split()], dtype=np.float64)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UsageError(f"{file} is damaged ({error}): install scikit-learn again") from None
    if table.shape != (COUNT, SIDE * SIDE + 1) or not 0 <= table.min() <= table.max() <= LARGEST:
        raise UsageError(f"{file} does not hold {COUNT} digits of {SIDE}x{SIDE} pixels: install scikit-learn again")
    grey = (table[:, :-1] * 255 + LARGEST // 2) // LARGEST
    return grey.astype(np.uint8).reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64)
