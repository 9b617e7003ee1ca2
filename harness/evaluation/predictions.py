"""What a network said of each image: its most probable classes, and what they earn. Small enough to keep for all.

The probabilities themselves, a gigabyte for a hundred thousand images and a thousand classes, are read once, in
pieces, and given up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from harness.evaluation import metrics
from harness.evaluation.shared_arrays import PIECE, pieces

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "predictions.parquet"
SHOWN = 5  # classes of each image in the file
RANKS = SHOWN + 1  # the sixth says how close the fifth was

Said = NDArray[np.void]  # [N] of RECORD

RECORD = np.dtype(
    [
        ("classes", np.int32, (RANKS,)),  # most probable first; -1 where the network has fewer
        ("probabilities", np.float64, (RANKS,)),
        ("top1", np.float64),  # credit
        ("top5", np.float64),
    ]
)


def said_of(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> Said:
    """Probabilities [N, classes], mapped or not, and labels [N] to what is kept of them. Raises NotFinite."""
    found = np.empty(len(labels), RECORD)
    for piece in pieces(len(labels)):
        block, own = np.asarray(probabilities[piece]), labels[piece]
        found["classes"][piece], found["probabilities"][piece] = metrics.most_probable(block, RANKS)
        found["top1"][piece] = metrics.credit(block, own, 1)
        found["top5"][piece] = metrics.credit(block, own, 5)
    return found


class PredictionsFile:
    """`predictions.parquet`: one row per framework, weights, crops and image. It appears whole, when it is closed."""

    def __init__(self, folder: Path, names: Sequence[str], labels: NDArray[np.integer]) -> None:
        self._path, self._partial = folder / FILE, folder / f".{FILE}.partial"
        self._names, self._labels = names, labels
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was added stands, also where the run was interrupted."""
        if self._writer is not None:
            self._writer.close()
            self._partial.replace(self._path)
        else:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def add(self, framework: str, weights: str, crops: int, said: Said) -> None:
        """Append one network's predictions. Raises OSError."""
        import pyarrow.parquet as pq

        for piece in pieces(len(said), 16 * PIECE):
            table = self._table(framework, weights, crops, said, piece)
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._partial, table.schema, compression="zstd")
            self._writer.write_table(table)

    def _table(self, framework: str, weights: str, crops: int, said: Said, piece: slice) -> pa.Table:
        import pyarrow as pa

        part, count = said[piece], piece.stop - piece.start
        columns: dict[str, Any] = {
            "framework": pa.array([framework] * count),
            "weights": pa.array([weights] * count),
            "crops": pa.array(np.full(count, crops, np.int32)),
            "image": pa.array(np.arange(piece.start, piece.stop, dtype=np.int64)),
            "name": pa.array(self._names[piece], pa.string()),
            "label": pa.array(np.asarray(self._labels[piece], np.int32)),
        }
        absent = part["classes"] < 0
        for rank in range(SHOWN):
            columns[f"class{rank + 1}"] = pa.array(part["classes"][:, rank], mask=absent[:, rank])
        for rank in range(SHOWN):
            columns[f"probability{rank + 1}"] = pa.array(part["probabilities"][:, rank], mask=absent[:, rank])
        columns["top1_credit"], columns["top5_credit"] = pa.array(part["top1"]), pa.array(part["top5"])
        return pa.table(columns)
