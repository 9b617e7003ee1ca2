"""Departures as rows of the table `audit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.audit.consequence import NOT_ASKED_FOR, Judged, of_measured
from harness.audit.measure import Measured

Row = dict[str, Any]

TOGETHER = "together"  # the facet of the row of all measured departures at once


def of(found: Sequence[Judged], names: tuple[str, str], signature: str) -> list[Row]:
    """One row each; `names` are the network's and the reference's."""
    return [_row(judged, names, signature) for judged in found]


def _row(judged: Judged, names: tuple[str, str], signature: str) -> Row:
    departure, costs = judged.departure, judged.costs
    foreign = departure.foreign_parameters or None
    return {
        "network": names[0],
        "against": names[1],
        "facet": departure.facet,
        "place": departure.place,
        "theirs": departure.theirs,
        "reference": departure.reference,
        "consequence": judged.consequence,
        "parameters_change": _counted(foreign if costs is None else costs.parameters),
        "multiply_adds_change": _counted(None if costs is None else costs.multiply_adds),
        "memory_change_mb": None if costs is None else costs.memory_mb,
        **_figures(judged.measured),
        "why": departure.why,
        "note": "" if judged.obstacle == NOT_ASKED_FOR else judged.obstacle,
        "signature": signature,
    }


def _counted(value: int | None) -> int | None:
    """Beyond what a float64 counts exactly it is no network that anybody runs, and the table does not hold it."""
    return value if value is not None and abs(value) < 1 << 53 else None


def together(count: int, measured: Measured | None, names: tuple[str, str], note: str, signature: str) -> Row:
    """The last row: every departure that could be measured, at once."""
    return {
        "network": names[0],
        "against": names[1],
        "facet": TOGETHER,
        "place": "",
        "theirs": f"all {count} measured departures",
        "reference": "",
        "consequence": None if measured is None else of_measured(measured),
        **_figures(measured),
        "why": "departures may add up or make up for each other",
        "note": note,
        "signature": signature,
    }


def _figures(measured: Measured | None) -> Row:
    if measured is None:
        return dict.fromkeys(("logits_change", "logits_cosine", "top5_kept", "gradient_change", "gradient_cosine"))
    return {
        "logits_change": measured.logits.change,
        "logits_cosine": measured.logits.cosine,
        "top5_kept": measured.top5_kept,
        "gradient_change": measured.gradient.change,
        "gradient_cosine": measured.gradient.cosine,
    }
