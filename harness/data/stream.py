"""The stream of training batches: which images, which views, which units are dropped, for every step.

`Stream.batch(step)` depends on the seed and the step alone. So all frameworks train on the same numbers, a resumed run
continues exactly, and threads may prepare batches in any order. NumPy only.
"""

from __future__ import annotations

import functools
import threading

import numpy as np
from numpy.typing import NDArray

from harness.data import colours, draws
from harness.data.buffers import Buffers
from harness.data.prepared import Prepared
from harness.data.preprocessing import Preprocessing, Window, too_small
from harness.data.views import train_views
from harness.errors import UsageError
from impls.derive import facts
from impls.protocol import Arrays, Batch
from impls.spec import ColourNoise, Dropout, Network

EPOCHS_KEPT = 2  # permutations: threads that prepare ahead are in the next epoch before all have left this one


class Stream:
    """Batches of a prepared folder's training part, by the network's recipe.

    An epoch is as many whole batches as the images fill, in an order of its own; the few images left over are others
    in every epoch.
    """

    def __init__(
        self,
        prepared: Prepared,
        network: Network,
        preprocessing: Preprocessing,
        *,
        seed: int,
        batch_size: int,
        limit: int | None = None,
    ) -> None:
        """`limit`: of the first so many images only. Raises UsageError for data that do not fit the network."""
        part = prepared.part("train")
        count = len(part) if limit is None else min(limit, len(part))
        _check(prepared, network, part.labels[:count], batch_size)
        preprocessing.check(network, prepared.side)
        self._pixels = part.images
        self._labels = part.labels[:count].astype(np.int64)
        self._prepared, self._network, self._preprocessing = prepared, network, preprocessing
        self._seed, self._batch_size = seed, batch_size
        self._buffers = Buffers((batch_size, network.height, network.width, network.channels))
        self._masks = {row.layer: row.input_shape for row in facts(network) if isinstance(row.layer, Dropout)}
        self._ordering = threading.Lock()
        self._order_of = functools.lru_cache(EPOCHS_KEPT)(self._permutation)

    @property
    def images(self) -> int:
        """How many images are trained on."""
        return len(self._labels)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return self.images // self._batch_size

    def batch(self, step: int) -> Batch:
        """The batch of one step, counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = self._order(epoch)[place * self._batch_size :][: self._batch_size]
        return Batch(self._views(step, epoch, order), self._labels[order], self._dropped(step))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        with self._ordering:  # a million keys are sorted once, not by every thread
            return self._order_of(epoch)

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        return draws.permutation(self._seed, "order", epoch, self.images)

    def _views(self, step: int, epoch: int, order: NDArray[np.int64]) -> NDArray[np.float32]:
        kind = colour_noise_in(self._network, epoch)
        noise = self._noise(kind, step) if kind != "none" else None
        views = self._buffers.empty()
        windows = self._windows(step)
        train_views(self._pixels, order, windows, self._preprocessing, views, noise, colours.SHRINKING[kind])
        return views

    def _windows(self, step: int) -> list[Window]:
        """Where each image of a batch is cut."""
        network, count = self._network, self._batch_size
        room = (self._prepared.side - network.height, self._prepared.side - network.width)
        if network.recipe.crop == "random":
            tops = draws.integers(self._seed, "top", step, count, room[0] + 1)
            lefts = draws.integers(self._seed, "left", step, count, room[1] + 1)
        else:
            tops, lefts = (np.full(count, space // 2) for space in room)
        flips = draws.bits(self._seed, "flip", step, count) if network.recipe.flip else np.zeros(count, np.uint8)
        return [
            Window(top, left, mirrored)
            for top, left, mirrored in zip(tops.tolist(), lefts.tolist(), flips.astype(bool).tolist(), strict=True)
        ]

    def _noise(self, kind: ColourNoise, step: int) -> NDArray[np.float32]:
        """One colour for each image of a batch [N, C]."""
        shape = (self._batch_size, self._prepared.channels)
        normals = draws.normals(self._seed, "colour", step, shape[0] * shape[1]).reshape(shape)
        return colours.noise(kind, self._prepared, self._network.channels, normals)

    def _dropped(self, step: int) -> Arrays:
        """A mask for every dropout layer."""
        return {
            layer.name: draws.mask(self._seed, f"dropout/{layer.name}", step, (self._batch_size, *shape), layer.rate)
            for layer, shape in self._masks.items()
        }


def colour_noise_in(network: Network, epoch: int) -> ColourNoise:
    """The recipe's colour noise in an epoch counted from 0, its changes applied in order of their epochs."""
    noise = network.recipe.colour_noise
    for change in sorted(network.recipe.changes, key=lambda change: change.epoch):
        if change.epoch <= epoch and change.colour_noise is not None:
            noise = change.colour_noise
    return noise


def _check(prepared: Prepared, network: Network, labels: NDArray[np.int32], batch_size: int) -> None:
    """Whether the data fit the network and the batch. Raises UsageError."""
    if not len(labels):
        raise UsageError(f"{prepared.source} has no training images: prepare data that have some")
    if batch_size < 1 or len(labels) < batch_size:
        raise UsageError(
            f"{len(labels)} training images in {prepared.source} do not fill a batch of {batch_size}:"
            f" pass --batch-size {len(labels)} or less"
        )
    if prepared.side < max(network.height, network.width):
        raise UsageError(too_small(network, prepared.side))
    largest = int(labels.max())
    if largest >= network.classes:
        raise UsageError(
            f"{prepared.source} has the label {largest} ({prepared.classes[largest]!r}), network {network.name!r}"
            f" has {network.classes} classes: choose data of at most {network.classes} classes or another network"
        )
