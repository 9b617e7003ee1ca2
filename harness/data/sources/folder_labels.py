"""What says which class an image in a part's folder is: the folder it lies in, its own name, or a list beside it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.sources.tree import Folder, Tree
from harness.errors import UsageError

FLAT_NAME = re.compile(r"([A-Za-z][\w-]*)\.(\d+)\.\w+")  # of the Kaggle competition Dogs vs. Cats
LIST = "val_annotations.txt"  # of Tiny ImageNet: per line a file, its class, and a box
MOST_BYTES = 1 << 26  # of such a list; the published one has 400 kB
NOT_LISTED = f"{LIST} has no line for it"
NAMED_OTHERWISE = "its name is not as cat.0.jpg, those beside it are"

Label = int | str  # the class's place, or why there is none


@dataclass(frozen=True)
class Group:
    """A folder whose images have labels."""

    folder: Folder
    label: Callable[[str], Label]  # of a file's name, without its folders
    deep: bool = True  # with the folders inside
    key: Callable[[str], Any] | None = None  # that sorts names; as text if None
    source: str | None = None  # a file that the labels come from, relative to the root


def by_folders(folder: Folder, classes: Sequence[str]) -> list[Group]:
    """A group for each class that has a folder here."""
    inside = folder.visible()
    return [
        Group(inside[name], lambda _, label=label: label)  # type: ignore[misc]
        for label, name in enumerate(classes)
        if name in inside
    ]


def flat_classes(tree: Tree, folder: Folder, least: int = 1) -> tuple[str, ...]:
    """Classes that begin the names of the files here; none where most are not called so, or a class has too few.

    `least`: images that a class has on average: any folder with pictures holds a report.1.png and a curves.2.png.
    """
    counts: Counter[str] = Counter()
    for name, reason in tree.files(folder, lambda _: False):
        match = FLAT_NAME.fullmatch(name.rpartition("/")[2])
        if reason is None and match is not None:
            counts[match[1]] += 1
    files = folder.images + folder.others
    few = len(counts) < 2 or counts.total() < least * len(counts) or 2 * counts.total() < files
    return () if few else tuple(sorted(counts))


def by_names(folder: Folder, classes: Sequence[str]) -> Group:
    """Files called as cat.0.jpg, in the order of their classes and numbers."""
    places = {name: label for label, name in enumerate(classes)}

    def label(name: str) -> Label:
        match = FLAT_NAME.fullmatch(name)
        return places.get(match[1], NAMED_OTHERWISE) if match else NAMED_OTHERWISE

    def key(name: str) -> tuple[str, int, str]:
        match = FLAT_NAME.fullmatch(name)
        return (match[1], int(match[2]), name) if match else ("", 0, name)

    return Group(folder, label, deep=False, key=key)


def by_list(tree: Tree, folder: Folder, classes: Sequence[str]) -> Group | None:
    """Files that Tiny ImageNet's list in the folder names; None where there is none. Raises UsageError."""
    path = tree.place(folder) / LIST
    if not path.is_file():
        return None
    places = {name: label for label, name in enumerate(classes)}
    labels: dict[str, int] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        name, tab, rest = line.partition("\t")
        wanted = rest.partition("\t")[0].strip()
        if not tab or wanted not in places:
            raise UsageError(
                f"line {number} of {path} is {line[:60]!r}: expected a file, a tab and a class such as {classes[0]!r}"
            )
        labels[name] = places[wanted]
    return Group(folder, lambda name: labels.get(name, NOT_LISTED), source=f"{folder.name}/{LIST}")


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UsageError(f"{path} has more than {MOST_BYTES:,} bytes: it is no list of validation images")
    return data.decode("utf-8", "surrogateescape")
