"""Arrays that a confined child takes out of a file: written by it, mapped here, gone with their last user."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.exchange import confined
from harness.exchange.foreign import ForeignTensor, FormatError, Shape

# What a child may write, little-endian as it lies in the file.
ITEM_TYPES = {"float16": "<f2", "float32": "<f4", "float64": "<f8"}
SECONDS = 600.0  # gigabytes from a slow disk


class Shelf:
    """The tensors of one file, all taken out by one child when the first is asked for.

    `function(path, folder=..., names=[...])` writes the tensor at place i of `names` to `folder`/i and answers with
    the dtypes it wrote.
    """

    def __init__(
        self,
        path: Path,
        function: str,
        *,
        kept: Any = None,
        shown: Path | None = None,
        memory: int = confined.STANDARD.memory,
        **arguments: Any,
    ) -> None:
        self._path, self._function, self._memory, self._arguments = path, function, memory, arguments
        self._shown = shown or path  # what the user calls it
        self._kept = kept  # what must live as long as the file is read: the folder that holds it
        self._asked: list[tuple[str, Shape, int]] = []
        self._arrays: list[NDArray[np.generic]] | None = None

    def tensor(self, name: str, shape: Sequence[int], dtype: str, shown: str | None = None) -> ForeignTensor:
        """A tensor that the file has under `name`, to be read later; people see it under `shown`."""
        place = len(self._asked)
        found = ForeignTensor(shown or name, tuple(shape), dtype, self._reader(place))
        self._asked.append((name, found.shape, found.elements))
        return found

    def _reader(self, place: int) -> Callable[[], NDArray[np.generic]]:
        return lambda: self._all()[place]

    def _all(self) -> list[NDArray[np.generic]]:
        if self._arrays is None:
            self._arrays = self._taken_out()
        return self._arrays

    def _taken_out(self) -> list[NDArray[np.generic]]:
        largest = max((elements for _, _, elements in self._asked), default=0)
        limits = confined.Limits(memory=self._memory + 4 * 8 * largest, seconds=SECONDS)
        with tempfile.TemporaryDirectory(prefix="alexbench-tensors-") as folder:
            names = [name for name, _, _ in self._asked]
            dtypes = confined.run(
                self._function, self._path, limits, shown=self._shown, folder=folder, names=names, **self._arguments
            )
            if not isinstance(dtypes, list) or len(dtypes) != len(names):
                raise FormatError(f"{str(self._shown)!r} cannot be read: {len(names)} tensors were asked for")
            # A mapped file stays readable when its name is gone, so the folder need not outlive this function.
            return [
                self._mapped(Path(folder) / str(place), dtype, *asked[:2])
                for place, (dtype, asked) in enumerate(zip(dtypes, self._asked, strict=True))
            ]

    def _mapped(self, file: Path, dtype: object, name: str, shape: Shape) -> NDArray[np.generic]:
        kind = ITEM_TYPES.get(dtype) if isinstance(dtype, str) else None
        count = int(np.prod(shape, dtype=np.int64))
        wanted = count * np.dtype(kind).itemsize if kind else -1
        try:
            found = file.stat(follow_symlinks=False).st_size
        except OSError:
            found = -2
        if wanted != found or kind is None:
            raise FormatError(f"{str(self._shown)!r}: tensor {name!r} could not be taken out of the file")
        if count == 0:
            return np.empty(shape, kind)
        return np.memmap(file, dtype=kind, mode="r", shape=shape)
