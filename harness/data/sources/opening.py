"""From what the command line names to a source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.cli_values import unknown
from harness.data.sources import cifar10, digits, imagefolder, imagenet, mnist, photos
from harness.data.sources.source import Source
from harness.errors import UsageError

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


def open_source(text: str) -> Source:
    """`digits`, `photos`, or a kind with its path, such as `imagefolder:cats-and-dogs`. Raises AlexbenchError."""
    if text in EMBEDDED:
        return EMBEDDED[text]()
    kind, colon, place = text.partition(":")
    if kind not in WITH_PATH:
        known = (*EMBEDDED, *(f"{name}:PATH" for name in WITH_PATH))
        raise UsageError(f"{unknown('source of data', text, known)}; a folder of images is imagefolder:PATH")
    if not colon or not place:
        raise UsageError(f"source {text!r} lacks its path: {kind}:PATH")
    path = Path(place).expanduser().absolute()
    try:
        path.stat()
    except OSError as error:
        raise UsageError(f"cannot read {text!r}: {error.strerror}") from None
    try:
        return WITH_PATH[kind](path)
    except OSError as error:
        raise UsageError(f"cannot read {text!r}: {error.strerror or error}") from None
