"""Several networks as one: the mean of their probabilities (paper, section 6).

References: A. Krizhevsky, I. Sutskever, G. Hinton, NIPS 2012, Table 2, "averaging the predictions of five CNNs".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.evaluation.shared_arrays import pieces, shared_array


class Ensemble:
    """A running sum of probabilities in a file of its own, so that one network's at a time need to be there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self.networks = 0

    def add(self, probabilities: NDArray[np.float64]) -> None:
        """One more network's [N, classes]. Raises UsageError where it has other classes or images."""
        if self._path is None:
            self._path = shared_array(self._folder, probabilities.shape)
        total = np.load(self._path, mmap_mode="r+", allow_pickle=False)
        if total.shape != probabilities.shape:
            raise UsageError(
                f"networks of an ensemble must answer alike: {probabilities.shape[1]} classes beside {total.shape[1]}"
            )
        for piece in pieces(len(total)):
            total[piece] += probabilities[piece]
        total.flush()
        self.networks += 1

    def mean(self) -> Path:
        """The mean [N, classes], in a .npy file that is the caller's from here on."""
        if self._path is None:
            raise ValueError("an ensemble of no network")
        total = np.load(self._path, mmap_mode="r+", allow_pickle=False)
        for piece in pieces(len(total)):
            total[piece] /= self.networks
        total.flush()
        path, self._path = self._path, None
        return path
