"""The list of a source's images, written to the disk as it is read: memory does not grow with the data."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from harness.data.plan import REST, Plan
from harness.data.prepared import MOST_CLASSES, PARTS
from harness.data.sources.source import Item, Listing, Skip, Source
from harness.errors import UsageError
from reports import atomic

OFFSETS_AT_ONCE = 8192
MOST_LISTED = 1000  # names of a part that are left out for the same reason; the others are counted


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
        folders=source.folders,
        notes=source.notes,
    )
    counts = {part: _list(plan, part, source.parts[part]) for part in PARTS if part in source.parts}
    if source.rest is not None:
        with (plan.work / f"{REST}.unlisted").open("wb") as unlisted, _bounded(unlisted) as write:
            for found in source.rest():
                write(found)
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
        _bounded(unlisted) as leave_out,
    ):
        for found in listing():
            if isinstance(found, Skip):
                leave_out(found)
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


@contextlib.contextmanager
def _bounded(unlisted: IO[bytes]) -> Iterator[Callable[[Skip], None]]:
    """A function that writes what is left out; at the end, a line for those of each reason that were too many."""
    written: Counter[str] = Counter()
    more: dict[str, Skip] = {}

    def write(found: Skip) -> None:
        if written[found.reason] < MOST_LISTED:
            written[found.reason] += 1
            unlisted.write(json.dumps(found).encode() + b"\n")
        else:
            before = more.get(found.reason, found._replace(files=0))
            more[found.reason] = before._replace(files=before.files + found.files)

    yield write
    for found in more.values():
        unlisted.write(json.dumps(found._replace(name="and more")).encode() + b"\n")


def _check(item: Item, part: str, classes: int) -> None:
    if not 0 <= item.label < classes:
        raise UsageError(f"{item.name} of {part} has the label {item.label}: expected 0 to {classes - 1}")


def _int64(numbers: list[int]) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)
