"""What kind of consequence a departure has, and the order that follows from it."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias, get_args

from harness.audit.costs import Costs
from harness.audit.departure import FACETS, Departure
from harness.audit.measure import Measured

# In the order in which an audit tells them.
Consequence: TypeAlias = Literal[
    "foreign layer",  # nobody here knows what it does
    "another function",  # the logits change
    "other shapes",  # weights of the reference do not fit
    "not measured",
    "training only",  # the gradient or the start changes, the logits do not
    "same function",
]
CONSEQUENCES: tuple[Consequence, ...] = get_args(Consequence)

SAME = 1e-12  # a relative change of float64 results below this is rounding


NOT_ASKED_FOR = "not asked for"  # why something was not measured, where that is no news


class Judged(NamedTuple):
    """A departure with all that is known of it."""

    departure: Departure
    costs: Costs | None  # changes; None where no `Network` shows the departure
    measured: Measured | None
    obstacle: str  # why it was not measured

    @property
    def consequence(self) -> Consequence:
        """By what was measured, else by what is known without."""
        if self.departure.facet == "foreign":
            return "foreign layer"
        if self.measured is not None:
            return of_measured(self.measured)
        if self.departure.facet in ("init", "init-bias"):
            return "training only"
        if self.costs is not None and self.costs.parameters:
            return "other shapes"
        return "other shapes" if self.obstacle.startswith("weights do not fit") else "not measured"


def of_measured(measured: Measured) -> Consequence:
    """Logits first."""
    if not _is_rounding(measured.logits.change):
        return "another function"
    return "same function" if _is_rounding(measured.gradient.change) else "training only"


def _is_rounding(change: float | None) -> bool:
    return change is None or change < SAME  # NaN is not below anything


def _size(change: float | None) -> float:
    return 0.0 if change is None else math.inf if math.isnan(change) else change


def in_order(found: list[Judged]) -> list[Judged]:
    """Graver consequences first; among equals the larger change, then the order of a network's description."""
    return sorted(found, key=_rank)


def _rank(judged: Judged) -> tuple[int, float, float, int]:
    size, more = 0.0, 0.0
    if judged.measured is not None:
        size, more = (_size(found.change) for found in (judged.measured.logits, judged.measured.gradient))
    elif judged.costs is not None:
        size, more = abs(judged.costs.parameters), abs(judged.costs.multiply_adds)
    place = CONSEQUENCES.index(judged.consequence)
    return place, -size, -more, FACETS.index(judged.departure.facet)
