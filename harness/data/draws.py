"""What chance decides in training: each draw a function of (seed, name, step) and of nothing else.

So every framework sees the same batches, a resumed run goes on where the broken one stood, and threads may prepare
batches in any order. All come from Philox's raw words and integer arithmetic, so they are the same on every machine
and with every NumPy (see `impls.random_stream`). NumPy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from impls import random_stream

WORD = 1 << 32


def _stream(seed: int, name: str, step: int) -> str:
    """Its name; no tensor's name begins so, and thus no draw repeats the initial weights' numbers."""
    if seed < 0 or step < 0:
        raise ValueError(f"seed = {seed} and step = {step} must not be negative")
    return f"draw/{name}/{step}"


def _source(seed: int, name: str, step: int) -> np.random.Philox:
    return random_stream.source(seed, _stream(seed, name, step))


def permutation(seed: int, name: str, step: int, count: int) -> NDArray[np.int64]:
    """0 to count - 1 in random order [count]: where 64-bit keys are sorted; equal keys keep their order."""
    keys = _source(seed, name, step).random_raw(count)
    return np.argsort(keys, kind="stable").astype(np.int64, copy=False)


def integers(seed: int, name: str, step: int, count: int, below: int) -> NDArray[np.int64]:
    """Integers from 0 to below - 1 [count], every one exactly as likely as the others.

    The high half of the product of a 32-bit word and `below`; the few words that would favour some are skipped.

    References:
        D. Lemire, Fast random integer generation in an interval, ACM TOMACS 29, 2019.
    """
    if not 1 <= below <= WORD:
        raise ValueError(f"below = {below} must be from 1 to 2**32")
    generator = _source(seed, name, step)
    uneven = np.uint64(WORD % below)
    found = np.empty(0, np.uint64)
    while len(found) < count:
        # An even number of words, so that none is lost between two rounds.
        products = random_stream.words(generator, count + count % 2).astype(np.uint64) * np.uint64(below)
        fair = products[(products & np.uint64(WORD - 1)) >= uneven] >> np.uint64(32)
        found = np.concatenate([found, fair])
    return found[:count].astype(np.int64)


def bits(seed: int, name: str, step: int, count: int) -> NDArray[np.uint8]:
    """Fair coins, 0 or 1 [count]."""
    packed = _source(seed, name, step).random_raw(-(-count // 64)).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(packed, count=count, bitorder="little")


def normals(seed: int, name: str, step: int, count: int) -> NDArray[np.float32]:
    """N(0, 1) [count]; at most 4.6213 from zero."""
    chunks = list(random_stream.stream("normal", seed, _stream(seed, name, step), count))
    return np.concatenate(chunks) if chunks else np.empty(0, np.float32)


def mask(seed: int, name: str, step: int, shape: tuple[int, ...], rate: float) -> NDArray[np.float32]:
    """A dropout layer's mask: 0 with probability `rate`, else 1. One half takes a bit, another rate 32 of them.

    A rate is rounded to a multiple of 2**-32.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"dropout rate {rate} must be from 0 to 1")
    count = int(np.prod(shape, dtype=np.int64))
    if rate == 0.5:
        return bits(seed, name, step, count).astype(np.float32).reshape(shape)
    words = random_stream.words(_source(seed, name, step), count)
    return (words >= round(rate * WORD)).astype(np.float32).reshape(shape)
