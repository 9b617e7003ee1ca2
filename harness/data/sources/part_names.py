"""What folders of parts are called: train, Training_Set, validation, test1 and the like, in any case."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

WORDS = {
    "train": ("train", "training", "trainval", "trn"),
    "val": ("val", "valid", "validation", "validate", "dev", "development", "eval", "evaluation", "holdout"),
    "test": ("test", "testing", "tests", "tst"),
}
# What says nothing of a folder but that it holds data: of a part's name, or of the one folder inside a class's.
PLAIN = frozenset(
    {
        "data", "dataset", "datasets", "example", "examples", "file", "files", "folder", "image", "images", "img",
        "imgs", "jpeg", "jpg", "part", "photo", "photos", "picture", "pictures", "png", "sample", "samples", "set",
        "sets", "split",
    }
)  # fmt: skip
_PART_OF = {word: part for part, words in WORDS.items() for word in words}
_GLUED = re.compile(rf"({'|'.join(sorted(_PART_OF, key=len, reverse=True))})(?:{'|'.join(sorted(PLAIN))})")


def _words(name: str) -> list[str]:
    """The words of a name in lower case: those that case, marks and digits divide, and "trainset" as "train", "set"."""
    found = []
    for word in re.findall(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])", name):
        glued = _GLUED.fullmatch(word.lower())
        found.append(glued[1] if glued else word.lower())
    return found


def part_of(name: str) -> str | None:
    """The part that a folder's name says and says nothing but, such as train of "Training_Set"; None for others."""
    telling = [word for word in _words(name) if word not in PLAIN]
    return _PART_OF.get(telling[0]) if len(telling) == 1 else None


def like_a_part(name: str) -> str | None:
    """The part that a word of a folder's name says, such as train of "seg_train"; None where none does."""
    return next((_PART_OF[word] for word in _words(name) if word in _PART_OF), None)


def is_plain(name: str) -> bool:
    """Whether a name says nothing but that there are data, such as "images"."""
    words = _words(name)
    return bool(words) and all(word in PLAIN for word in words)


def shared(inside: Mapping[str, Collection[str]]) -> list[str]:
    """Names of folders that lie in most of several folders, sorted: what parts have in common, and classes do not.

    `inside`: for each folder, the names of the folders in it. Empty where the names tell nothing.
    """
    every = sorted({name for names in inside.values() for name in names if not is_plain(name)})
    common = [name for name in every if sum(name in names for names in inside.values()) > 1]
    return common if 2 * len(common) >= len(every) else []
