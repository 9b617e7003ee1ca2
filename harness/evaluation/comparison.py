"""Whether a score may stand beside a published one: the same network, on the same images, all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.data.prepared import Prepared

IMAGENET_CLASSES = 1000
# Where the data are of no edition of ImageNet, the figure that is shown for orientation is the first of these.
EDITIONS = (("ILSVRC-2012", "val"), ("ILSVRC-2010", "test"))


class Beside(NamedTuple):
    """What the row of a score says of the published one."""

    paper_top1: float | None = None  # shares of 1
    paper_top5: float | None = None
    comparable: str = "no"


def beside(networks: Sequence[str], prepared: Prepared, part: str, images: int, crops: int) -> Beside:
    """The published figure of these networks, averaged where there are several, and whether ours compares with it."""
    from reports import published  # here, because a worker's interpreter need not have what reports need

    if len(set(networks)) != 1:
        return Beside()
    edition = published.edition(prepared.source)
    for data, of_part in [(edition, part)] if edition else EDITIONS:
        figure = published.published(networks[0], data, of_part, crops, len(networks))
        if figure is not None:
            whole = images == figure.images and len(prepared.classes) == IMAGENET_CLASSES
            return Beside(figure.top1_error, figure.top5_error, "yes" if edition and whole else "no")
    return Beside()
