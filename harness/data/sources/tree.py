"""What is found below a folder: the folders in it with how many files each holds, then their files, folder by folder.

Every folder is read once. A link to a folder is followed where it leads to one that is not read anyway and that does
not hold the root. What a name says to be hidden, or to be a system's own, is counted and never taken for data.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.images import is_image_name, is_system_name
from harness.errors import CannotMeasure

HIDDEN = "hidden, or a system's own"
NO_IMAGE = "its name is not that of an image"
DOUBLE = "a link to an image that is read where it lies"
LEADS_UP = "a link back up the tree: not followed"
READ_ANYWAY = "a link to a folder that is read where it lies: not followed"

Identity = tuple[int, int]  # device and number of a folder


@dataclass(eq=False)
class Folder:
    """One folder, with those inside it."""

    name: str  # relative to the root; "" is the root itself
    hidden: bool = False
    images: int = 0  # files directly inside with the name of an image
    others: int = 0  # the other files directly inside
    folders: dict[str, Folder] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)  # links to folders that are not followed, and why

    def visible(self) -> dict[str, Folder]:
        """The folders inside that may be data, in the order of their names as text."""
        return {name: folder for name, folder in sorted(self.folders.items()) if not folder.hidden}

    def holding(self) -> dict[str, Folder]:
        """Those of them that hold an image, be it further inside."""
        return {name: folder for name, folder in self.visible().items() if folder.count("images")}

    def below(self) -> Iterator[Folder]:
        """The folder and all inside it: each before what it holds, in the order of their names."""
        waiting = [self]
        while waiting:  # no recursion: folders may be nested by the thousand
            folder = waiting.pop()
            yield folder
            waiting.extend(inside for _, inside in sorted(folder.folders.items(), reverse=True))

    def count(self, what: str) -> int:
        """All `images` or `others` in it and further inside, hidden ones aside."""
        return sum(getattr(folder, what) for folder in self.below() if not folder.hidden)


@dataclass(frozen=True)
class Tree:
    """What was found below a root."""

    root: Path
    top: Folder

    def place(self, folder: Folder) -> Path:
        """The folder's path."""
        return self.root / folder.name

    def at(self, name: str) -> Folder | None:
        """The folder of a path relative to the root, such as "." or "images/train"; None where there is none."""
        folder: Folder | None = self.top
        for step in Path(name).parts:
            folder = folder.folders.get(step) if folder is not None else None
        return folder

    def files(
        self, folder: Folder, doubled: Callable[[Path], bool], key: Callable[[str], Any] | None = None
    ) -> Iterator[tuple[str, str | None]]:
        """Files directly in a folder by their names, or by `key` of those: relative to the root, and why left out.

        `doubled`: whether a folder, given by its real path, is one whose images are read. Raises OSError.
        """
        with os.scandir(self.place(folder)) as entries:
            found = [(entry.name, entry.is_symlink()) for entry in entries if not _is_folder(entry)]
        links = {name for name, is_link in found if is_link}
        names = sorted((name for name, _ in found), key=key)
        del found  # a folder may hold a million
        prefix = f"{folder.name}/" if folder.name else ""
        for name in names:
            reason = HIDDEN if folder.hidden else _left_out(name)
            if reason is None and name in links and self._is_double(folder, name, doubled):
                reason = DOUBLE
            yield prefix + name, reason

    def _is_double(self, folder: Folder, name: str, doubled: Callable[[Path], bool]) -> bool:
        """Whether a link leads to an image that is there, in a folder whose images are read."""
        link = self.place(folder) / name
        return doubled(real((real(link.parent) / link.readlink()).parent)) and os.access(link, os.F_OK)


@functools.lru_cache(maxsize=4096)
def real(place: Path) -> Path:
    """Without any link in it, as far as it is there."""
    return Path(os.path.realpath(place))  # Path.resolve raises for a link to itself


def _left_out(name: str) -> str | None:
    if is_system_name(name):
        return HIDDEN
    return None if is_image_name(name) else NO_IMAGE


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def survey(root: Path) -> Tree:
    """Read the folders below a root, and count their files. Raises CannotMeasure for one that cannot be read.

    A folder has the name by which it is there, and not that of a link to it, unless it is hidden there.
    """
    tree = Tree(root, Folder(""))
    above = {_identity(place) for place in real(root).parents}
    read = {_identity(root)}
    waiting = _Waiting()
    _read(tree, tree.top, waiting)
    while (found := waiting.next()) is not None:
        folder, name, parent = found
        try:
            identity = _identity(tree.place(folder))
            if identity in above or identity in read:
                parent.closed[name] = LEADS_UP if identity in above else READ_ANYWAY
                continue
            read.add(identity)
            _read(tree, folder, waiting)
        except OSError as error:
            if not folder.hidden:
                raise CannotMeasure(f"cannot read {str(tree.place(folder))!r}: {error.strerror}") from None
            parent.closed[name] = f"{HIDDEN}, and cannot be read"
            continue
        parent.folders[name] = folder
    return tree


def files_in(root: Path, folder: Path) -> Iterator[tuple[str, str | None]]:
    """Every file of a folder and those inside it: its name relative to `root`, and why it is left out.

    As text: a data set has a million of them, and a Path for each would take minutes. Nothing for a folder that is not
    there. Raises CannotMeasure, OSError.
    """
    if folder.is_dir():
        tree = survey(folder)
        prefix = "" if folder == root else f"{folder.relative_to(root)}/"
        for inside in tree.top.below():
            for name, reason in tree.files(inside, lambda _: False):
                yield prefix + name, reason


def _identity(place: Path) -> Identity:
    found = place.stat()
    return found.st_dev, found.st_ino


class _Waiting:
    """Folders to be read, each with its name where it lies: those that lie here, then links, then hidden ones."""

    def __init__(self) -> None:
        self._here: deque[tuple[Folder, str, Folder]] = deque()
        self._links: deque[tuple[Folder, str, Folder]] = deque()
        self._hidden: deque[tuple[Folder, str, Folder]] = deque()

    def add(self, folder: Folder, name: str, parent: Folder, *, is_link: bool) -> None:
        """A folder that was met."""
        queue = self._hidden if folder.hidden else self._links if is_link else self._here
        queue.append((folder, name, parent))

    def next(self) -> tuple[Folder, str, Folder] | None:
        """The folder to be read now; None when all are."""
        queue = self._here or self._links or self._hidden
        return queue.popleft() if queue else None


def _read(tree: Tree, folder: Folder, waiting: _Waiting) -> None:
    with os.scandir(tree.place(folder)) as entries:
        for entry in entries:
            if _is_folder(entry):
                hidden = folder.hidden or is_system_name(entry.name)
                if hidden and entry.is_symlink():
                    folder.closed[entry.name] = HIDDEN
                    continue
                inside = Folder(f"{folder.name}/{entry.name}" if folder.name else entry.name, hidden)
                waiting.add(inside, entry.name, folder, is_link=entry.is_symlink())
            elif folder.hidden or _left_out(entry.name) is not None:
                folder.others += 1
            else:
                folder.images += 1


def covered(folders: Mapping[str, Folder] | Iterator[Folder]) -> set[str]:
    """Names of these folders and of all inside them."""
    each = folders.values() if isinstance(folders, Mapping) else folders
    return {inside.name for folder in each for inside in folder.below()}
