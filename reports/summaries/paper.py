"""What the rows of `alexbench paper` amount to: claims by verdict, the notes' apart, tables, ablations over seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean

import pandas as pd

from reports import signatures, statistics
from reports.format import Row, number, plural, text
from reports.tables import groups, records

HOLDS, CONTRADICTED, MEASURED, NEEDS = "holds", "contradicted", "measured", "needs"
MISNAMED = "misnamed"  # of the notes alone
VERDICTS = (CONTRADICTED, MEASURED, HOLDS, NEEDS)  # what surprises comes first
NOTE = "note "  # the beginning of the notes' sections in the ledger


def claims(ledger: pd.DataFrame) -> dict[str, list[Row]]:
    """Verdict -> the paper's own claims, known verdicts first and in the order of VERDICTS.

    A claim that is not decided here has the verdict `needs`, and what it needs in the column of that name.
    """
    found: dict[str, list[Row]] = {verdict: [] for verdict in VERDICTS}
    for row in records(ledger):
        if not text(row, "section").startswith(NOTE):
            verdict, _, what = text(row, "verdict").partition(" ")
            found.setdefault(verdict, []).append({**row, "needs": what if verdict == NEEDS else None})
    return {verdict: rows for verdict, rows in found.items() if rows}


def notes(ledger: pd.DataFrame) -> dict[str, list[Row]]:
    """`note 000` -> its claims, in their order."""
    return {note: rows for (note,), rows in groups(ledger, "section").items() if note.startswith(NOTE)}


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """Verdict of the notes' claims -> how many, the known verdicts first."""
    verdicts = [text(row, "verdict") for row in rows]
    order = dict.fromkeys((HOLDS, CONTRADICTED, MISNAMED, *verdicts))
    return {verdict: verdicts.count(verdict) for verdict in order if verdict in verdicts}


def needs(rows: Iterable[Row]) -> Counter[str]:
    """What claims need that are not decided here -> how many."""
    return Counter(text(row, "needs") for row in rows)


def distinct(rows: Iterable[Row]) -> int:
    """How many claims: one that was measured on two networks counts once."""
    return len({(text(row, "section"), text(row, "claim")) for row in rows})


def has_ours(row: Row) -> bool:
    """Whether a row of `published` has a figure of the user's."""
    return number(row, "ours_top1") is not None or number(row, "ours_top5") is not None


def is_comparable(row: Row) -> bool:
    """Whether ours is of the very images of the published figure."""
    return has_ours(row) and text(row, "comparable") == "yes"


def ablations(ablation: pd.DataFrame) -> list[Row]:
    """A row per ablation, framework, network, data and epochs; of a seed that was measured twice the last counts.

    Columns: ablation, variant, where (`miniature in torch, digits, 8 epochs`), seeds (how many), baseline_error and
    variant_error (means, shares of 1), difference (an Interval over the seeds, variant less baseline), signature.
    """
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in records(ablation):
        if number(row, "baseline_error") is None and number(row, "variant_error") is None:
            continue
        signed = signatures.parts(row)
        names = [text(row, name) or signed.get(name, "") for name in ("framework", "network", "data", "epochs")]
        found.setdefault((text(row, "ablation"), text(row, "variant"), *names), {})[text(row, "seed")] = row
    return [_ablation(key, list(seeds.values())) for key, seeds in found.items()]


def _ablation(key: Sequence[str], rows: Sequence[Row]) -> Row:
    ablation, variant, framework, network, data, epochs = key
    before, after = ([_value(row, name) for row in rows] for name in ("baseline_error", "variant_error"))
    where = [f"{network} in {framework}" if framework else network, data]
    where += [plural(int(epochs), "epoch")] if epochs.isdigit() else []
    return {
        "ablation": ablation,
        "variant": variant,
        "where": ", ".join(filter(None, where)),
        "seeds": len(rows),
        "baseline_error": fmean(before),
        "variant_error": fmean(after),
        "difference": statistics.mean([one - other for one, other in zip(after, before, strict=True)]),
        "signature": rows[0].get("signature"),
    }


def _value(row: Row, name: str) -> float:
    value = number(row, name)
    return math.nan if value is None else value
