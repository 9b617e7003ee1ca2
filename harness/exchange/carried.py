"""What our own exports say of themselves, in a place that each format offers under the key "alexbench"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.preprocessing import MOST_TEXT
from harness.exchange.foreign import FormatError

KEY = "alexbench"
MOST_NAME = 200


class Carried(NamedTuple):
    """A catalog name and a preprocessing's text, each None where the file does not say it."""

    network: str | None = None
    preprocessing: str | None = None


def carried(path: Path, text: Any) -> Carried:
    """What the JSON object under the key says, or nothing. The rest of it is not looked at. Raises FormatError."""
    if text is None:
        return Carried()
    wrong = f"{str(path)!r}: its entry {KEY!r} is no JSON object with a network's name and a preprocessing"
    if not isinstance(text, str) or len(text) > MOST_TEXT:
        raise FormatError(wrong)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise FormatError(wrong) from None
    if not isinstance(found, dict):
        raise FormatError(wrong)
    network, preprocessing = found.get("network"), found.get("preprocessing")
    if not isinstance(network, str | None) or (network is not None and len(network) > MOST_NAME):
        raise FormatError(wrong)
    if not isinstance(preprocessing, str | None):
        raise FormatError(wrong)
    return Carried(network, preprocessing)
