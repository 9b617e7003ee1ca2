"""What is to be prepared, settled before the first image is read, and the files it is made with.

A folder under way holds `.prepare/`, which goes when it is finished:

    plan.json         this plan, written when the source has been listed: from then on work can be gone on with
    PART.items        one JSON line per image: label, name, reference
    PART.offsets      int64 [N + 1], where each of these lines begins
    PART.unlisted     one JSON line for everything the source could not offer: name, reason, files, wanted
    rest.unlisted     the same for what lies in the source's folder and belongs to no part
    PART.digests      SHA-256 of each image's pixels
    sums              uint16 [chunks, S, S, C], sums of the training images of each chunk
    journal.jsonl     one line per chunk that is done
    owner             process that works on the folder
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness import strict_json
from harness.data.sources.source import Item, Skip
from harness.errors import UsageError
from reports import atomic

PLAN_FORMAT = 1
WORK = ".prepare"
REST = "rest"  # stands for the part of what belongs to none
DIGEST_BYTES = 32
SMALLEST_CHUNK, LARGEST_CHUNK = 16, 256  # more would not fit into the sums' 16 bits
MOST_BYTES_OF_A_CHUNK = 1 << 26


@dataclass(frozen=True)
class Plan:
    """The folder and everything about it that does not change while it is worked on."""

    folder: Path
    title: str
    stamp: str
    root: Path
    encoded: bool
    side: int
    channels: int
    classes: tuple[str, ...]
    counts: Mapping[str, int]  # items of each part, in the order of the parts
    folders: Mapping[str, str] = field(default_factory=dict)  # of the source's parts, where it had to find them
    notes: tuple[str, ...] = ()  # what a user should know of how the source was read

    @property
    def work(self) -> Path:
        """The folder of files that go when the work is done."""
        return self.folder / WORK

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image, [S, S, C]."""
        return self.side, self.side, self.channels

    @property
    def image_bytes(self) -> int:
        """Of one image."""
        return self.side * self.side * self.channels

    @property
    def measured(self) -> str:
        """The part whose mean and colours are taken: train, or the first where there is none."""
        return "train" if "train" in self.counts else next(iter(self.counts))

    def images_file(self, part: str) -> Path:
        """The part's pixels."""
        return self.folder / f"{part}.images.npy"

    def chunk_size(self, part: str) -> int:
        """Images done at a time: enough of them that many processes share even a small part."""
        wanted = max(SMALLEST_CHUNK, min(LARGEST_CHUNK, self.counts[part] // 64))
        return max(1, min(wanted, MOST_BYTES_OF_A_CHUNK // self.image_bytes))

    def chunks(self, part: str) -> int:
        """How many chunks a part has."""
        return -(-self.counts[part] // self.chunk_size(part))

    def span(self, part: str, chunk: int) -> range:
        """The images of a chunk."""
        size = self.chunk_size(part)
        return range(chunk * size, min((chunk + 1) * size, self.counts[part]))

    def items(self, part: str, span: range) -> list[Item]:
        """These items of a part."""
        offsets = np.memmap(self.work / f"{part}.offsets", np.int64, mode="r")
        with (self.work / f"{part}.items").open("rb") as file:
            file.seek(int(offsets[span.start]))
            lines = [file.readline() for _ in span]
        return [Item(label, name, tuple(reference)) for label, name, reference in map(json.loads, lines)]

    def all_items(self, part: str) -> Iterator[Item]:
        """The items of a part one after the other."""
        for chunk in range(self.chunks(part)):
            yield from self.items(part, self.span(part, chunk))

    def unlisted(self, part: str) -> list[Skip]:
        """What the source could not offer of a part, be it one of which nothing remained."""
        try:
            with (self.work / f"{part}.unlisted").open("rb") as file:
                return [Skip(*json.loads(line)) for line in file]
        except FileNotFoundError:
            return []  # the source has no such part

    def write(self) -> None:
        """Keep the plan. Raises OSError."""
        facts = {
            "format": PLAN_FORMAT,
            "title": self.title,
            "stamp": self.stamp,
            "root": str(self.root),
            "encoded": self.encoded,
            "side": self.side,
            "channels": self.channels,
            "classes": list(self.classes),
            "counts": dict(self.counts),
            "folders": dict(self.folders),
            "notes": list(self.notes),
        }
        atomic.write_bytes(json.dumps(facts).encode(), self.work / "plan.json")


def read_plan(folder: Path, root: Path | None = None) -> Plan | None:
    """The plan of a folder under way; None where it has not come so far. Raises UsageError for one of another version.

    `root`: where the source lies now, if it may have been moved.
    """
    try:
        facts: Any = strict_json.loads((folder / WORK / "plan.json").read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {folder / WORK}/plan.json ({error}): remove {folder} and begin again") from None
    if not isinstance(facts, dict) or facts.pop("format", None) != PLAN_FORMAT:
        raise UsageError(f"{folder} was begun by another version of alexbench: remove it and begin again")
    facts["classes"], facts["notes"] = tuple(facts["classes"]), tuple(facts.get("notes", ()))
    facts["root"] = root or Path(facts["root"])
    return Plan(folder=folder, **facts)
