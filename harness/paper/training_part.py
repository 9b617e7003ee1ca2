"""A prepared folder whose held-out part is its training part: validated on it, a training tells its training error."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harness import strict_json
from harness.data.prepared import FACTS_FILE, Prepared
from reports import atomic

MOST_IMAGES = 10_000  # counted: enough for an error of a quarter to a hundredth


def make(prepared: Prepared, limit: int | None, folder: Path) -> Path:
    """Write it, with the first `limit` training images as both parts, and return it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    part = prepared.part("train")
    used = min(len(part), limit or len(part))
    counts = {"train": used, "val": min(used, MOST_IMAGES)}
    names = part.names()
    for name, count in counts.items():
        np.save(folder / f"{name}.images.npy", part.images[:count], allow_pickle=False)
        np.save(folder / f"{name}.labels.npy", part.labels[:count], allow_pickle=False)
        text = "".join(json.dumps(one) + "\n" for one in names[:count])
        (folder / f"{name}.names.jsonl").write_text(text, encoding="utf-8")
    np.save(folder / "mean.npy", prepared.mean, allow_pickle=False)
    facts = json.loads((prepared.path / FACTS_FILE).read_text(encoding="utf-8"))
    facts |= {
        "parts": {name: {"images": count} for name, count in counts.items()},
        "hash": f"{prepared.content_hash}-train{used}",
    }
    atomic.write_bytes(strict_json.dumps(facts).encode(), folder / FACTS_FILE)  # last: it makes the folder whole
    return folder
