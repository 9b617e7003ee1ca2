"""Damaged copies of files, each drawn from a word of its own: by bytes, by words, and by what a format is made of.

A mutant is the same for the same originals, kinds and word on every machine, whichever were drawn before it.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Chance = random.Random
Kind = Callable[[bytes, Sequence[bytes], Chance], bytes]  # an original, all of them, chance

WHOLE = (0, 1, -1, 2, 3, 5, 7, 100, 2**31, 2**62, -(2**63), -5)  # for sizes, counts and places
BYTES = (b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff")
WORDS = (
    b"0", b"-1", b"1", b"3", b"65536", b"4294967296", b"9" * 18, b"9" * 30, b"1e999", b"nan", b"", b"..", b"\xff",
    b"O8", b"V4", b"f2", b"f8", b"i8", b"True", b"False",
)  # fmt: skip
ODD: tuple[Any, ...] = (None, True, -1, 0, 1.5, 1e308, 10**40, "x", "", "..", [], {}, [None], [[1]], ["a", 1], {"a": 1})


def mutant(originals: Sequence[bytes], kinds: Sequence[Kind], word: str) -> bytes:
    """One of the originals, damaged in one of the ways."""
    chance = random.Random(word)  # the same for the same text wherever Python runs
    return chance.choice(kinds)(chance.choice(originals), originals, chance)


def by_bytes(original: bytes, originals: Sequence[bytes], chance: Chance) -> bytes:
    """Bits flipped, numbers set, ranges lost, doubled, moved, exchanged, or from another file; the end missing."""
    data = bytearray(original)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        _spoil(data, originals, chance)
    return bytes(data)


def _spoil(data: bytearray, originals: Sequence[bytes], chance: Chance) -> None:
    if data:
        begin = chance.randrange(len(data))
        end = min(len(data), begin + chance.choice((1, 2, 4, 8, 32, 64, 512)))
        if chance.random() < 0.5:
            _overwrite(data, begin, end, chance)
        else:
            _move(data, begin, end, originals, chance)


def _overwrite(data: bytearray, begin: int, end: int, chance: Chance) -> None:
    match chance.randrange(5):
        case 0:
            for place in (begin, *(chance.randrange(len(data)) for _ in range(chance.choice((0, 0, 3, 15))))):
                data[place] ^= 1 << chance.randrange(8)
        case 1:
            data[begin] = chance.choice((*BYTES, chance.randbytes(1)))[0]
        case 2:
            kind = chance.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
            size = struct.calcsize(kind)
            data[begin : begin + size] = struct.pack(kind, chance.choice(WHOLE) % 256**size)
        case 3:
            data[begin:end] = chance.choice(BYTES) * (end - begin)
        case _:
            data[begin:end] = chance.randbytes(end - begin)


def _move(data: bytearray, begin: int, end: int, originals: Sequence[bytes], chance: Chance) -> None:
    place, piece = chance.randrange(len(data)), bytes(data[begin:end])
    match chance.randrange(6):
        case 0:
            del data[begin:end]
        case 1:
            data[end:end] = piece * chance.choice((1, 1, 2, 8))
        case 2:
            data[place:place] = piece
        case 3:
            data[begin:end] = data[place : place + len(piece)]
            data[place : place + len(piece)] = piece
        case 4:
            other = chance.choice(originals)
            start = chance.randrange(len(other))
            data[begin:end] = other[start : start + end - begin]
        case _ if chance.random() < 0.3:
            del data[begin:]


def by_words(original: bytes, originals: Sequence[bytes], chance: Chance) -> bytes:
    """Names and numbers of a text replaced by others of its own, or by such as no writer writes."""
    pieces = re.split(rb"([\w.+-]+)", original)  # each second one is a word
    if len(pieces) < 2:
        return by_bytes(original, originals, chance)
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(1, len(pieces), 2)
        pieces[place] = chance.choice(WORDS) if chance.random() < 0.5 else chance.choice(pieces[1::2])
    return b"".join(pieces)


def by_members(original: bytes, originals: Sequence[bytes], chance: Chance) -> bytes:
    """A zip archive that is whole, with a member damaged, lost, doubled under another name, or exchanged."""
    with zipfile.ZipFile(io.BytesIO(original)) as archive:
        packing = archive.infolist()[0].compress_type
        members = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(chance.choice((1, 1, 2))):
        name, other = chance.choice(list(members)), chance.choice(list(members))
        match chance.randrange(8):
            case 0:
                members[name], members[other] = members[other], members[name]
            case 1:
                members[name + chance.choice(("", "0", "/x", ".npy"))] = members[other]
            case 2 if len(members) > 1:
                del members[name]
            case 3 | 4:
                members[name] = by_words(members[name], list(members.values()), chance)
            case _:
                members[name] = by_bytes(members[name], [data for data in members.values() if data], chance)
    return zipped(members, packing)


def zipped(members: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> bytes:
    """An archive, the same for the same members: written at no time."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", packing) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, packing)
    return made.getvalue()


