"""Seeded damage to small valid files: what every reader of others' files must survive."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.exchange.foreign import ForeignWeights, FormatError

MUTANTS = 10_000


def mutants(bases: Sequence[bytes], count: int = MUTANTS, seed: int = 0) -> Iterator[bytes]:
    """Copies with bits flipped, bytes set, ranges cut, doubled, moved or taken from another file, or an end missing."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(bases))
        for _ in range(chance.choice((1, 1, 2, 4, 8))):
            _damage(chance, data, bases)
        yield bytes(data)


def _damage(chance: random.Random, data: bytearray, bases: Sequence[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    end = min(len(data), at + chance.choice((1, 2, 4, 8, 32)))
    match chance.randrange(7):
        case 0 if at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        case 1 if at < len(data):
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        case 2:
            del data[at:end]
        case 3:
            data[at:at] = data[at:end]
        case 4:
            other = chance.choice(bases)
            start = chance.randrange(len(other))
            data[at:end] = other[start : start + end - at]
        case 5:
            data[at:end] = chance.choice((b"\xff", b"\x00")) * (end - at)
        case _:
            if chance.random() < 0.3:
                del data[at:]


def rewrite(path: Path, data: bytes) -> None:
    """As a new file: cutting an old one short is slow, and would take the ground from under what is mapped from it."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def survived(reader: Callable[[Path], ForeignWeights], path: Path, bases: Sequence[bytes], count: int = MUTANTS) -> int:
    """How many mutants could be read to the last value; each of the others must end with one line of a FormatError."""
    whole = 0
    for data in mutants(bases, count):
        rewrite(path, data)
        try:
            found = reader(path)
            for layer in found.layers:
                for tensor in (layer.weight, layer.bias):
                    if tensor is not None:
                        assert tensor.read().shape == tensor.shape
            assert all("\n" not in note for note in found.notes)
            whole += 1
        except FormatError as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 4_000
    return whole
