"""What the answers are about: the images that are scored, their labels, and what the networks' outputs mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.prepared import Prepared
from harness.evaluation.options import ClassOrder

Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Ground:
    """Labels and classes are in the order of the networks' outputs."""

    names: Sequence[str]  # of the images
    labels: Labels
    classes: Sequence[str]

    def called(self, index: int) -> str:
        """A class by its name; a network may have more of them than the data."""
        return self.classes[index] if 0 <= index < len(self.classes) else f"class {index}"


def ground_of(prepared: Prepared, part: str, limit: int | None, order: ClassOrder) -> Ground:
    """A part's first `limit` images. Raises UsageError.

    Networks that were trained on this data have its order. Published weights of ImageNet's classes have that of the
    sorted WordNet ids, which the names of the classes begin with; the development kit numbers them otherwise.
    """
    found = prepared.part(part)
    labels, names = found.labels[:limit], found.names()[:limit]
    if order == "data":
        return Ground(names, labels, prepared.classes)
    sorted_places = sorted(range(len(prepared.classes)), key=lambda index: prepared.classes[index])
    output_of = np.empty(len(sorted_places), np.int32)  # class of the data -> output of the network
    output_of[sorted_places] = np.arange(len(sorted_places), dtype=np.int32)
    return Ground(names, output_of[labels], [prepared.classes[index] for index in sorted_places])
