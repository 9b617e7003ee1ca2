"""JSON for measured values: NaN and infinities survive, NumPy scalars become numbers, and every reader can read it.

JSON has no NaN. `{"non-finite": "nan"}` stands for it, which cannot be taken for a text or for a missing value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

NON_FINITE = "non-finite"
UNUSUAL = re.compile(r"[^ -~\n]")


def dumps(value: Any, indent: int | None = None) -> str:
    """JSON that any reader takes: no bare NaN, no half of a surrogate pair, no control character but as an escape."""
    text = json.dumps(_encoded(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return UNUSUAL.sub(lambda sign: sign[0] if sign[0].isprintable() else json.dumps(sign[0])[1:-1], text)


def _encoded(value: Any) -> Any:
    """What JSON can hold: NaN and infinities tagged, NumPy scalars as numbers, paths and the like as text."""
    if isinstance(value, Mapping):
        return {str(key): _encoded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encoded(inner) for inner in value]
    if not isinstance(value, str | int | float | None) and callable(getattr(value, "item", None)):
        value = value.item()
    if isinstance(value, float):
        value = float(value)  # numpy.float64 is a float
        return value if math.isfinite(value) else {NON_FINITE: repr(value)}
    if isinstance(value, int | None):
        return value
    return str(value).encode(errors="replace").decode()  # a process's stderr may hold what is no text


def loads(text: str | bytes) -> Any:
    """What `dumps` wrote. Raises ValueError."""
    try:
        return json.loads(text, object_hook=_decoded)
    except RecursionError:
        raise ValueError("brackets within brackets, deeper than anything written here") from None


def _decoded(found: dict[str, Any]) -> Any:
    return float(found[NON_FINITE]) if found.keys() == {NON_FINITE} else found
