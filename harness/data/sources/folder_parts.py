"""Which folder below a root is which part: by the names of parts, or as the user says.

A folder is never taken for a class where its name, or what it holds, says that it is a part.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from harness.data.sources.part_names import is_plain, like_a_part, part_of, shared
from harness.data.sources.tree import Folder, Tree
from harness.errors import UsageError

Parts = tuple[tuple[str, str], ...]  # of --parts: part, folder relative to the root
Found = dict[str, Folder]  # part -> its folder
ORDER = ("train", "val", "test")
OURS = ("run.json", "prepared.json")  # what a folder of this program's own holds
EXPECTED = (
    "expected is a folder of images for each class, such as cat/ and dog/, or these inside train/, val/ and test/, or"
    " files named as cat.0.jpg and dog.0.jpg"
)
ITSELF = "--parts train=. where its folders are the classes"


def as_named(tree: Tree, parts: Parts) -> Found:
    """The folders that the user named. Raises UsageError."""
    found: Found = {}
    for part, name in parts:
        named = tree.at(name)
        if named is None:
            there = _listed(tree.top.visible()) or "no folder"
            raise UsageError(f"--parts {part}={name}: there is no such folder in {tree.root}, which holds {there}")
        found[part] = named
    for part, folder in found.items():
        for other, inside in found.items():
            if part != other and inside in folder.below():
                raise UsageError(
                    f"--parts names {inside.name or '.'!r} for {other}, which lies in {folder.name or '.'!r}, named for"
                    f" {part}: name folders that lie beside each other"
                )
    return {part: found[part] for part in ORDER if part in found}


def by_name(tree: Tree) -> Found:
    """The parts that are called so; the root is the training part where none is. Raises UsageError where in doubt."""
    _refuse_ours(tree)
    called: dict[str, list[Folder]] = {}
    for name, folder in tree.top.visible().items():
        if (part := part_of(name)) is not None:
            called.setdefault(part, []).append(folder)
    if "train" not in called:
        _refuse_parts(tree)
        return {"train": tree.top}
    found = {part: _inside(part, _only(tree, part, called)) for part in called}
    _refuse_class_called_train(tree, found)
    return {part: found[part] for part in ORDER if part in found}


def _only(tree: Tree, part: str, called: Mapping[str, list[Folder]]) -> Folder:
    full = {name: [one for one in folders if one.count("images")] or folders for name, folders in called.items()}
    if len(full[part]) > 1:
        names = " and ".join(repr(folder.name) for folder in full[part])
        one_each = {name: folders[0] for name, folders in full.items()}
        raise UsageError(
            f"{tree.root} holds {names}, both called as the part {part}: name one, --parts {_said(one_each)}"
        )
    return full[part][0]


def _inside(part: str, folder: Folder) -> Folder:
    """train/train/ where there is nothing else in train/, as some archives unpack."""
    while not folder.images and len(folder.visible()) == 1:
        name, only = next(iter(folder.visible().items()))
        if part_of(name) != part:
            break
        folder = only
    return folder


def _refuse_ours(tree: Tree) -> None:
    for folder in (tree.top, *tree.top.visible().values()):
        for name in OURS:
            if (tree.place(folder) / name).is_file():
                kind = "a run" if name == "run.json" else "prepared data"
                raise UsageError(f"{tree.place(folder)} is a folder of {kind}, it holds {name}: {EXPECTED}")


def _refuse_class_called_train(tree: Tree, found: Mapping[str, Folder]) -> None:
    """Folders beside the parts that make doubtful what is a part. Raises UsageError."""
    train = found["train"]
    beside = {name: one for name, one in tree.top.holding().items() if part_of(name) is None}
    if train.images and not train.holding() and any(one.images for one in beside.values()):
        name = next(name for name, one in beside.items() if one.images)
        raise UsageError(
            f"{tree.root} holds images in {train.name!r} and in {name!r}, which are classes or parts: say"
            f" {ITSELF}, --parts train={train.name} where this is a part"
        )
    for name, one in beside.items():
        if not one.images and set(_down(one).holding()) & set(train.holding()):
            free = [part for part in ORDER if part not in found]
            part = like if (like := like_a_part(name)) in free else next(iter(free), None)
            named = f"--parts {_said({**found, part: _down(one)})} names it, " if part is not None else ""
            raise UsageError(
                f"{tree.root} holds folders of the same names in {train.name!r} and in {name!r}, and {name!r} is called"
                f" as no part: {named}--parts {_said(found)} leaves it out"
            )


def _refuse_parts(tree: Tree) -> None:
    """Folders that would be classes and are none, it seems. Raises UsageError."""
    folders = tree.top.holding()
    called = [name for name in folders if part_of(name) is not None]
    like = [name for name in folders if like_a_part(name) is not None]
    if called or (like and 2 * len(like) >= len(folders)):
        told = any(like_a_part(name) == "train" for name in like)
        parts = [one for name, one in folders.items() if name in like or (not told and one.holding())]
        raise UsageError(
            f"{tree.root} holds {_listed(called or like)}, called as parts are, and no train/ beside: name the parts"
            f" with --parts {_option(parts)}; or {ITSELF}"
        )


def check_classes(tree: Tree, found: Mapping[str, Folder]) -> None:
    """Refuse folders that happen to hold pictures. Raises UsageError."""
    train = found["train"]
    folders = train.holding()
    here = tree.place(train)
    if len(folders) == 1:
        name = next(iter(folders))
        raise UsageError(
            f"{here} holds images in one folder only, {name!r}: {EXPECTED};{_further_in(tree, found)} or"
            f" {_itself(train, found)}"
        )
    nested = {name: one for name, one in folders.items() if 2 * one.images < one.count("images")}
    common = shared({name: tuple(_down(one).holding()) for name, one in nested.items()})
    if common and 2 * len(nested) >= len(folders):
        raise UsageError(
            f"{here} holds {_listed(nested)}, whose images lie in folders of equal names, such as {common[0]!r}:"
            f" {_of_equal_names(common, nested)}; or {_itself(train, found)}"
        )
    plain = [name for name in folders if is_plain(name)]
    if plain:
        raise UsageError(
            f"{here} holds images in {_listed(folders)}, and {plain[0]!r} says that there are images, not of what"
            f" class: {EXPECTED}; {_itself(train, found)}"
        )
    if train is not tree.top:
        return
    images = sum(folder.count("images") for folder in folders.values())
    others = sum(folder.count("others") for folder in folders.values())
    if others > images or images < 2 * len(folders):
        raise UsageError(
            f"{here} would be {images} images of {len(folders)} classes, {_listed(folders)}, among {others} other"
            f" files: {EXPECTED}; {ITSELF}"
        )


def _further_in(tree: Tree, found: Mapping[str, Folder]) -> str:
    """Where the classes may be, if all images of the training part lie in one folder of it."""
    train = found["train"]
    if train is tree.top:
        return f" say imagefolder:{tree.place(train)}/{next(iter(train.holding()))} where these are inside it;"
    inside = {part: _down(folder) for part, folder in found.items()}
    return f" --parts {_said(inside)} where these are inside it;" if inside["train"].holding() else ""


def _of_equal_names(common: Sequence[str], nested: Mapping[str, Folder]) -> str:
    if any(map(part_of, common)):
        return "parts inside the folders of classes are not read, move the parts to the outside"
    return f"name the parts with --parts {_option(nested.values())}"


def doubtful_classes(classes: Iterable[str]) -> list[str]:
    """What is said of classes that are called somewhat as parts are."""
    like = [name for name in classes if like_a_part(name) is not None]
    return [f"{_listed(like)} taken for a class, though it is called as a part: --parts names parts"] if like else []


def _itself(train: Folder, found: Mapping[str, Folder]) -> str:
    return f"--parts {_said(found)} where the folders of {train.name} are the classes" if train.name else ITSELF


def _down(folder: Folder) -> Folder:
    """Through folders that hold one folder and nothing else."""
    while not folder.images and len(folder.holding()) == 1:
        folder = next(iter(folder.holding().values()))
    return folder


def _option(folders: Iterable[Folder]) -> str:
    """What --parts could say of these folders; where no name tells, train would be the largest."""
    left, said = [*ORDER], {}
    for folder in sorted(folders, key=lambda one: (_like(one) is None, -one.count("images"))):
        part = _like(folder)
        part = part if part in left else (left[0] if left and part is None else None)
        if part is not None:
            left.remove(part)
            said[part] = _part_folder(folder)
    return _said(said)


def _like(folder: Folder) -> str | None:
    return like_a_part(folder.name.rpartition("/")[2])


def _part_folder(folder: Folder) -> Folder:
    """The folder inside with the classes, where a name is said twice as in seg_train/seg_train/."""
    inside = folder.holding()
    only = next(iter(inside.values())) if len(inside) == 1 and not folder.images else None
    return only if only is not None and only.holding() else folder


def _said(found: Mapping[str, Folder]) -> str:
    return shlex.quote(",".join(f"{part}={found[part].name or '.'}" for part in ORDER if part in found))


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - 5} more" if len(every) > 5 else ""
    return ", ".join(map(repr, every[:5])) + more
