"""The list of a source's images, written to the disk as it is read: memory does not grow with the data."""

from __future__ import annotations

import json
from pathlib import Path

from harness.data.plan import Plan
from harness.data.prepared import MOST_CLASSES, PARTS
from harness.data.sources.source import Item, Listing, Skip, Source
from harness.errors import UsageError
from reports import atomic

OFFSETS_AT_ONCE = 8192


def take(source: Source, stamp: str, folder: Path, side: int) -> Plan:
    """List every part of a source under `folder`/.prepare and settle the plan. Raises UsageError, OSError."""
    if not 1 <= len(source.classes) <= MOST_CLASSES:
        raise UsageError(f"{source.title} has {len(source.classes):,} classes: expected 1 to {MOST_CLASSES:,}")
    plan = Plan(
        folder=folder,
        title=source.title,
        stamp=stamp,
        root=source.root.resolve(),
        encoded=source.encoded,
        side=side,
        channels=source.channels,
        classes=source.classes,
        counts={},
    )
    counts = {part: _list(plan, part, source.parts[part]) for part in PARTS if part in source.parts}
    kept = {part: count for part, count in counts.items() if count}
    if not kept:
        raise UsageError(f"{source.title} holds no image in {source.root}")
    settled = Plan(**{**vars(plan), "counts": kept})
    settled.write()
    return settled


def _list(plan: Plan, part: str, listing: Listing) -> int:
    """Write a part's items; returns how many there are."""
    count, position = 0, 0
    offsets: list[int] = [0]
    with (
        (plan.work / f"{part}.items").open("wb") as items,
        (plan.work / f"{part}.offsets").open("wb") as starts,
        (plan.work / f"{part}.unlisted").open("wb") as unlisted,
    ):
        for found in listing():
            if isinstance(found, Skip):
                unlisted.write(json.dumps(found).encode() + b"\n")
                continue
            _check(found, part, len(plan.classes))
            position += items.write(json.dumps(found).encode() + b"\n")
            count += 1
            offsets.append(position)
            if len(offsets) == OFFSETS_AT_ONCE:
                starts.write(_int64(offsets))
                offsets.clear()
        starts.write(_int64(offsets))
    for name in ("items", "offsets", "unlisted"):  # the plan that is written last makes them count
        atomic.to_disk(plan.work / f"{part}.{name}")
    return count


def _check(item: Item, part: str, classes: int) -> None:
    if not 0 <= item.label < classes:
        raise UsageError(f"{item.name} of {part} has the label {item.label}: expected 0 to {classes - 1}")


def _int64(numbers: list[int]) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)