def by_values(load: Callable[[bytes], Any], dump: Callable[[Any], bytes]) -> Kind:
    """What a file holds, with values replaced, removed or doubled, and written again as its library does."""

    def changed(original: bytes, originals: Sequence[bytes], chance: Chance) -> bytes:
        value = load(original)
        for _ in range(chance.choice((1, 1, 2, 3))):
            value = _spoilt(value, chance)
        try:
            return dump(value)
        except (OverflowError, TypeError):  # a number or a key that the format has no way to write
            return by_bytes(original, originals, chance)

    return changed


def _spoilt(value: Any, chance: Chance) -> Any:
    """The same value with one of its parts replaced, removed or doubled."""
    if chance.random() < 0.15 or not isinstance(value, dict | list | tuple) or not value:
        return chance.choice(ODD)
    if isinstance(value, list | tuple):
        place = chance.randrange(len(value))
        change = chance.choice(([_spoilt(value[place], chance)], [], [value[place]] * 2))
        return type(value)([*value[:place], *change, *value[place + 1 :]])
    key = chance.choice(list(value))
    return {**value, key: _spoilt(value[key], chance)}


def by_safetensors_header(original: bytes, originals: Sequence[bytes], chance: Chance) -> bytes:
    """The header's JSON changed, and its length put right."""
    (length,) = struct.unpack_from("<Q", original)
    text = by_json(original[8 : 8 + length], (), chance)
    return struct.pack("<Q", len(text)) + text + original[8 + length :]


by_json = by_values(json.loads, lambda value: json.dumps(value).encode())


def _unpacked(data: bytes) -> Any:
    """Flax' arrays are msgpack in extensions of msgpack: their insides are taken apart too."""
    import msgpack

    return msgpack.unpackb(data, ext_hook=lambda code, inner: {"an extension": [code, msgpack.unpackb(inner)]})


def _packed(value: Any) -> bytes:
    import msgpack

    return bytes(msgpack.packb(_with_extensions(value)))


def _with_extensions(value: Any) -> Any:
    import msgpack

    match value:
        case {"an extension": [int(code), inner]} if 0 <= code < 128:
            return msgpack.ExtType(int(code), _packed(inner))
        case dict():
            return {key: _with_extensions(item) for key, item in value.items()}
        case list():
            return [_with_extensions(item) for item in value]
    return value


by_msgpack = by_values(_unpacked, _packed)
by_pickle = by_values(lambda data: pickle.loads(data, encoding="latin1"), lambda value: pickle.dumps(value, 2))


def _dictionary(data: bytes) -> Any:
    return np.load(io.BytesIO(data), allow_pickle=True).item()


def _npy(value: Any) -> bytes:
    made, scalar = io.BytesIO(), np.empty((), object)
    scalar[()] = value
    np.save(made, scalar)
    return made.getvalue()


by_npy_dictionary = by_values(_dictionary, _npy)
