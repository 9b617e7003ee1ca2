"""What the rows of an evaluation amount to: scores side by side, who agrees, the worst classes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reports.format import Row, number, text
from reports.tables import groups

PANEL = ("data", "part", "images", "precision", "device")  # what one table has in common
SCORE = ("framework", "tuning", "network", "weights", "file", "crops", *PANEL)


def scores(evaluation: pd.DataFrame) -> list[Row]:
    """Every score, and every one that is not there, once and as it was last; columns as in the table."""
    return [found[-1] for found in groups(evaluation, *SCORE).values()]


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Weights in the order they were given, of each the crops, of these the frameworks; ensembles at the end."""
    given = list(dict.fromkeys(text(row, "weights") for row in rows))

    def order(row: Row) -> tuple[object, ...]:
        place = given.index(text(row, "weights"))
        return is_ensemble(row), place, number(row, "crops") or 0, text(row, "framework")

    return sorted(rows, key=order)


def is_measured(row: Row) -> bool:
    """Whether the row is a score."""
    return text(row, "status") in ("", "measured") and number(row, "top1_error") is not None


def is_comparable(row: Row) -> bool:
    """Whether the published figure is of the same network on the same images."""
    return text(row, "comparable") == "yes" and number(row, "paper_top1") is not None


def is_ensemble(row: Row) -> bool:
    """Whether the outputs of several networks were averaged."""
    return text(row, "weights").startswith("ensemble")


def panels(measured: Sequence[Row]) -> dict[tuple[str, ...], list[Row]]:
    """Scores on the same images, in order, by the values of PANEL."""
    return _by(in_order(measured), *PANEL)


def files(rows: Sequence[Row]) -> list[Row]:
    """The weights of these rows: weights as the tables call them, network, file, and name.

    The name is no more of the file's path than tells it from the others.
    """
    named = {text(row, "weights"): row for row in rows if text(row, "file") and not is_ensemble(row)}
    parts = [tuple(filter(None, text(row, "file").split("/"))) for row in named.values()]
    longest = max(map(len, parts), default=0)
    enough = next((n for n in range(1, longest) if len({one[-n:] for one in parts}) == len(set(parts))), longest)
    return [
        {
            "weights": weights,
            **{name: text(row, name) for name in ("network", "file")},
            "name": "/".join(part[-enough:]),
        }
        for (weights, row), part in zip(named.items(), parts, strict=True)
    ]


def agreements(measured: Sequence[Row], agreement: pd.DataFrame) -> list[Row]:
    """What several frameworks say with the same weights and views, on the same images.

    Columns: weights, crops, frameworks, images, apart (the rows of the table `agreement`, none where all agree).
    """
    apart = groups(agreement, "weights", "crops")
    found: list[Row] = []
    for (weights, crops), rows in _by(in_order(measured), "weights", "crops").items():
        frameworks = tuple(dict.fromkeys(text(row, "framework") for row in rows))
        if len(frameworks) > 1:
            one = {"weights": weights, "crops": crops, "frameworks": frameworks, "images": text(rows[0], "images")}
            found.append({**one, "apart": apart.get((weights, crops), [])})
    return found


def worst_classes(class_error: pd.DataFrame) -> list[list[Row]]:
    """Of each weights file the classes with an error, the worst first, as the table has them.

    They are those of the score with the most views, in the first framework.
    """
    most: dict[str, list[Row]] = {}
    for (weights, *_), rows in groups(class_error, "weights", "framework", "crops").items():
        if weights not in most or _views(rows) > _views(most[weights]):
            most[weights] = rows
    wrong = [[row for row in rows if number(row, "top1_error")] for rows in most.values()]
    return [sorted(rows, key=lambda row: (-row["top1_error"], number(row, "class") or 0)) for rows in wrong if rows]


def repeated_views(rows: Sequence[Row]) -> dict[str, str]:
    """Views of an image that were asked for -> how many differ, where the image is no larger than a view."""
    found = {}
    for row in rows:
        crops, differing = number(row, "crops"), number(row, "differing_views")
        if crops is not None and differing is not None and differing < crops:
            found[text(row, "crops")] = text(row, "differing_views")
    return found


def _views(rows: Sequence[Row]) -> float:
    return number(rows[0], "crops") or 0.0


def _by(rows: Sequence[Row], *names: str) -> dict[tuple[str, ...], list[Row]]:
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(text(row, name) for name in names), []).append(row)
    return found
