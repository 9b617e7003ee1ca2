"""A prepared folder: images of one size as bytes, mapped from the disk, with what training needs to know of them.

    prepared.json       format, source, side, channels, class names, parts, colours, content hash; written last
    PART.images.npy     uint8 [N, side, side, channels]; PART is train, val or test
    PART.labels.npy     int32 [N], indices of the class names
    PART.names.jsonl    one JSON string per image: what it was in the source
    mean.npy            float32 [side, side, channels], the mean of the training part's images
    skipped.csv         part, name, reason, files: what was left out; the last of a reason may stand for many

Read with NumPy alone: workers of other interpreters read it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import strict_json
from harness.errors import UsageError

FORMAT = 1
FACTS_FILE = "prepared.json"
PARTS = ("train", "val", "test")
MOST_CLASSES = 100_000
MOST_BYTES_OF_FACTS = 64_000_000


@dataclass(frozen=True)
class Part:
    """Images and their labels, mapped read-only."""

    name: str
    images: NDArray[np.uint8]  # [N, S, S, C]
    labels: NDArray[np.int32]  # [N]
    names_file: Path

    def __len__(self) -> int:
        return len(self.labels)

    def names(self) -> list[str]:
        """What each image was in the source. Raises UsageError where there is not one name per image."""
        try:
            with self.names_file.open(encoding="utf-8") as file:
                found = [str(json.loads(line)) for line in file]
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"cannot read {self.names_file} ({error}): prepare the folder again") from None
        if len(found) != len(self):
            raise UsageError(f"{self.names_file} has {len(found)} names for {len(self)} images: prepare it again")
        return found


@dataclass(frozen=True)
class Prepared:
    """An opened folder."""

    path: Path
    source: str  # such as "digits" or "imagefolder:cats-and-dogs"
    side: int
    channels: int  # 1 for grey, 3 for RGB
    classes: tuple[str, ...]
    parts: Mapping[str, Part]
    mean: NDArray[np.float32]  # [S, S, C], of the training part
    eigenvalues: NDArray[np.float64]  # [C] of the covariance of the training pixels' colours, in 0..255, largest first
    eigenvectors: NDArray[np.float64]  # [C, C], one per column; the largest component of each is positive
    content_hash: str  # SHA-256 of parts, labels and class names, in hexadecimal
    skipped: int = 0  # files that were left out
    reasons: Mapping[str, int] = field(default_factory=dict)  # why, and how many for each
    folders: Mapping[str, str] = field(default_factory=dict)  # of the source's parts, where it had to find them
    notes: tuple[str, ...] = ()  # what a user should know of how the source was read

    def part(self, name: str) -> Part:
        """One part. Raises UsageError."""
        if name not in self.parts:
            why = "".join(f"; {note}" for note in self.notes if note.startswith(f"{name}: "))
            raise UsageError(f"{self.path} has no part {name!r}: it has {', '.join(self.parts)}{why}")
        return self.parts[name]


def is_prepared(path: Path) -> bool:
    """Whether a folder was prepared to its end."""
    try:
        return (path / FACTS_FILE).is_file()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def open_prepared(path: Path) -> Prepared:
    """Map a prepared folder. Raises UsageError for anything that is not one, or not whole."""
    facts = _facts(path)
    try:
        side, channels = int(facts["side"]), int(facts["channels"])
        classes = tuple(str(name) for name in facts["classes"])
        counts = {str(name): int(part["images"]) for name, part in facts["parts"].items()}
        colour = facts["colour"]
        eigenvalues = np.asarray(colour["eigenvalues"], np.float64).reshape(channels)
        eigenvectors = np.asarray(colour["eigenvectors"], np.float64).reshape(channels, channels)
        source, content_hash = str(facts["source"]), str(facts["hash"])
        skipped = int(facts.get("skipped", 0))
        reasons = {str(reason): int(files) for reason, files in facts.get("reasons", {}).items()}
        folders = {str(part): str(name) for part, name in facts.get("folders", {}).items()}
        notes = tuple(str(note) for note in facts.get("notes", ()))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise UsageError(f"{path / FACTS_FILE} is damaged: prepare the folder again") from None
    if not 1 <= len(classes) <= MOST_CLASSES or not set(counts) <= set(PARTS):
        raise UsageError(f"{path / FACTS_FILE} is damaged: {len(classes)} classes, parts {', '.join(counts)}")
    image = (side, side, channels)
    parts = {name: _part(path, name, (count, *image), len(classes)) for name, count in counts.items()}
    mean = np.asarray(_mapped(path / "mean.npy", np.dtype(np.float32), image))
    if not (np.isfinite(mean).all() and np.isfinite(eigenvalues).all() and np.isfinite(eigenvectors).all()):
        raise UsageError(f"the mean or the colours of {path} are not finite: prepare the folder again")
    return Prepared(
        path, source, side, channels, classes, parts, mean, eigenvalues, eigenvectors, content_hash,
        skipped, reasons, folders, notes,
    )  # fmt: skip


def _facts(path: Path) -> dict[str, Any]:
    file = path / FACTS_FILE
    try:
        if file.stat().st_size > MOST_BYTES_OF_FACTS:
            raise UsageError(f"{file} is damaged: it has {file.stat().st_size} bytes")
        facts = strict_json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} is no prepared folder ({error.strerror}): make one with `alexbench prepare`"
        ) from None
    except ValueError:
        raise UsageError(f"{file} is damaged: prepare the folder again") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise UsageError(f"{file} is not of this version's format ({FORMAT}): prepare the folder again")
    return facts


def _part(path: Path, name: str, shape: tuple[int, ...], classes: int) -> Part:
    images = _mapped(path / f"{name}.images.npy", np.dtype(np.uint8), shape)
    labels = np.asarray(_mapped(path / f"{name}.labels.npy", np.dtype(np.int32), shape[:1]))
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        raise UsageError(f"{path / name}.labels.npy has labels {labels.min()} to {labels.max()} for {classes} classes")
    return Part(name, images, labels, path / f"{name}.names.jsonl")


def _mapped(file: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(file, mmap_mode="r" if np.prod(shape) else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        # NumPy's own words advise to trust the file.
        what = error.strerror if isinstance(error, OSError) else "it is no whole .npy file"
        raise UsageError(f"cannot read {file} ({what}): prepare the folder again") from None
    if found.dtype != dtype or found.shape != shape:
        raise UsageError(
            f"{file} holds {found.dtype} {found.shape}, expected {dtype} {shape}: prepare the folder again"
        )
    return found
