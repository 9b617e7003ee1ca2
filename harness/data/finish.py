"""From chunks that are all done to a prepared folder: no holes, labels, names, mean, colours, hash.

Everything here may be broken off and done again: a step leaves what it reads as it was, or is known to be done.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data import mapped
from harness.data.journal import ChunkDone
from harness.data.plan import DIGEST_BYTES, REST, Plan
from harness.data.prepared import FACTS_FILE, FORMAT, PARTS
from harness.errors import CannotMeasure
from reports import atomic
from reports.format import for_spreadsheet

UNREADABLE = "it cannot be read as an image"  # stands for every reason of the decoder's, each of which names a file
MOST_REASONS = 20

Done = Mapping[tuple[str, int], ChunkDone]


class Skipped(NamedTuple):
    """A row of skipped.csv."""

    part: str
    name: str
    reason: str
    files: int = 1  # that it stands for
    wanted: bool = True  # whether it is an image that is missed
    decoded: bool = False  # whether it was taken for an image until it was read


@dataclass(frozen=True)
class Order:
    """Which item each prepared image is: the items in their order, each one left out replaced by one from the end."""

    count: int  # images that remain
    moved: Mapping[int, int]  # place of an item left out -> item that takes it

    def __iter__(self) -> Iterator[int]:
        return (self.moved.get(place, place) for place in range(self.count))


def order_of(plan: Plan, part: str, done: Done) -> Order:
    """The order of a part's images. No item that moves lies before an item that does not: so moving may be repeated."""
    holes = sorted(index for chunk in range(plan.chunks(part)) for index, _ in done[part, chunk].skipped)
    count = plan.counts[part] - len(holes)
    out = set(holes)
    behind = (index for index in range(count, plan.counts[part]) if index not in out)
    return Order(count, dict(zip((hole for hole in holes if hole < count), behind, strict=True)))


def skipped(plan: Plan, done: Done) -> list[Skipped]:
    """Everything that is left out and why, in the order of the parts and their items."""
    found: list[Skipped] = []
    for part in (*PARTS, REST):
        found += [Skipped(part, *one) for one in plan.unlisted(part)]
        for chunk in range(plan.chunks(part) if part in plan.counts else 0):
            reasons = dict(done[part, chunk].skipped)
            if reasons:
                items = plan.items(part, plan.span(part, chunk))
                start = plan.span(part, chunk).start
                found += [
                    Skipped(part, items[index - start].name, reason, decoded=True) for index, reason in reasons.items()
                ]
    return found


