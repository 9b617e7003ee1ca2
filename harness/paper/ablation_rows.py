"""Rows of the tables `trial` (one training, scored) and `ablation` (two trials of one seed), and their sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.paper.evidence import Row
from harness.paper.variants import Ablation
from reports import signatures, statistics
from reports.statistics import Interval


class Scoring(NamedTuple):
    """What one error is of: a network trained in a framework from a seed, and seen in so many views."""

    framework: str
    variant: str
    seed: int
    crops: int


class Measured(NamedTuple):
    """One ablation on one network, in one framework, on one set of data."""

    ablation: str
    network: str
    framework: str
    data: str
    epochs: int | None
    baseline: float  # mean errors, as shares of 1
    variant: float
    difference: Interval
    signature: str  # of the first pair


def scored(trials: Iterable[Row]) -> dict[Scoring, Row]:
    """The trials that came to an error."""
    return {
        Scoring(row["framework"], row["variant"], row["seed"], row["crops"]): row
        for row in trials
        if row.get("top1_error") is not None
    }


def pairs(trials: Sequence[Row], ablations: Iterable[tuple[Ablation, str, str]]) -> list[Row]:
    """A row for each ablation and seed of which both sides are there.

    `ablations` come with the names of their baseline's and their variant's trials.
    """
    found = scored(trials)
    rows = []
    for ablation, baseline, variant in ablations:
        for scoring, before in found.items():
            if (scoring.variant, scoring.crops) != (baseline, ablation.crops[0]):
                continue
            after = found.get(scoring._replace(variant=variant, crops=ablation.crops[1]))
            if after is not None:
                rows.append(_pair(ablation, variant, before, after))
    return rows


def _pair(ablation: Ablation, variant: str, before: Row, after: Row) -> Row:
    return {
        "ablation": ablation.name,
        "variant": variant,
        "seed": before["seed"],
        "baseline_error": before["top1_error"],
        "variant_error": after["top1_error"],
        "difference": after["top1_error"] - before["top1_error"],
        "epochs": after["epochs"],
        "data": after["data"],
        "signature": after["signature"],
        "framework": after["framework"],
        "network": after["network"],
        "images": after["images"],
        "baseline_top5": before["top5_error"],
        "variant_top5": after["top5_error"],
        "crops": f"{ablation.crops[1]} against {ablation.crops[0]}",
        "note": ablation.note or None,
    }


def by_ablation(rows: Iterable[Row]) -> dict[str, list[Measured]]:
    """The rows of `ablation` put together over seeds: per framework, network and data, in the order they came."""
    groups: dict[tuple[str, ...], dict[int, Row]] = {}
    for row in rows:
        if row.get("difference") is None:
            continue
        parts = signatures.parts(row)
        where = (parts.get("network", ""), parts.get("framework", ""), str(row.get("data")), str(row.get("epochs")))
        seeds = groups.setdefault((str(row["ablation"]), *where), {})
        seeds[int(row["seed"])] = row  # a seed measured twice counts once, as it was last
    found: dict[str, list[Measured]] = {}
    for (ablation, network, framework, data, _), seeds in groups.items():
        together = _together(ablation, network, framework, data, list(seeds.values()))
        found.setdefault(ablation, []).append(together)
    return found


def _together(ablation: str, network: str, framework: str, data: str, rows: list[Row]) -> Measured:
    before, after = (sum(row[name] for row in rows) / len(rows) for name in ("baseline_error", "variant_error"))
    found = statistics.mean([row["difference"] for row in rows])
    epochs = rows[0].get("epochs")
    signature = str(rows[0].get("signature") or "")
    return Measured(ablation, network, framework, data, epochs, before, after, found, signature)
