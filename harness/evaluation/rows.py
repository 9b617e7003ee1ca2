"""Rows of the tables `evaluation` and `class-error`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import environment
from harness.data.prepared import Prepared
from harness.data.views import CROPS, differing_views
from harness.evaluation import metrics
from harness.evaluation.comparison import Beside, beside
from harness.evaluation.options import EvaluateOptions
from harness.evaluation.predictions import Said
from harness.evaluation.subjects import Subject
from reports import schema

Row = dict[str, Any]

COLUMNS = tuple(schema.dtypes("evaluation", optional=True))


class RowMaker:
    """Knows what all rows of a run have in common."""

    def __init__(self, options: EvaluateOptions, prepared: Prepared, images: int) -> None:
        self.options, self.prepared, self.images = options, prepared, images

    def row(
        self, framework: str, version: str, weights: str, members: Sequence[Subject], crops: int, **found: Any
    ) -> Row:
        """A row with every column; what is not given was not measured. Several members are an ensemble."""
        options = self.options
        names = sorted({member.network.name for member in members})
        given = {
            "framework": framework,
            "network": "+".join(names),
            "weights": weights,
            "data": self.prepared.source,
            "images": self.images,
            "crops": crops,
            "signature": self._signature(framework, version, members, crops),
            "part": options.part,
            "file": ", ".join(str(member.file) for member in members),
            "tuning": options.tuning,
            "precision": options.precision,
            "device": options.device,
            "differing_views": min(self._differing(member, crops) for member in members),
            "networks": len(members),
            **self._beside(members, crops)._asdict(),
            **found,
        }
        if unknown := set(given) - set(COLUMNS):
            raise KeyError(f"no such column: {', '.join(sorted(unknown))}")
        return {name: given.get(name) for name in COLUMNS}

    def _differing(self, member: Subject, crops: int) -> int:
        return differing_views(self.prepared.side, member.network) if crops == max(CROPS) else 1

    def _beside(self, members: Sequence[Subject], crops: int) -> Beside:
        networks = [member.network.name for member in members]
        return beside(networks, self.prepared, self.options.part, self.images, crops)

    def _signature(self, framework: str, version: str, members: Sequence[Subject], crops: int) -> str:
        return environment.signature(
            network="+".join(sorted({member.network.name for member in members})),
            weights="+".join(member.label for member in members),
            framework=f"{framework}-{version}" if version else framework,
            device=self.options.device,
            precision=self.options.precision,
            data=self.prepared.content_hash[:12],
            part=self.options.part,
            images=self.images,
            crops=crops,
            classes=None if self.options.class_order == "data" else self.options.class_order,
            tuning=self.options.tuning,
        )


def errors_of(said: Said) -> Row:
    """Both errors with their intervals."""
    row: Row = {}
    for name in ("top1", "top5"):
        found = metrics.rate(said[name])
        row |= {f"{name}_error": found.error, f"{name}_low": found.low, f"{name}_high": found.high}
    return row


def class_rows(
    framework: str, weights: str, crops: int, said: Said, labels: NDArray[np.integer], names: Sequence[str]
) -> Iterator[Row]:
    """Each class that has images, with its own errors."""
    images, top1 = metrics.class_errors(said["top1"], labels, len(names))
    _, top5 = metrics.class_errors(said["top5"], labels, len(names))
    for index, name in enumerate(names):
        if images[index]:
            yield {
                "framework": framework,
                "weights": weights,
                "crops": crops,
                "class": index,
                "name": name,
                "images": int(images[index]),
                "top1_error": float(top1[index]),
                "top5_error": float(top5[index]),
            }