def write_skipped(plan: Plan, found: Iterable[Skipped]) -> None:
    """skipped.csv. Raises OSError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("part", "name", "reason", "files"))
    writer.writerows([*map(for_spreadsheet, one[:3]), one[3]] for one in found)
    atomic.write_bytes(text.getvalue().encode(errors="backslashreplace"), plan.folder / "skipped.csv")


def _reasons(found: Iterable[Skipped]) -> dict[str, int]:
    """Files left out for each reason, the most frequent first; 0 for what concerns folders alone."""
    counts: Counter[str] = Counter()
    for one in found:
        counts[UNREADABLE if one.decoded else one.reason] += one.files
    return dict(counts.most_common(MOST_REASONS))


def finish(plan: Plan, done: Done, left_out: Sequence[Skipped]) -> None:
    """Write what is missing, prepared.json last, and remove what only the work needed. Raises OSError."""
    digest = hashlib.sha256(json.dumps([plan.side, plan.channels, list(plan.classes)]).encode())
    counts = {}
    for part in plan.counts:
        order = order_of(plan, part, done)
        if not order.count:
            _drop(plan, part)
            continue
        _close_up(plan, part, order)
        labels = _labels_and_names(plan, part, order)
        digests = np.fromfile(plan.work / f"{part}.digests", np.uint8).reshape(-1, DIGEST_BYTES)
        digest.update(json.dumps([part, order.count]).encode() + labels.astype("<i4").tobytes())
        for place in order:
            digest.update(digests[place].data)
        counts[part] = order.count
    _mean(plan, done)
    values, vectors = colour_axes(plan, done)
    facts = {
        "format": FORMAT,
        "source": plan.title,
        "stamp": plan.stamp,
        "side": plan.side,
        "channels": plan.channels,
        "classes": list(plan.classes),
        "parts": {part: {"images": count} for part, count in counts.items()},
        "measured": plan.measured,
        "colour": {"eigenvalues": values.tolist(), "eigenvectors": vectors.tolist()},
        "skipped": sum(one.files for one in left_out),
        "missed": sum(one.wanted for one in left_out),
        "reasons": _reasons(left_out),
        "folders": dict(plan.folders),
        "notes": list(plan.notes),
        "hash": digest.hexdigest(),
    }
    atomic.write_bytes((json.dumps(facts, indent=2) + "\n").encode(), plan.folder / FACTS_FILE)
    atomic.to_disk(plan.folder)  # before the work that it stands for goes
    shutil.rmtree(plan.work, ignore_errors=True)


def _drop(plan: Plan, part: str) -> None:
    """Leave out a part of which nothing could be read. Raises CannotMeasure for the one whose mean is wanted."""
    if part == plan.measured:
        raise CannotMeasure(
            f"none of the {plan.counts[part]:,} images of {part} can be used: {plan.folder / 'skipped.csv'} says why"
        )
    plan.images_file(part).unlink(missing_ok=True)


def _close_up(plan: Plan, part: str, order: Order) -> None:
    """Move images from the end into the places of those left out, and cut the file behind the last."""
    path = plan.images_file(part)
    head = mapped.header((order.count, *plan.shape))
    end = len(head) + order.count * plan.image_bytes
    with path.open("r+b") as file:
        if os.fstat(file.fileno()).st_size > end:  # else it was cut before, and nothing lies behind it to be moved
            for place, item in order.moved.items():
                _copy(file, len(head) + item * plan.image_bytes, len(head) + place * plan.image_bytes, plan.image_bytes)
            _to_disk(file)  # before the cut: what was moved is not to be lost together with where it came from
        file.seek(0)
        file.write(head)
        file.truncate(end)
        _to_disk(file)


def _copy(file: IO[bytes], start: int, to: int, size: int) -> None:
    file.seek(start)
    data = file.read(size)
    file.seek(to)
    file.write(data)


def _to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _labels_and_names(plan: Plan, part: str, order: Order) -> NDArray[np.int32]:
    """Write both files; returns the labels [N]."""
    labels = np.empty(order.count, np.int32)
    moved = {place: plan.items(part, range(item, item + 1))[0] for place, item in order.moved.items()}
    with (plan.folder / f"{part}.names.jsonl").open("w", encoding="utf-8") as names:
        for place, unmoved in zip(range(order.count), plan.all_items(part), strict=False):
            item = moved.get(place, unmoved)
            labels[place] = item.label
            names.write(json.dumps(_printable(item.name), ensure_ascii=False) + "\n")
    atomic.to_disk(plan.folder / f"{part}.names.jsonl")
    with (plan.folder / f"{part}.labels.npy").open("wb") as file:
        np.save(file, labels)
        _to_disk(file)
    return labels


def _printable(name: str) -> str:
    """A file's name may hold bytes that are no text."""
    return name.encode("utf-8", "backslashreplace").decode()


def _mean(plan: Plan, done: Done) -> None:
    """Write mean.npy: the exact sum of all images by their number, rounded once to float32."""
    total = np.zeros(plan.shape, np.int64)
    with (plan.work / "sums").open("rb") as file:
        for _ in range(plan.chunks(plan.measured)):
            total += np.frombuffer(file.read(2 * plan.image_bytes), np.uint16).reshape(plan.shape)
    count = sum(one.pixels for one in done.values()) // plan.side**2
    stream = io.BytesIO()
    np.save(stream, (total / max(1, count)).astype(np.float32))
    atomic.write_bytes(stream.getvalue(), plan.folder / "mean.npy")


def colour_axes(plan: Plan, done: Done) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues [C], largest first, and eigenvectors [C, C] of the covariance of the pixels' colours (section 4.1).

    The largest component of every eigenvector is positive: its sign would otherwise be the library's choice.
    """
    channels = plan.channels
    chunks = [done[plan.measured, chunk] for chunk in range(plan.chunks(plan.measured))]
    count = sum(one.pixels for one in chunks)
    sums = [sum(one.sums[c] for one in chunks) for c in range(channels)]
    products = [sum(one.products[k] for one in chunks) for k in range(channels**2)]
    # Python's integers are exact and have no end; the division is the only rounding.
    covariance = np.array(
        [
            (count * products[a * channels + b] - sums[a] * sums[b]) / max(1, count) ** 2
            for a in range(channels)
            for b in range(channels)
        ]
    ).reshape(channels, channels)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    return values, vectors * np.sign(vectors[largest, np.arange(channels)])
