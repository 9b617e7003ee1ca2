"""Two frameworks on the same images with the same weights: where they answer otherwise, and how narrowly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.ground import Ground
from harness.evaluation.predictions import Said

Row = dict[str, Any]


def differing(a: Said, b: Said) -> NDArray[np.intp]:
    """Images whose first class, top-1 credit or top-5 credit differs."""
    apart = (a["classes"][:, 0] != b["classes"][:, 0]) | (a["top1"] != b["top1"]) | (a["top5"] != b["top5"])
    return np.flatnonzero(apart)


def rows(ground: Ground, weights: str, crops: int, first: tuple[str, Said], second: tuple[str, Said]) -> Iterator[Row]:
    """A row for each image on which two frameworks, given by name with what they said, do not agree.

    `differs` is top-1 or top-5 where the credit does, else class: another wrong one. A margin is what lies between the
    classes that changed places: the two most probable, or for top-5 the fifth and the sixth.
    """
    (name_a, a), (name_b, b) = first, second
    for image in map(int, differing(a, b)):
        kind = _kind(a[image], b[image])
        yield {
            "weights": weights,
            "crops": crops,
            "image": image,
            "name": ground.names[image],
            "label": ground.called(int(ground.labels[image])),
            "framework_a": name_a,
            "predicted_a": ground.called(int(a[image]["classes"][0])),
            "probability_a": float(a[image]["probabilities"][0]),
            "framework_b": name_b,
            "predicted_b": ground.called(int(b[image]["classes"][0])),
            "probability_b": float(b[image]["probabilities"][0]),
            "margin_a": _margin(a[image], kind),
            "margin_b": _margin(b[image], kind),
            "differs": kind,
        }


def _kind(a: Any, b: Any) -> str:
    if a["top1"] != b["top1"]:
        return "top-1"
    return "top-5" if a["top5"] != b["top5"] else "class"


def _margin(said: Any, kind: str) -> float | None:
    place = 4 if kind == "top-5" else 0
    upper, lower = said["probabilities"][place : place + 2]
    return None if np.isnan(lower) else float(upper - lower)
