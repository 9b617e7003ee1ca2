"""From what the command line names to a source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.data.sources import cifar10, digits, imagefolder, imagenet, mnist, photos
from harness.data.sources.folder_parts import Parts
from harness.data.sources.source import Source
from harness.errors import UsageError
from impls.nearest import question, unknown

EMBEDDED: dict[str, Callable[[], Source]] = {"digits": digits.open_digits, "photos": photos.open_photos}
WITH_PATH: dict[str, Callable[[Path], Source]] = {
    "imagenet": imagenet.open_imagenet,
    "imagefolder": imagefolder.open_imagefolder,
    "cifar10": cifar10.open_cifar10,
    "mnist": mnist.open_mnist,
}


def names_source(text: str) -> bool:
    """Whether a text is meant as a source, and not as a folder's path."""
    return text in EMBEDDED or text.partition(":")[0] in WITH_PATH


def names() -> list[str]:
    """What every source is called on the command line, with the colon where a path follows."""
    return [*EMBEDDED, *(f"{kind}:" for kind in WITH_PATH)]


def open_source(text: str, parts: Parts = ()) -> Source:
    """`digits`, `photos`, or a kind with its path, such as `imagefolder:cats-and-dogs`. Raises AlexbenchError.

    `parts`: folders of an imagefolder's parts, relative to it, where their names do not tell.
    """
    if parts and text.partition(":")[0] != "imagefolder":
        raise UsageError(f"--parts names folders of imagefolder:PATH, and {text!r} has parts of its own: leave it out")
    if text in EMBEDDED:
        return EMBEDDED[text]()
    kind, colon, place = text.partition(":")
    if kind not in WITH_PATH:
        known = (*EMBEDDED, *(f"{name}:PATH" for name in WITH_PATH))
        near = question(kind, [*EMBEDDED, *WITH_PATH])  # the path is the user's own, and near to nothing
        raise UsageError(f"{unknown('source of data', text, known, near)}; a folder of images is imagefolder:PATH")
    if not colon or not place:
        raise UsageError(f"source {text!r} lacks its path: {kind}:PATH")
    try:
        path = Path(place).expanduser().absolute()
    except RuntimeError as error:  # of a home folder that is not known
        raise UsageError(f"cannot read {text!r}: {error}") from None
    try:
        path.stat()
        return imagefolder.open_imagefolder(path, parts) if kind == "imagefolder" else WITH_PATH[kind](path)
    except OSError as error:
        raise UsageError(f"cannot read {text!r}: {error.strerror or error}") from None
