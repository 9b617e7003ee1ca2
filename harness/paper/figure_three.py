"""Figure 3: the kernels of the first layer, the two towers apart, and how much colour is in each tower's.

The paper finds one tower's kernels "largely colour-agnostic", the other's "largely colour-specific" (section 6.1). The
colour of a kernel is the share of its energy that is left when each pixel's mean over the channels is taken out: 0 for
a grey kernel, 1 for one that sees nothing but differences between the channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.paper.evidence import Row
from harness.paper.subject import Subject
from impls.spec import Conv
from reports import statistics

DRAWN_CHANNELS = (1, 3)


def kernels_of(subject: Subject) -> NDArray[np.float32] | None:
    """[h, w, channels, kernels] of the first layer, where it is a convolution that can be shown."""
    first = subject.network.layers[0]
    if not isinstance(first, Conv) or subject.network.channels not in DRAWN_CHANNELS:
        return None
    return subject.weights.arrays[f"{first.name}/weight"]


def colour_shares(kernels: NDArray[np.floating]) -> NDArray[np.float64]:
    """[h, w, 3, kernels] to each kernel's share of energy that is no grey, [kernels]; 0 for a kernel of zeros."""
    wide = np.asarray(kernels, np.float64)
    grey = wide.mean(axis=2, keepdims=True)
    energy = np.square(wide).sum(axis=(0, 1, 2))
    coloured = np.square(wide - grey).sum(axis=(0, 1, 2))
    return np.asarray(np.divide(coloured, energy, out=np.zeros_like(energy), where=energy > 0), np.float64)


def colour_row(subject: Subject) -> Row | None:
    """Both towers' mean colour and their difference with its interval (Welch), of trained towers that see colours."""
    kernels = kernels_of(subject)
    if kernels is None or subject.towers != 2 or kernels.shape[2] != 3 or not subject.is_trained:
        return None
    shares = colour_shares(kernels)
    one, two = np.split(shares, 2)
    first, second = statistics.term(one.tolist()), statistics.term(two.tolist())
    if first is None or second is None:
        return None
    found = statistics.total([second, first.scaled(-1.0)])
    return {
        "tower_1": first.value, "tower_2": second.value, "difference": found.value, "low": found.low,
        "high": found.high, "on": f"{subject.network.name} {subject.trained_on}", "signature": subject.signature(),
    }  # fmt: skip


def draw(subject: Subject, path: Path) -> list[str]:
    """Draw the kernels; the names of the files, none where no kernels can be shown. Raises OSError."""
    kernels: NDArray[Any] | None = kernels_of(subject)
    if kernels is None:
        return []
    from reports.figures import figure3, style

    said = f"{subject.network.name}, {subject.trained_on}"
    drawn = figure3.figure(kernels, subject.towers, said=said, signature=subject.signature(), name=path.stem)
    return style.save(drawn, path)
