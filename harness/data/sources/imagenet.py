"""`imagenet:PATH`: the folder of an ILSVRC classification task (2010 or 2012) as it is distributed, or unpacked.

    train   train/nXXXXXXXX/*.JPEG, or train/nXXXXXXXX.tar, or the one tar of these tars
    val     the flat folder or tar with the development kit's ground truth, or val/nXXXXXXXX/*.JPEG
    test    that of 2010, where its ground truth is there

The classes' order is the development kit's. Without a kit, when no labels are needed from it, it is that of the
WordNet ids: another order, and weights of one are not weights of the other.

References:
    Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness.data.sources import devkit, tar_members
from harness.data.sources.devkit import DevelopmentKit
from harness.data.sources.folder_labels import LIST
from harness.data.sources.source import Item, Listing, Skip, Source
from harness.data.sources.tree import files_in
from harness.errors import UsageError

SYNSET = re.compile(r"n[0-9]{8}")
NUMBERED = re.compile(r".*_(?:val|test)_([0-9]{8})\.[A-Za-z]+")
FOLDERS = {
    "train": ("train", "ILSVRC2012_img_train", "ILSVRC2010_images_train", "Data/CLS-LOC/train"),
    "val": ("val", "ILSVRC2012_img_val", "ILSVRC2010_images_val", "Data/CLS-LOC/val"),
    "test": ("test", "ILSVRC2010_images_test"),
}
Labels = dict[str, int]  # synset -> class


def open_imagenet(path: Path) -> Source:
    """The folder with images and development kit. Raises UsageError."""
    if not path.is_dir():
        raise UsageError(f"imagenet:{path} is no folder: give the one with train, val and the development kit")
    kit = devkit.find(path)
    places = {part: place for part in FOLDERS if (place := _place(path, part, kit)) is not None}
    if not places:
        raise UsageError(
            f"imagenet:{path} holds neither train/ nor ILSVRC2012_img_train.tar nor their like for val:"
            " expected the files of ILSVRC 2010 or 2012"
        )
    labels = _labels(places, kit)
    parts = {part: _listing(path, part, place, labels, kit) for part, place in places.items()}
    words = dict(zip(kit.synsets, kit.words, strict=True)) if kit else {}
    return Source(
        title=f"imagenet:{kit.edition if kit else path.resolve().name}",
        root=path,
        channels=3,
        side=None,
        classes=tuple(f"{synset} {words[synset]}" if words else synset for synset in labels),
        parts=parts,
        files=lambda: _files(path, places.values(), kit),
    )


def _place(root: Path, part: str, kit: DevelopmentKit | None) -> Path | None:
    """The folder or the archive of a part; a test set without its ground truth has no labels and is none."""
    if part == "test" and (kit is None or "test" not in kit.truth):
        return None
    for name in FOLDERS[part]:
        if (root / name).is_dir():
            return root / name
    archives = sorted(root.glob(f"ILSVRC*_{part}.tar"))
    if len(archives) > 1:
        raise UsageError(f"{root} holds {archives[0].name} and {archives[1].name}: keep one of them there")
    if archives:
        return archives[0]
    return root if part == "train" and _synsets_in(root) else None


def _synsets_in(folder: Path) -> list[str]:
    """Synsets that have a folder or a tar here, sorted."""
    names = {entry.name.removesuffix(".tar") for entry in os.scandir(folder)}
    return sorted(name for name in names if SYNSET.fullmatch(name))


def _labels(places: dict[str, Path], kit: DevelopmentKit | None) -> Labels:
    """Which class a synset is. Raises UsageError where it cannot be known."""
    if kit is not None:
        return {synset: label for label, synset in enumerate(kit.synsets)}
    for part, place in places.items():
        if not place.is_dir() or not _synsets_in(place):
            if (place / LIST).is_file():
                raise UsageError(f"{place} holds {LIST}, as Tiny ImageNet's: say imagefolder:{place.parent}")
            raise UsageError(
                f"{place} gives no labels by itself for the part {part}: put the development kit beside it,"
                " ILSVRC2012_devkit_t12.tar.gz or unpacked"
            )
    return {synset: label for label, synset in enumerate(_synsets_in(next(iter(places.values()))))}


def _listing(root: Path, part: str, place: Path, labels: Labels, kit: DevelopmentKit | None) -> Listing:
    truth = kit.truth.get(part) if kit else None
    if place.is_dir() and _synsets_in(place):
        found = _of_folder(root, place)
    elif part == "train":
        if place.is_dir():
            raise UsageError(f"{place} holds no folder or tar of a synset, such as n01440764 or n01440764.tar")
        found = _of_nested(root, place)
    elif truth is None:
        raise UsageError(f"{place} has no ground truth: put the development kit's data/*_{part}*_truth.txt beside it")
    else:
        return _numbered(root, place, part, truth)
    return _labelled(found, labels, place, "the development kit" if kit else "the part whose folders name the classes")


def _labelled(
    found: Callable[[], Iterator[tuple[str, Item | Skip]]], labels: Labels, place: Path, known: str
) -> Callable[[], Iterator[Item | Skip]]:
    """Items with the classes of their synsets; at the end, the classes that had none."""

    def items() -> Iterator[Item | Skip]:
        without = dict.fromkeys(labels)
        for synset, one in found():
            if isinstance(one, Skip):
                yield one
            elif synset not in labels:
                raise UsageError(f"{place} holds images of {synset or one.name!r}, no class of {known}")
            else:
                without.pop(synset, None)
                yield one._replace(label=labels[synset])
        yield from (Skip(f"{synset}/", "the class has no image", 0) for synset in without)

    return items


def _of_folder(root: Path, place: Path) -> Callable[[], Iterator[tuple[str, Item | Skip]]]:
    """A folder with a folder or a tar per synset."""
    start = _length(root, place)

    def found() -> Iterator[tuple[str, Item | Skip]]:
        for synset in _synsets_in(place):
            for name, reason in files_in(root, place / synset):
                yield synset, _file(name, start, reason)
            archive = place / f"{synset}.tar"
            if archive.is_file() and not (place / synset).is_dir():  # unpacked beside it, it would count twice
                for one in tar_members.images_in(archive):
                    yield synset, _item(root, archive, f"{synset}/", one)

    return found


def _of_nested(root: Path, archive: Path) -> Callable[[], Iterator[tuple[str, Item | Skip]]]:
    """A tar with a tar per synset."""

    def found() -> Iterator[tuple[str, Item | Skip]]:
        for synset, one in tar_members.images_in_tars_in(archive):
            yield synset, _item(root, archive, f"{synset}/", one)

    return found


def _file(name: str, start: int, reason: str | None) -> Item | Skip:
    """A file by its name relative to the root; what it is called below its part begins at `start`."""
    return Item(0, name[start:], ("file", name)) if reason is None else Skip(name[start:], reason, wanted=False)


def _item(root: Path, archive: Path, prefix: str, found: tar_members.Member | Skip) -> Item | Skip:
    if isinstance(found, Skip):
        return found
    inside = str(archive.relative_to(root))
    return Item(0, f"{prefix}{found.name}", ("member", inside, found.start, found.size, f"{archive.name}/{found.name}"))


def _numbered(root: Path, place: Path, part: str, truth: tuple[int, ...]) -> Listing:
    """Images whose labels are given by the numbers in their names."""

    def items() -> Iterator[Item | Skip]:
        for found in _flat(root, place):
            match = NUMBERED.fullmatch(found.name.rpartition("/")[2])
            if isinstance(found, Skip):
                yield found
            elif match is None:
                yield Skip(found.name, f"its name has no number, as in ILSVRC2012_{part}_00000001.JPEG")
            elif not 1 <= int(match[1]) <= len(truth):
                raise UsageError(f"{found.name} in {place} has no label: the ground truth has {len(truth):,} lines")
            else:
                yield found._replace(label=truth[int(match[1]) - 1])

    return items


def _flat(root: Path, place: Path) -> Iterator[Item | Skip]:
    if place.is_dir():
        start = _length(root, place)
        for name, reason in files_in(root, place):
            yield _file(name, start, reason)
    else:
        for found in tar_members.images_in(place):
            yield _item(root, place, "", found)


def _length(root: Path, place: Path) -> int:
    """Of what stands before a name's part below `place`."""
    return 0 if place == root else len(f"{place.relative_to(root)}/")


def _files(root: Path, places: Iterable[Path], kit: DevelopmentKit | None) -> Iterator[str]:
    if kit is not None:
        yield from (str(file.relative_to(root)) for file in kit.files)
    for place in places:
        if not place.is_dir():
            yield str(place.relative_to(root))
        elif synsets := _synsets_in(place):
            for synset in synsets:
                yield from _images(root, place / synset)
                if (place / f"{synset}.tar").is_file():
                    yield str((place / f"{synset}.tar").relative_to(root))
        else:
            yield from _images(root, place)


def _images(root: Path, folder: Path) -> Iterator[str]:
    return (name for name, reason in files_in(root, folder) if reason is None)
