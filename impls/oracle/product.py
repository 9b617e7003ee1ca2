"""The gradient of a dense weight, kept as its two factors.

That of the paper's fc6 has 37.7 million elements, that of note-004's fc5 882 million.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class OuterProduct:
    """The matrix a^T b, [in, out], of a [N, in] and b [N, out], computed only in the rows that are asked for.

    `rounding`, where given, is applied to every row read: the gradient as a low precision would store it.
    """

    ndim = 2

    def __init__(self, a: Array, b: Array, rounding: Callable[[Array], Array] | None = None) -> None:
        if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
            raise ValueError(f"factors must be [N, in] and [N, out], found shapes {a.shape} and {b.shape}")
        self.a = a
        self.b = b
        self.rounding = rounding
        self.dtype = np.result_type(a, b)

    @property
    def shape(self) -> tuple[int, int]:
        """(in, out)."""
        return (self.a.shape[1], self.b.shape[1])

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, start: int, stop: int) -> Array:
        """Rows start to stop, [stop - start, out]."""
        found: Array = self.a[:, start:stop].T @ self.b
        return found if self.rounding is None else self.rounding(found)

    def sum(self) -> float:
        """Sum of all elements, in N products; `rounding` is left out."""
        return float(self.a.sum(axis=1) @ self.b.sum(axis=1))

    def sum_of_squares(self) -> float:
        """Squared Frobenius norm, from the two Gram matrices [N, N]; `rounding` is left out."""
        return float(np.sum((self.a @ self.a.T) * (self.b @ self.b.T)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("an OuterProduct holds its factors only: its matrix is always a new array")
        return self.rows(0, self.shape[0]).astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"OuterProduct(shape={self.shape}, dtype={self.dtype}, batch={len(self.a)})"


Tensor = Array | OuterProduct


def blocks(x: Tensor, max_elements: int = 2**20) -> Iterator[tuple[slice, Array]]:
    """Blocks of whole rows along axis 0, with the slice that each covers; at most `max_elements` unless a row has more.

    A 0-d array is read as [1].
    """
    if isinstance(x, np.ndarray) and x.ndim == 0:
        x = x.reshape(1)
    row = max(1, x.size // max(1, x.shape[0]))
    step = max(1, max_elements // row)
    for start in range(0, x.shape[0], step):
        stop = min(start + step, x.shape[0])
        yield slice(start, stop), x.rows(start, stop) if isinstance(x, OuterProduct) else x[start:stop]
