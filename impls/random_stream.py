"""Random numbers that are the same on every machine: named streams of float32 Gaussians and uniforms.

`Generator.standard_normal` is not used: its stream may change between NumPy versions, and its rare branches call the
platform's log and exp. Here only the raw 64-bit output of Philox is taken, which NumPy promises to keep (NEP 19), and
everything after it is integer arithmetic or a single IEEE operation at a time: exact or correctly rounded everywhere.

Gaussians. 65,537 knots q[i] = inverse normal distribution at i / 65536, as float32; the upper half is computed and
mirrored. A 32-bit word gives the cell (high 16 bits) and the place in it (low 16 bits, times the cell's slope). The
outermost knots, infinite in theory, stand at probability 2**-19: the last cell then has nearly the mean of the tail
it replaces (4.395 for 4.388). So the tail is bounded: |z| <= 4.6213, and the standard deviation is 1 within 1e-4.
The knots come from `statistics.NormalDist`, which calls the platform's log; none lies nearer to a float32 rounding
boundary than 9,000 units in the last place of a double, so a libm that errs in the last place gives the same table.

References:
    Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011 (Philox).
    Wichura, Algorithm AS 241, Applied Statistics 37, 1988 (the inverse of the normal distribution).
"""

from __future__ import annotations

import functools
import hashlib
import statistics
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 16  # values made at a time: the temporaries fit in a core's second-level cache
CELLS = 1 << 16
TAIL_PROBABILITY = 2.0**-19

Kind = Literal["normal", "uniform"]


def stream(kind: Kind, seed: int, name: str, count: int, chunk: int = CHUNK) -> Iterator[NDArray[np.float32]]:
    """`count` values of the stream (seed, name), in chunks [<= chunk]: N(0, 1), or uniform in [-1, 1).

    The values do not depend on `chunk`, which must be even and positive.
    """
    if chunk < 2 or chunk % 2:
        raise ValueError(f"chunk = {chunk} must be even and positive: each 64-bit word gives two values")
    transform = _normal if kind == "normal" else _uniform
    generator = source(seed, name)
    for start in range(0, count, chunk):
        yield transform(words(generator, min(chunk, count - start)))


def source(seed: int, name: str) -> np.random.Philox:
    """The stream (seed, name) from its start, to be read with `words` or with its own `random_raw`."""
    return np.random.Philox(key=_key(seed, name))


def words(generator: np.random.Philox, count: int) -> NDArray[np.uint32]:
    """The next `count` 32-bit words [count]; of an odd count the last 64-bit word's second half is lost."""
    # Little-endian on every machine, so that the two halves of a word come in the same order.
    return generator.random_raw((count + 1) // 2).astype("<u8", copy=False).view("<u4")[:count]


def _key(seed: int, name: str) -> int:
    """A 128-bit Philox key for one stream."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:16], "little")


def _normal(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """32-bit words [n] to N(0, 1) [n]. The product and the sum are two NumPy calls, so no machine fuses them."""
    knots, slopes = quantile_table()
    cells = words >> 16
    values: NDArray[np.float32] = slopes[cells] * (words & np.uint32(0xFFFF)).astype(np.float32)
    values += knots[cells]
    return values


def _uniform(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """32-bit words [n] to multiples of 2**-23 in [-1, 1) [n]; every operation is exact."""
    values = (words >> 8).astype(np.float32)
    values *= np.float32(2.0**-23)
    values -= np.float32(1.0)
    return values


@functools.cache
def quantile_table() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The knots [65537], and each cell's slope per unit of the low 16 bits [65536]."""
    inverse = statistics.NormalDist().inv_cdf
    upper = [inverse(i / CELLS) for i in range(CELLS // 2, CELLS)] + [inverse(1.0 - TAIL_PROBABILITY)]
    half = np.array(upper, dtype=np.float32)
    knots = np.concatenate([-half[:0:-1], half])
    slopes = (knots[1:] - knots[:-1]) * np.float32(1.0 / CELLS)  # a power of two: this product is exact
    return knots, slopes
