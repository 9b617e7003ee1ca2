"""`imagefolder:PATH`: one folder of images per class, or the flat layout of cats and dogs (cat.0.jpg, dog.0.jpg).

Below PATH there may be train/, val/ and test/ with the classes inside. Without a val/ every fifth image of a class, in
the order of their names, is held out for validation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from harness.data.images import SUFFIXES
from harness.data.sources.source import Item, Listing, Skip, Source, held_out
from harness.errors import UsageError

FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test",)}
ENDINGS = tuple(SUFFIXES)
FLAT_NAME = re.compile(r"([A-Za-z][\w-]*)\.(\d+)\.\w+")  # of the Kaggle competition Dogs vs. Cats


def open_imagefolder(path: Path) -> Source:
    """The folder of a user's own images. Raises UsageError."""
    if not path.is_dir():
        raise UsageError(f"imagefolder:{path} is no folder: give the one that holds a folder per class")
    folders = {part: place for part, names in FOLDERS.items() if (place := _first(path, names))}
    folders = folders if "train" in folders else {"train": path}
    if not class_folders(folders["train"]):
        return _flat(path, folders["train"])
    classes = class_folders(folders["train"])
    for part, folder in folders.items():
        if strange := sorted(set(class_folders(folder)) - set(classes)):
            raise UsageError(f"{folder} (part {part}) has a class {strange[0]!r} that {folders['train']} has not")

    def listing(part: str, folder: Path, kept: bool | None) -> Listing:
        return lambda: (
            found for label, name in enumerate(classes) for found in _of_class(path, folder / name, label, kept)
        )

    parts = {part: listing(part, folder, None) for part, folder in folders.items()}
    if "val" not in parts:
        parts = {"train": listing("train", folders["train"], False), "val": listing("val", folders["train"], True)} | {
            part: found for part, found in parts.items() if part == "test"
        }
    return Source(
        title=f"imagefolder:{path.resolve().name}",
        root=path,
        channels=3,
        side=None,
        classes=classes,
        parts=parts,
        files=lambda: (
            file for folder in folders.values() for name in classes for file in image_files(path, folder / name)
        ),
    )


def _first(path: Path, names: tuple[str, ...]) -> Path | None:
    return next((path / name for name in names if (path / name).is_dir()), None)


def class_folders(folder: Path) -> tuple[str, ...]:
    """Names of the folders inside, sorted; hidden ones are no classes."""
    names = (entry.name for entry in os.scandir(folder) if entry.is_dir())
    return tuple(sorted(name for name in names if not name.startswith(".")))


def image_files(root: Path, folder: Path) -> Iterator[str]:
    """Files with the name of an image in a folder and those inside it, in the order of their names, relative to `root`.

    As text: a data set has a million of them, and a Path for each would take minutes. Raises OSError for a folder that
    cannot be read: without its images a class would only seem to be empty.
    """
    start = len(str(root).rstrip("/")) + 1
    for place, inside, files in os.walk(folder, onerror=_unread):
        inside.sort()
        prefix = f"{place}/"[start:]
        for name in sorted(files):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield prefix + name


def _unread(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # a part need not have every class
        raise error


def _of_class(root: Path, folder: Path, label: int, kept: bool | None) -> Iterator[Item | Skip]:
    """Images of one class: all, or with `kept` only those held out, or only the others."""
    count = 0
    for count, name in enumerate(image_files(root, folder), start=1):
        if kept is None or held_out(count - 1) == kept:
            yield Item(label, name, ("file", name))
    if not count and kept is not True:  # said once
        yield Skip(f"{folder.relative_to(root)}/", "the class's folder holds no image")


def _flat(root: Path, folder: Path) -> Source:
    """One folder whose files' names begin with their class."""
    classes = tuple(sorted({match[1] for _, match in _flat_files(root, folder)}))
    if len(classes) < 2:
        raise UsageError(f"{folder} holds neither folders of classes nor files named as cat.0.jpg and dog.0.jpg")

    def items(validation: bool) -> Iterator[Item | Skip]:
        seen = dict.fromkeys(classes, 0)
        for file, match in _flat_files(root, folder):
            name = match[1]
            if held_out(seen[name]) == validation:
                yield Item(classes.index(name), file, ("file", file))
            seen[name] += 1

    return Source(
        title=f"imagefolder:{root.resolve().name}",
        root=root,
        channels=3,
        side=None,
        classes=classes,
        parts={"train": lambda: items(False), "val": lambda: items(True)},
        files=lambda: (file for file, _ in _flat_files(root, folder)),
    )


def _flat_files(root: Path, folder: Path) -> list[tuple[str, re.Match[str]]]:
    """Files with a class and a number in their names, sorted by the two; relative to `root`."""
    prefix = "" if folder == root else f"{folder.relative_to(root)}/"
    named = [(prefix + entry.name, FLAT_NAME.fullmatch(entry.name)) for entry in os.scandir(folder) if entry.is_file()]
    found = [(name, match) for name, match in named if match and name.lower().endswith(ENDINGS)]
    return sorted(found, key=lambda pair: (pair[1][1], int(pair[1][2]), pair[0]))
