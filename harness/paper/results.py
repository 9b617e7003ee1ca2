"""Evaluations beside the paper's Tables 1 and 2: which figure each is like, and whether it compares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from harness.paper.claims import Result
from harness.paper.evidence import Row, measured
from reports import published, signatures
from reports.published import Published

# What one evaluation is of, and what it found.
SAME = (
    "network", "weights", "file", "data", "part", "images", "crops", "networks", "precision", "top1_error",
    "top5_error", "comparable",
)  # fmt: skip
VALIDATED = ("framework", "network", "data", "top1_error", "top5_error", "signature")


OTHERS = "others' weights"


def networks_in(row: Row) -> int:
    """How many networks' probabilities an evaluation averaged."""
    if row.get("networks"):
        return int(row["networks"])
    found = re.fullmatch(r"ensemble of (\d+)", str(row.get("weights") or ""))
    return int(found.group(1)) if found else 1


def comparable(rows: Sequence[Row], result: Result) -> list[Row]:
    """Evaluations of the very images and views of a published figure, all of them."""
    found = [
        row
        for row in measured(rows)
        if row.get("comparable") == "yes"
        and published.edition(str(row.get("data"))) == result.data
        and (row.get("part"), row.get("crops"), networks_in(row)) == (result.part, result.crops, result.networks)
    ]
    return together(found)


def together(rows: Sequence[Row]) -> list[Row]:
    """One row for frameworks that found the same of the same weights, their names and signatures joined."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in SAME), []).append(row)
    return [
        {
            **found[0],
            "framework": ", ".join(dict.fromkeys(str(row.get("framework")) for row in found)),
            "signature": signatures.merged(found) or None,
        }
        for found in groups.values()
    ]


def validations(training: Sequence[Row]) -> list[Row]:
    """The best validation of each training: an evaluation of centre crops, of images whose number is not told."""
    best = {(row.get("label"), row.get("signature")): row for row in training if row.get("best") == "yes"}
    return [
        {
            **{name: row.get(name) for name in VALIDATED},
            "weights": f"validated after epoch {row.get('epoch')}, its best",
            "crops": 1,
            "part": "val",
            "comparable": "no",
        }
        for row in best.values()
    ]


def table_rows(rows: Sequence[Row]) -> list[Row]:
    """Tables 1 and 2, the text's centre crop, and others' weights: a row per figure and evaluation like it, or alone.

    An evaluation stands beside a figure that has as many views and networks; whether the images are the same is said.
    Frameworks that found the same share a row.
    """
    found: list[Row] = []
    for figure in published.FIGURES:
        alike = together([row for row in measured(rows) if _is_like(row, figure)])
        # Evaluations of ImageNet itself, if there are any, leave no place for others.
        best = [row for row in alike if row.get("comparable") == "yes"] or alike
        found += [_beside(figure, row) for row in best] or [_alone(figure)]
    return found


def _is_like(row: Row, figure: Published) -> bool:
    if not figure.networks or (row.get("crops"), networks_in(row)) != (figure.crops, figure.averaged):
        return False
    if not _is_papers(figure) and row.get("network") not in figure.networks:
        return False  # the paper's figures are for whatever was trained, those of others' weights for these weights
    edition = published.edition(str(row.get("data")))
    return not edition or (edition, row.get("part")) == (figure.data, figure.part)


def _is_papers(figure: Published) -> bool:
    return figure.source.startswith("paper")


def _paper(figure: Published) -> Row:
    text = "section 4.1" if _is_papers(figure) else OTHERS
    return {
        "table": f"Table {figure.table}" if figure.table else text,
        "model": f"{figure.model}, {figure.data} {figure.part}",
        "paper_top1": figure.top1_error,
        "paper_top5": figure.top5_error,
    }


def _alone(figure: Published) -> Row:
    note = "another group's model" if not figure.networks and "CNN" not in figure.model else "no evaluation like it"
    return {**_paper(figure), "note": "; ".join(filter(None, [figure.note, note]))}


def _beside(figure: Published, row: Row) -> Row:
    same = row.get("comparable") == "yes"
    return {
        **_paper(figure),
        "ours_top1": row.get("top1_error"),
        "ours_low1": row.get("top1_low"),
        "ours_high1": row.get("top1_high"),
        "ours_top5": row.get("top5_error"),
        "ours_low5": row.get("top5_low"),
        "ours_high5": row.get("top5_high"),
        "data": f"{row.get('data')} {row.get('part')}",
        "comparable": "yes" if same else "no",
        "note": "; ".join(filter(None, ["" if same else _why_not(figure, row), _few_views(row), figure.note])),
        "signature": row.get("signature"),
        "run": _who(row),
    }


def _who(row: Row) -> str:
    """`cifar-4layer, t1/torch-best (de8105193558), in torch and jax`: which of the user's networks this is of."""
    weights, files = str(row.get("weights")), str(row.get("file") or "")
    name = ""
    if files and networks_in(row) == 1:
        name = "/".join(PurePath(files).with_suffix("").parts[-2:])
    called = f"{name} ({weights})" if name else weights if " " in weights else f"weights {weights}"
    return f"{row.get('network')}, {called}, in {row.get('framework')}"


def _few_views(row: Row) -> str:
    """That ten crops of images no larger than the network's input are not ten different ones."""
    crops, differing = row.get("crops"), row.get("differing_views")
    return f"of its {crops} views only {differing} differ" if crops and differing and differing < crops else ""


def _why_not(figure: Published, row: Row) -> str:
    """Why the two figures do not compare."""
    images = f"{row['images']} images of " if row.get("images") is not None else ""
    if published.edition(str(row.get("data"))) != figure.data or row.get("part") != figure.part:
        return f"the data differ: {images}{row.get('data')} {row.get('part')}, not {figure.data} {figure.part}"
    if row.get("network") not in figure.networks:
        return f"the network differs: {row.get('network')}, not {' or '.join(figure.networks)}"
    return f"not all the data: {images}{figure.images}, or not all the classes"
