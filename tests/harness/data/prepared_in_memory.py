"""Prepared data made in memory, and small networks, for the tests of views and streams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.prepared import Part, Prepared
from impls.spec import Dense, Dropout, Network, Recipe

EIGENVALUES = (5000.0, 400.0, 50.0)
EIGENVECTORS = {1: np.ones((1, 1)), 3: np.array([[2.0, -2.0, 1.0], [1.0, 2.0, 2.0], [2.0, 1.0, -2.0]]) / 3}


def made(images: int = 20, side: int = 12, channels: int = 3, classes: int = 3, seed: int = 0) -> Prepared:
    """Random pixels; the same on every machine and with every NumPy, so that digests of them can be kept."""
    shape = (images, side, side, channels)
    words = np.random.Philox(key=seed).random_raw(int(np.prod(shape)) // 8 + 1 + images).astype("<u8")
    pixels = words.view(np.uint8)[: int(np.prod(shape))].reshape(shape)
    labels = (words[len(words) - images :] % classes).astype(np.int32)
    return Prepared(
        path=Path("made"),
        source="made",
        side=side,
        channels=channels,
        classes=tuple(f"class {number}" for number in range(classes)),
        parts={"train": Part("train", pixels, labels, Path("names"))},
        mean=pixels.mean(axis=0, dtype=np.float64).astype(np.float32),
        eigenvalues=np.array(EIGENVALUES[:channels]),
        eigenvectors=EIGENVECTORS[channels],
        content_hash="0" * 64,
    )


def a_network(height: int = 8, width: int | None = None, **changes: Any) -> Network:
    """A dense layer between two dropouts."""
    network = Network(
        name="small",
        summary="",
        source="",
        height=height,
        width=width or height,
        classes=3,
        layers=(
            Dropout(name="drop0", rate=0.5),
            Dense(name="fc1", units=5),
            Dropout(name="drop1", rate=0.3),
            Dense(name="fc2", units=3),
        ),
        recipe=Recipe(batch_size=4),
    )
    recipe = {name: changes.pop(name) for name in ("crop", "flip", "colour_noise", "changes") if name in changes}
    return replace(network, recipe=replace(network.recipe, **recipe), **changes)
