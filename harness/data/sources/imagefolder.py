"""`imagefolder:PATH`: one folder of images per class, or the flat layout of cats and dogs (cat.0.jpg, dog.0.jpg).

Below PATH there may be folders of the parts, such as train/, val/ and test/, with the classes inside. Where no
validation images have labels, every fifth image of a class, in the order of their names, is held out for validation.
Classes are numbered in the order of their names as text, as by torchvision's ImageFolder.

Tiny ImageNet is of this kind: train/n01443537/images/, val/images/ with val/val_annotations.txt, test/images/.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.sources import folder_labels, folder_parts
from harness.data.sources.folder_labels import LIST, Group
from harness.data.sources.folder_parts import Parts
from harness.data.sources.part_names import part_of
from harness.data.sources.source import HELD_OUT, Item, Listing, Skip, Source, held_out
from harness.data.sources.tree import DOUBLE, HIDDEN, NO_IMAGE, Folder, Tree, covered, real, survey
from harness.errors import UsageError

UNLABELLED = "its part gives it no label"
BESIDE = "it lies beside the folders of the classes"
EMPTY_CLASS = "the class's folder holds no image"
EMPTY = "a folder without files: no class"
UNWANTED = frozenset({HIDDEN, NO_IMAGE, DOUBLE, BESIDE, UNLABELLED})
SHOWN = 12  # classes


@dataclass(frozen=True)
class _Layout:
    """What is what below the root."""

    tree: Tree
    classes: tuple[str, ...]  # names of folders, or what begins names of files
    groups: Mapping[str, Sequence[Group]]  # of each part
    unlabelled: Mapping[str, Folder]  # parts whose images have no labels


def open_imagefolder(path: Path, parts: Parts = ()) -> Source:
    """The folder of a user's own images; `parts` as named by the user, else found by name. Raises AlexbenchError."""
    if not path.is_dir():
        raise UsageError(f"imagefolder:{path} is no folder: give the one that holds a folder per class")
    tree = survey(path)
    folders = folder_parts.as_named(tree, parts) if parts else folder_parts.by_name(tree)
    layout = _layout(tree, folders, certain=bool(parts))
    reader = _Reader(layout)
    used = {part: folder.name or "." for part, folder in folders.items() if part in layout.groups}
    listings = {part: reader.listing(part) for part in layout.groups}
    notes = [*_order(layout.classes), *_notes(layout)]
    notes += [] if parts else folder_parts.doubtful_classes(layout.classes)
    if "train" in listings and "val" not in listings:
        listings |= {"train": reader.listing("train", False), "val": reader.listing("train", True)}
        notes.append("no validation images with labels: every fifth image of a class is held out of train for them")
    return Source(
        title=f"imagefolder:{path.resolve().name}",
        root=path,
        channels=3,
        side=None,
        classes=tuple(_text(name) for name in layout.classes),
        parts=listings,
        files=reader.names,
        rest=reader.rest,
        folders={part: _text(name) for part, name in used.items()},
        notes=tuple(map(_text, notes)),
        reading=json.dumps([layout.classes, used]),
    )


def _layout(tree: Tree, folders: Mapping[str, Folder], *, certain: bool) -> _Layout:
    """Classes from the first part, labels for every part. `certain`: the user has said so. Raises UsageError."""
    first = next(iter(folders.values()))
    if first.holding():
        if not certain:
            folder_parts.check_classes(tree, folders)
        holding = set(first.holding()).union(*(folder.holding() for folder in folders.values()))
        classes = tuple(name for name in first.visible() if name in holding)
    else:
        classes = folder_labels.flat_classes(tree, first, 1 if certain else HELD_OUT)
        classes = () if not certain and any(map(part_of, classes)) else classes
    if not classes:
        raise UsageError(f"{tree.place(first)} holds no folders of classes with images: {folder_parts.EXPECTED}")
    groups: dict[str, Sequence[Group]] = {}
    unlabelled: dict[str, Folder] = {}
    for part, folder in folders.items():
        found = _labelled(tree, part, folder, classes)
        if found:
            groups[part] = found
        elif folder.count("images"):
            unlabelled[part] = folder
    return _Layout(tree, classes, groups, unlabelled)


def _labelled(tree: Tree, part: str, folder: Folder, classes: tuple[str, ...]) -> list[Group]:
    """Groups of a part's folder; none where nothing gives its images labels. Raises UsageError."""
    if not folder.holding() and (called := folder_labels.flat_classes(tree, folder)):
        unknown = [name for name in called if name not in classes]
        if unknown and len(unknown) < len(called):
            raise UsageError(_strange(tree, part, folder, unknown[0], classes))
        return [] if unknown else [folder_labels.by_names(folder, classes)]
    groups = folder_labels.by_folders(folder, classes)
    strange = [name for name in folder.holding() if name not in classes]
    if not groups and (listed := folder_labels.by_list(tree, folder, classes)) is not None:
        return [listed]
    # One strange folder alone, as test/images/ or test/unknown/, holds what has no labels, and so may a test set's.
    if strange and (groups or (part != "test" and len(strange) > 1)):
        raise UsageError(_strange(tree, part, folder, strange[0], classes))
    return groups


