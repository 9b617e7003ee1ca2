"""What a departure alone does to the numbers: the reference with it, beside the reference, on the same photographs.

Both have the same weights and are computed in float64 by the oracle, so that what is measured is the departure and not
rounding. Gradients are of training mode with shared labels and dropout masks: a layer that both have drops the same
units, and at a higher rate those and more.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.audit import likeness, photographs
from harness.audit.departure import Departure
from harness.audit.likeness import Likeness
from harness.audit.photographs import MEANS, Pixels
from impls import derive, random_stream, weights
from impls.oracle import network as oracle
from impls.oracle.network import GradientResult
from impls.protocol import Array, Arrays, Batch
from impls.spec import Dropout, Network

INITIAL = "with shared weights nothing is to be seen of initial ones"
NO_MEANS = "both subtract a mean of the training data, which photographs alone do not give"
NO_COLOURS = "photographs have one channel or three"


class Measured(NamedTuple):
    """What a departure does to the logits of a test-time pass, and to the gradient of a training-mode pass."""

    logits: Likeness
    top5_kept: float
    gradient: Likeness


def obstacle(departure: Departure, reference: Network) -> str:
    """Why a departure cannot be measured with shared weights; empty where it can."""
    if departure.facet in ("init", "init-bias"):
        return INITIAL
    if departure.alone is None:
        return departure.obstacle
    if departure.facet == "preprocessing" and {departure.alone.preprocessing, reference.preprocessing} <= MEANS:
        return NO_MEANS
    return misfit(departure.alone, reference)


def misfit(network: Network, reference: Network) -> str:
    """Why the reference's weights or photographs do not fit a network; empty where they do."""
    theirs, ours = derive.parameter_shapes(network), derive.parameter_shapes(reference)
    for name, shape in ours.items():
        if theirs.get(name) != shape:
            found = "x".join(map(str, theirs[name])) if name in theirs else "missing"
            return f"weights do not fit: {name} is {found}, the reference's {'x'.join(map(str, shape))}"
    if extra := [name for name in theirs if name not in ours]:
        return f"weights do not fit: the reference has no {extra[0]}"
    if network.channels not in (1, 3):
        return NO_COLOURS
    return ""


class Bench:
    """The reference's side of every measurement, computed once."""

    def __init__(self, reference: Network, pixels: Pixels, recipe: str, seed: int) -> None:
        self._reference = reference
        self._pixels = pixels
        self._seed = seed
        self.weights: Arrays = dict(weights.generate(reference, recipe, seed))

    def measure(self, network: Network) -> Measured:
        """One network that `misfit` has nothing against."""
        with np.errstate(all="ignore"):  # what overflows is told as infinite or NaN
            return self._measured(network)

    def _measured(self, network: Network) -> Measured:
        images = photographs.inputs(self._pixels, network)
        logits = self._logits(network, images)
        reference = self._activations[self._reference.logits]
        gradients = self._gradients_of(network, images).gradients
        return Measured(
            logits=likeness.of_arrays(logits, reference),
            top5_kept=likeness.top_kept(logits, reference),
            gradient=likeness.of_gradients(gradients, self._gradients.gradients),
        )

    @cached_property
    def _images(self) -> NDArray[np.float32]:
        return photographs.inputs(self._pixels, self._reference)

    @cached_property
    def _activations(self) -> dict[str, Array]:
        return oracle.forward(self._reference, self.weights, self._images)

    @cached_property
    def _gradients(self) -> GradientResult:
        return self._gradients_of(self._reference, self._images)

    def _logits(self, network: Network, images: NDArray[np.float32]) -> Array:
        """Test-time logits; up to the first layer that differs the reference's activations are taken."""
        both = zip(network.layers, self._reference.layers, strict=False)
        same = [a for a, _ in takewhile(lambda pair: pair[0] == pair[1], both)]
        if not same or not np.array_equal(images, self._images):
            return oracle.forward(network, self.weights, images)[network.logits]
        if len(same) == len(network.layers):
            return self._activations[network.logits]
        rest = replace(network, layers=network.layers[len(same) :])
        return oracle.forward(rest, self.weights, self._activations[same[-1].name])[network.logits]

    def _gradients_of(self, network: Network, images: NDArray[np.float32]) -> GradientResult:
        batch = Batch(images, self._labels(len(images)), masks(network, len(images), self._seed))
        return oracle.gradients(network, self.weights, batch)

    def _labels(self, count: int) -> NDArray[np.integer]:
        drawn = random_stream.words(random_stream.source(self._seed, "audit labels"), count)
        return (drawn % np.uint32(self._reference.classes)).astype(np.int64)


def masks(network: Network, count: int, seed: int) -> Arrays:
    """0/1 for every dropout layer, by its name: layer -> [count, ...]."""
    found: Arrays = {}
    for row in derive.facts(network):
        if isinstance(row.layer, Dropout):
            shape = (count, *row.input_shape)
            drawn = random_stream.stream("uniform", seed, f"audit {row.layer.name}", derive.volume(shape))
            uniform = (np.concatenate(list(drawn)) + np.float32(1)) / np.float32(2)
            found[row.layer.name] = (uniform >= row.layer.rate).astype(np.float32).reshape(shape)
    return found
