"""What an audit comes to: its sentence, and each departure's figures as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reports.format import Row, clean, figure, measured, number, plural, text

TOGETHER = "together"  # the facet of the row of all measured departures at once
SAME = 1e-12  # relative changes below this are rounding

# What each kind of consequence means, in the order in which an audit tells them.
CONSEQUENCES: dict[str, str] = {
    "foreign layer": "a layer that is not AlexNet's",
    "another function": "change the function",
    "other shapes": "change the shapes of weights",
    "not measured": "not measured",
    "training only": "matter in training only",
    "same function": "the same function here",
}
COUNTED = {
    "foreign layer": "with foreign layers",
    "another function": "changing the function",
    "other shapes": "changing the weights' shapes",
    "not measured": "not measured",
    "training only": "of training only",
    "same function": "without effect",
}


def departures(rows: Sequence[Row]) -> list[Row]:
    """Without the row of all together."""
    return [row for row in rows if text(row, "facet") != TOGETHER]


def sentence(rows: Sequence[Row], run: Mapping[str, Any]) -> str:
    """As in "caffe departs from paper in 6 ways: 4 changing the function, 2 of training only."."""
    theirs, ours = (clean(str(run.get(name, ""))) for name in ("network", "against"))
    found = departures(rows)
    if not found:
        return f"{theirs} does not depart from {ours}."
    counts = Counter(text(row, "consequence") for row in found)
    known = [f"{counts[name]} {said}" for name, said in COUNTED.items() if counts[name]]
    return f"{theirs} departs from {ours} in {plural(len(found), 'way')}: {', '.join(known)}."


def totals(run: Mapping[str, Any]) -> str:
    """`60,965,224 parameters (the reference's 60,965,224), …`, empty where they are not known."""
    theirs, ours = run.get("totals"), run.get("reference_totals")
    if not isinstance(theirs, Mapping) or not isinstance(ours, Mapping):
        return ""
    units = {"parameters": "parameters", "multiply_adds": "multiply-adds", "memory_mb": "MiB for one image"}
    said = [f"{_count(theirs.get(name))} {unit} ({_count(ours.get(name))})" for name, unit in units.items()]
    return f"In all {', '.join(said)}; the reference's in brackets."


def _count(value: Any) -> str:
    if not isinstance(value, int | float):
        return "?"
    return f"{value:,}" if isinstance(value, int) else figure(value)


def place(row: Row) -> str:
    """`lrn-alpha of norm1, norm2`, or what the row of all together says."""
    if text(row, "facet") == TOGETHER:
        return text(row, "theirs")
    where = text(row, "place")
    facet = text(row, "facet")
    if not where or where == "input":
        return facet
    return f"{facet} {where}" if facet == "foreign" or where.startswith("after ") else f"{facet} of {where}"


def change(row: Row, name: str) -> str:
    """A relative change in percent; `0` where it is rounding, empty where it was not measured."""
    value = measured(row, name)
    if value is None:
        return ""
    return "0" if value < SAME else f"{figure(100 * value)} %"


def cosine(row: Row, name: str) -> str:
    """With four digits after the point."""
    value = measured(row, name)
    return "" if value is None else f"{value:.4f}"


def kept(row: Row) -> str:
    """A share in percent."""
    value = number(row, "top5_kept")
    return "" if value is None else f"{100 * value:.0f} %"


def signed(row: Row, name: str) -> str:
    """A difference with its sign, `0` for none."""
    value = number(row, name)
    if not value:
        return "" if value is None else "0"
    return f"{value:+,.0f}" if abs(value) >= 0.995 else f"{value:+.2g}"


def costs(row: Row) -> str:
    """`Alone: +307,200 parameters, +223,948,800 multiply-adds, +1.2 MiB`, empty where nothing changes."""
    units = {"parameters_change": "parameters", "multiply_adds_change": "multiply-adds", "memory_change_mb": "MiB"}
    said = [f"{signed(row, name)} {unit}" for name, unit in units.items() if number(row, name)]
    return f"Alone: {', '.join(said)}" if said else ""


def remarks(run: Mapping[str, Any]) -> list[str]:
    """What else is worth a line: silence, foreign layers, what did not fit."""
    silent = [clean(str(one)) for one in run.get("silent") or ()]
    said = [f"The source says nothing of {', '.join(silent)}: not compared."] if silent else []
    return [*said, *(_sentence(clean(str(one))) for one in run.get("remarks") or ())]


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:]}{'' if said.endswith('.') else '.'}"
