"""Values of every kind that a pickle of weights may hold, and the protocols that pickles are written in."""

from __future__ import annotations

import collections
import pickle

import numpy as np

PROTOCOLS = tuple(range(pickle.HIGHEST_PROTOCOL + 1))
VALUES = {
    "numbers": [0, -1, 255, 65536, -(2**31), 10**30, 2.5, -0.0, True, False, None],
    "text": ["", "tü\u20ac\U0001f600", "a" * 300, b"", b"\x00\xff\n'", bytearray(b"xy"), "line\nend\\"],
    "containers": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}, {1, "b"}, frozenset({2.5}), {"a": [{}]}],
    "kinds of dictionaries": [collections.OrderedDict(b=1, a=2), collections.defaultdict(list, {"q": [1]})],
    "arrays": {
        "c": np.arange(6, dtype="<f4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype="<f8").reshape(2, 3)),
        "big-endian": np.arange(3, dtype=">f4"),
        "half": np.arange(3, dtype="<f2"),
        "empty": np.zeros((0, 3), np.float32),
        "no sides": np.array(1.5),
        "scalars": [np.float32(2.5), np.int64(-7)],
    },
    "long": ["x" * 200_000, b"y" * 200_000, np.arange(50_000, dtype="<f4")],
}
