"""The signatures of several rows as one, for the foot of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def parts(row: Row) -> dict[str, str]:
    """A signature's fields: `network` -> `paper`."""
    return dict(part.partition(":")[::2] for part in str(row.get("signature") or "").split("|") if part)


def merged(rows: Sequence[Row]) -> str:
    """The rows' signatures as one: fields that differ list their values."""
    values: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, value in parts(row).items():
            values.setdefault(name, {})[value] = None
    return "|".join(f"{name}:{','.join(given)}" for name, given in values.items())
