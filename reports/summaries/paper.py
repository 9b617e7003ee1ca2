"""What the rows of `alexbench paper` amount to: claims by verdict, tables, ablations over seeds. No rendering."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from reports import signatures, statistics
from reports.format import Row, number, plural, text
from reports.summaries import notes as paper_notes

HOLDS, CONTRADICTED, MEASURED, NEEDS = "holds", "contradicted", "measured", "needs"
# verdict -> its heading; what surprises comes first
VERDICTS = {
    CONTRADICTED: "Contradicted by the paper's own network",
    MEASURED: "Measured",
    HOLDS: "Hold, by the paper's own network",
    NEEDS: "Not decided here",
}


@dataclass(frozen=True, slots=True)
class Ablated:
    """One ablation over its seeds: the difference is variant less baseline, as a share of 1."""

    ablation: str
    variant: str
    where: str  # framework, network, data, epochs
    seeds: int
    baseline: float
    variant_error: float
    difference: float
    half: float | None  # of the 95 % interval, None for a single seed
    signature: str

    @property
    def verdict(self) -> str:
        """What the interval allows to say."""
        if not math.isfinite(self.difference):
            return "not measured: a training broke down"
        if self.half is None:
            return "one seed: no interval"
        if abs(self.difference) <= self.half:
            return "no difference shown"
        return "more errors" if self.difference > 0 else "fewer errors"


@dataclass(frozen=True, slots=True)
class Digest:
    """A run of `alexbench paper` in short."""

    claims: dict[str, tuple[Row, ...]]  # verdict, in the order of VERDICTS -> rows of the ledger
    notes: dict[str, tuple[Row, ...]]  # study note -> its rows of the ledger, which `claims` leaves out
    needs: dict[str, int]  # what claims need that are not decided here -> how many
    tables: dict[str, tuple[Row, ...]]  # table of the paper -> rows of `published`
    ablations: tuple[Ablated, ...]
    sentence: str


def digest(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any]) -> Digest:
    """Sum up the tables of a run: kind -> rows. `run` is what run.json holds."""
    claims: dict[str, list[Row]] = {}
    needs: dict[str, int] = {}
    rows = tables.get("ledger", ())
    notes = paper_notes.by_note(rows)
    for row in rows:
        if paper_notes.is_of_note(row):
            continue
        verdict, _, what = text(row, "verdict").partition(" ")
        claims.setdefault(verdict, []).append(row)
        if verdict == NEEDS:
            needs[what] = needs.get(what, 0) + 1
    known = {verdict: tuple(claims[verdict]) for verdict in VERDICTS if verdict in claims}
    known |= {verdict: tuple(found) for verdict, found in claims.items() if verdict not in VERDICTS}
    published: dict[str, list[Row]] = {}
    for row in tables.get("published", ()):
        published.setdefault(text(row, "table"), []).append(row)
    return Digest(
        claims=known,
        notes=notes,
        needs=dict(sorted(needs.items(), key=lambda item: -item[1])),
        tables={table: tuple(found) for table, found in published.items()},
        ablations=_ablations(tables.get("ablation", ())),
        sentence=_sentence(known, needs, notes, len(run.get("failures") or ())),
    )


def has_ours(row: Row) -> bool:
    """Whether a row of `published` has a figure of the user's."""
    return number(row, "ours_top1") is not None or number(row, "ours_top5") is not None


def is_comparable(row: Row) -> bool:
    """Whether ours is of the very images of the published figure."""
    return has_ours(row) and text(row, "comparable") == "yes"


def _ablations(rows: Sequence[Row]) -> tuple[Ablated, ...]:
    """Over seeds; of a seed that was measured twice the last row counts."""
    groups: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        if number(row, "baseline_error") is None and number(row, "variant_error") is None:
            continue
        signed = signatures.parts(row)
        names = [text(row, name) or signed.get(name, "") for name in ("framework", "network", "data", "epochs")]
        key = (text(row, "ablation"), text(row, "variant"), *names)
        groups.setdefault(key, {})[text(row, "seed")] = row
    return tuple(_ablated(key, list(found.values())) for key, found in groups.items())


def _ablated(key: Sequence[str], rows: Sequence[Row]) -> Ablated:
    ablation, variant, framework, network, data, epochs = key
    before, after = ([_value(row, name) for row in rows] for name in ("baseline_error", "variant_error"))
    differences = [one - other for one, other in zip(after, before, strict=True)]
    found = statistics.mean(differences)
    where = [f"{network} in {framework}" if framework else network, data]
    where += [plural(int(epochs), "epoch")] if epochs.isdigit() else []
    return Ablated(
        ablation=ablation,
        variant=variant,
        where=", ".join(filter(None, where)),
        seeds=len(rows),
        baseline=fmean(before),
        variant_error=fmean(after),
        difference=found.value,
        half=None if found.high is None else found.high - found.value,
        signature=text(rows[0], "signature"),
    )


def _value(row: Row, name: str) -> float:
    value = number(row, name)
    return math.nan if value is None else value


def distinct(rows: Sequence[Row]) -> int:
    """How many claims: one that was measured on two networks counts once."""
    return len({(text(row, "section"), text(row, "claim")) for row in rows})


def _sentence(
    claims: Mapping[str, Sequence[Row]], needs: Mapping[str, int], notes: Mapping[str, Sequence[Row]], failures: int
) -> str:
    apart = paper_notes.sentence(notes)
    if not claims:
        return apart or "No claim was looked at."
    counts = {verdict: distinct(rows) for verdict, rows in claims.items()}
    parts = [f"{counts[HOLDS]} {'holds' if counts[HOLDS] == 1 else 'hold'}"] if HOLDS in counts else []
    parts += [f"{counts[CONTRADICTED]} contradicted by the paper's own network"] if CONTRADICTED in counts else []
    parts += [f"{counts[MEASURED]} measured"] if MEASURED in counts else []
    parts += [f"{counts[verdict]} {verdict}" for verdict in counts if verdict not in VERDICTS]
    parts += [f"{count} {'needs' if count == 1 else 'need'} {what}" for what, count in needs.items()]
    parts += [f"{plural(failures, 'failure')}"] if failures else []
    return " ".join(filter(None, [f"{plural(sum(counts.values()), 'claim')}: {', '.join(parts)}.", apart]))
