"""Damaged copies of files: the same ones for the same seed, on every machine."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

STEPS = ("flip", "set", "cut", "drop", "repeat", "splice", "swap")


def mutants(originals: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` copies with one to four faults each: bits flipped, ranges lost, doubled, exchanged or overwritten."""
    rng = random.Random(seed)
    for place in range(count):
        data = bytearray(originals[place % len(originals)])
        for _ in range(rng.choice((1, 1, 2, 4))):
            _spoil(data, rng)
        yield bytes(data)


def _spoil(data: bytearray, rng: random.Random) -> None:
    if not data:
        return
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.choice((1, 2, 4, 8, 64, 512)))
    match rng.choice(STEPS):
        case "flip":
            for _ in range(rng.choice((1, 4, 16))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case "set":
            data[start:end] = rng.choice((b"\x00", b"\xff", b"\x7f", b"\x80")) * (end - start)
        case "cut":
            del data[start:]
        case "drop":
            del data[start:end]
        case "repeat":
            data[end:end] = data[start:end] * rng.choice((1, 2, 8))
        case "splice":
            data[start:end] = rng.randbytes(end - start)
        case "swap":
            other = rng.randrange(len(data))
            piece = bytes(data[start:end])
            data[start:end] = data[other : other + len(piece)]
            data[other : other + len(piece)] = piece