def _strange(tree: Tree, part: str, folder: Folder, name: str, classes: Sequence[str]) -> str:
    more = " ..." if len(classes) > SHOWN else ""
    return (
        f"{tree.place(folder)} (part {part}) has a class {name!r} that train has not: its classes are"
        f" {', '.join(map(repr, classes[:SHOWN]))}{more}"
    )


@dataclass(frozen=True)
class _Reader:
    """Streams of what a layout holds."""

    layout: _Layout

    def listing(self, part: str, kept: bool | None = None) -> Listing:
        """All images of a part, or with `kept` only those held out, or only the others."""
        return lambda: self._items(part, kept)

    def _items(self, part: str, kept: bool | None) -> Iterator[Item | Skip]:
        seen: Counter[int] = Counter()
        for group in self.layout.groups[part]:
            before = seen.total()
            for found in self._of_group(group):
                if isinstance(found, Skip):
                    if kept is not True:  # said once
                        yield found
                    continue
                if kept is None or held_out(seen[found.label]) == kept:
                    yield found
                seen[found.label] += 1
            if seen.total() == before and kept is not True:
                yield Skip(f"{group.folder.name}/", EMPTY_CLASS, 0)

    def _of_group(self, group: Group) -> Iterator[Item | Skip]:
        for folder in group.folder.below() if group.deep else (group.folder,):
            for name, reason in self.layout.tree.files(folder, self._is_labelled, group.key):
                label = reason or group.label(name.rpartition("/")[2])
                if isinstance(label, str):
                    yield Skip(name, label, wanted=label not in UNWANTED)
                else:
                    yield Item(label, name, ("file", name))
            yield from (Skip(f"{folder.name}/{name}", reason, 0, False) for name, reason in _closed(folder))

    def names(self) -> Iterator[str]:
        """Files that images and labels come from."""
        for group in itertools.chain(*self.layout.groups.values()):
            if group.source is not None:
                yield group.source
            yield from (found.name for found in self._of_group(group) if isinstance(found, Item))

    def rest(self) -> Iterator[Skip]:
        """Everything in the root's folder that is in no group."""
        tree, done = self.layout.tree, self._in_groups
        unlabelled = covered(self.layout.unlabelled)
        for folder in tree.top.below():
            if folder.name in done:
                continue
            for name, reason in tree.files(folder, lambda _: False):
                what = UNLABELLED if folder.name in unlabelled else BESIDE
                yield Skip(name, reason or what, wanted=False)
            if not (folder.images or folder.others or folder.folders or folder.closed or folder.hidden):
                yield Skip(f"{folder.name}/", EMPTY, 0, False)
            prefix = f"{folder.name}/" if folder.name else ""
            yield from (Skip(prefix + name, reason, 0, False) for name, reason in _closed(folder))

    @functools.cached_property
    def _in_groups(self) -> set[str]:
        """Names of the folders whose files are in groups."""
        every = list(itertools.chain(*self.layout.groups.values()))
        deep = covered(group.folder for group in every if group.deep)
        return deep | {group.folder.name for group in every if not group.deep}

    def _is_labelled(self, place: Path) -> bool:
        """Whether the images of a folder, given by its real path, are read with labels."""
        return place in self._labelled_places

    @functools.cached_property
    def _labelled_places(self) -> set[Path]:
        return {real(self.layout.tree.root / name) for name in self._in_groups}


def _closed(folder: Folder) -> list[tuple[str, str]]:
    return sorted(folder.closed.items())


def _order(classes: Sequence[str]) -> list[str]:
    """How classes are numbered, where they are called by numbers or a reader might expect another order."""
    natural = sorted(classes, key=_pieces)
    numbers = all(name.isdecimal() for name in classes)
    if not numbers and natural == list(classes):
        return []
    shown = ", ".join(f"{label} is {name!r}" for label, name in enumerate(classes[:SHOWN]))
    more = f" and so on to {len(classes) - 1}, {classes[-1]!r}" if len(classes) > SHOWN else ""
    return [f"classes are numbered in the order of their names as text, as by torchvision: {shown}{more}"]


def _pieces(name: str) -> list[str | int]:
    """A name's text and numbers in turn, text first."""
    return [int(piece) if place % 2 else piece for place, piece in enumerate(re.split(r"([0-9]+)", name))]


def _notes(layout: _Layout) -> list[str]:
    closed = _closed(layout.tree.top)
    notes = [f"{part}: {name}/ is {reason}" for name, reason in closed if (part := part_of(name)) is not None]
    for part, folder in layout.unlabelled.items():
        notes.append(
            f"{part}: {folder.name}/ holds {folder.count('images'):,} images without labels, which are left out:"
            f" folders in it that are called as the classes would give labels, or a {LIST} as Tiny ImageNet's"
        )
    deep = [group.folder for group in next(iter(layout.groups.values()), ()) if len(group.folder.holding()) > 1]
    if deep:
        inside = ", ".join(map(repr, [*deep[0].holding()][:SHOWN]))
        notes.append(f"what lies in folders of a class is of that class, such as {inside} in {deep[0].name!r}")
    for part, groups in layout.groups.items():
        notes += [f"{part}: its labels are those of {group.source}" for group in groups if group.source is not None]
    return notes


def _text(name: str) -> str:
    """A folder's name may hold bytes that are no text."""
    return name.encode("utf-8", "backslashreplace").decode()
