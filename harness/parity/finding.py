"""A finding: the judgement on one tensor, with where it stands. One finding becomes one row of the `parity` table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.parity.verdict import Judgement
from impls.protocol import Array


@dataclass(frozen=True, slots=True)
class Finding:
    """The judgement on one tensor, with where it stands."""

    level: str
    case: str
    tensor: str
    judgement: Judgement
    layer: str = ""
    ties: int | None = None
    cause: str = ""
    baseline_rms: float | None = None
    gauge_rms: float | None = None  # the predicted standard deviation of the error, for the picture
    split: str = ""  # of the level split: how and over how many devices, "model/2"
    optional: bool = False  # whether an implementation from outside may leave it out


Outputs = Mapping[str, Array]
