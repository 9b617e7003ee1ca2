"""How alike two results are: relative change, cosine, and the classes that stay among the first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from impls.oracle.product import Array, OuterProduct, Tensor, blocks

TOP = 5


class Likeness(NamedTuple):
    """Of a vector beside the reference's; None where the reference's is zero."""

    change: float | None  # norm of the difference over the norm of the reference
    cosine: float | None


class _Sums(NamedTuple):
    """Sums over elements: squares of both and of their difference, products of the two."""

    theirs: float = 0.0
    reference: float = 0.0
    difference: float = 0.0
    product: float = 0.0

    def plus(self, a: Array, b: Array) -> _Sums:
        a, b = a.ravel(), b.ravel()
        apart = a - b
        return _Sums(
            self.theirs + float(a @ a),
            self.reference + float(b @ b),
            self.difference + float(apart @ apart),
            self.product + float(a @ b),
        )

    def likeness(self) -> Likeness:
        if not self.reference:
            return Likeness(None, None)
        norms = math.sqrt(self.theirs) * math.sqrt(self.reference)
        cosine = self.product / norms if norms else None
        return Likeness(math.sqrt(self.difference / self.reference), cosine)


def of_arrays(theirs: Array, reference: Array) -> Likeness:
    """Of all elements together."""
    return _Sums().plus(theirs, reference).likeness()


def of_gradients(theirs: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> Likeness:
    """Of the whole gradient, every parameter in it; both have the same names and shapes.

    A dense weight's comes as two factors and is never whole in memory.
    """
    sums = _Sums()
    for name, value in reference.items():
        for rows, block in blocks(value):
            sums = sums.plus(_rows(theirs[name], rows), block)
    return sums.likeness()


def _rows(tensor: Tensor, rows: slice) -> Array:
    if isinstance(tensor, OuterProduct):
        return tensor.rows(rows.start, rows.stop)
    return tensor[rows]


def top_kept(theirs: Array, reference: Array) -> float:
    """Share of the reference's first five classes that are among theirs, over all images; logits [N, classes]."""
    most = min(TOP, reference.shape[1])
    both = [np.argsort(-logits, axis=1, kind="stable")[:, :most] for logits in (theirs, reference)]
    kept = [len(set(a.tolist()) & set(b.tolist())) for a, b in zip(both[0], both[1], strict=True)]
    share: float = sum(kept) / (most * len(kept))
    return share
