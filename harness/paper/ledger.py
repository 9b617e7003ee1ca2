"""The ledger: every claim with the paper's figure, ours and a verdict that is computed, never typed in.

holds, contradicted     the description of the network decides
misnamed                of the study notes alone: the figure is right of another thing than the note says
measured                on the data named, which are rarely the paper's: a figure with its interval, and no judgement
needs ImageNet          or other data; the commands that would decide stand beside it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from harness import environment
from harness.paper import (
    claims_of_notes,
    claims_of_results,
    claims_of_shape,
    claims_of_training,
    figure_one,
    results,
    variants,
)
from harness.paper.ablation_rows import Measured, by_ablation
from harness.paper.claims import EmpiricalClaim, ExactClaim, NoteClaim
from harness.paper.evidence import Evidence, Row
from impls import catalog
from impls.spec import Network
from reports import published
from reports.format import plural
from reports.statistics import Interval

EXACT: tuple[ExactClaim, ...] = (*claims_of_shape.CLAIMS, *claims_of_training.CLAIMS)
EMPIRICAL: tuple[EmpiricalClaim, ...] = claims_of_results.CLAIMS

NOTES: tuple[NoteClaim, ...] = claims_of_notes.CLAIMS

Found = list[tuple[ExactClaim, Row]]
FoundOfNotes = list[tuple[NoteClaim, Row]]

NOTE = "note"  # the beginning of the section of what a study note says


def exact(network: Network, claims: Iterable[ExactClaim] = EXACT) -> Found:
    """Each claim with its row, derived from this network now."""
    signature = environment.signature(network=network.name)
    return [(claim, _exact_row(claim, network, signature)) for claim in claims]


def unexpected(found: Found) -> list[str]:
    """One line for each claim that should hold and does not."""
    return [
        f"section {claim.section}: {claim.claim}: the paper has {row['paper']}, the network gives {row['ours']}"
        for claim, row in found
        if claim.known == "holds" and row["verdict"] != "holds"
    ]


def of_notes(claims: Iterable[NoteClaim] = NOTES, network: Callable[[str], Network] = catalog.get) -> FoundOfNotes:
    """Each statement of the notes with its row. `network` gives the one of a name."""
    signatures = {name: environment.signature(network=name) for name in {claim.of for claim in claims}}
    return [(claim, _note_row(claim, network(claim.of), signatures[claim.of])) for claim in claims]


def unexpected_of_notes(found: FoundOfNotes) -> list[str]:
    """One line for each statement of a note whose verdict is another than the one it is known to have."""
    return [
        f"{row['section']}: {claim.claim}: {row['verdict']} and not {claim.known}: the note has {row['paper']},"
        f" network {claim.of!r} gives {row['ours']}"
        for claim, row in found
        if row["verdict"] != claim.known
    ]


def empirical(evidence: Evidence, claims: Iterable[EmpiricalClaim] = EMPIRICAL) -> list[Row]:
    """Each claim with what was measured of it, or with what would decide it."""
    return [row for claim in claims for row in _measured(claim, evidence) or [_open(claim)]]


def in_order(rows: Iterable[Row]) -> list[Row]:
    """By the paper's sections, then by note; within a note as it stands there."""
    return sorted(rows, key=_place)


def _place(row: Row) -> tuple[str, tuple[int, ...]]:
    section = str(row["section"])
    if section.startswith(NOTE):
        return section, ()
    return "", tuple(int(part) for part in section.split(".") if part.isdecimal())


def _row(claim: ExactClaim | EmpiricalClaim) -> Row:
    return {
        "section": claim.section,
        "claim": claim.claim,
        "source": claim.source,
        "paper": claim.paper,
        "ours": None,
        "low": None,
        "high": None,
        "verdict": None,
        "on": None,
        "command": None,
        "note": None,
        "signature": None,
    }


def _exact_row(claim: ExactClaim, network: Network, signature: str) -> Row:
    found = claim.check(network)
    verdict = "holds" if found.agrees else "contradicted"
    return {**_row(claim), "ours": found.ours, "verdict": verdict, "note": found.note, "signature": signature}


def _note_row(claim: NoteClaim, network: Network, signature: str) -> Row:
    found = claim.check(network)
    instead = f"the note's figure is that of {found.instead}" if found.instead and not found.agrees else ""
    row: Row = dict.fromkeys(("low", "high", "command"))
    return {
        **row, "section": f"{NOTE} {claim.note}", "claim": claim.claim, "paper": claim.figure, "ours": found.ours,
        "source": f"{claims_of_notes.FILES[claim.note]}, {claim.place}", "verdict": found.verdict,
        "on": f"network {claim.of}", "note": "; ".join(filter(None, [instead, found.note])), "signature": signature,
    }  # fmt: skip


def _open(claim: EmpiricalClaim) -> Row:
    commands = "; then ".join(claim.commands)
    return {**_row(claim), "verdict": f"needs {claim.needs}", "command": commands or None, "note": claim.note}


def _measured(claim: EmpiricalClaim, evidence: Evidence) -> list[Row]:
    if claim.result is not None:
        return [_of_evaluation(claim, row) for row in results.comparable(evidence.evaluation, claim.result)]
    if claim.ablation == "figure-1":
        return _of_figure_one(claim, evidence.training_error)
    if claim.source == "figure 3":
        return _of_kernels(claim, evidence.colour)
    found = by_ablation(evidence.ablation).get(claim.ablation, ())
    return [_of_ablation(claim, one) for one in found if one.data.startswith(claim.ablation_on)]


def _of_evaluation(claim: EmpiricalClaim, row: Row) -> Row:
    """On the very images of the paper: its figure lies in our interval, or does not."""
    inside = _inside(row, "top1") and _inside(row, "top5")
    found = f"{claims_of_results.percent(100 * row['top1_error'], 100 * row['top5_error'])} in {row['framework']}"
    note = f"the paper's figures lie {'in' if inside else 'outside'} our 95 % intervals"
    return {
        **_row(claim), "ours": found, "low": row["top1_low"], "high": row["top1_high"], "verdict": "measured",
        "on": f"{row['data']} {row['part']}, {row['images']} images", "note": note, "signature": row.get("signature"),
    }  # fmt: skip


def _inside(row: Row, name: str) -> bool:
    """Whether the published figure, where there is one, is in the interval of ours."""
    paper, low, high = row.get(f"paper_{name}"), row.get(f"{name}_low"), row.get(f"{name}_high")
    return paper is None or (low is not None and high is not None and low <= paper <= high)


def _is_what_it_needs(claim: EmpiricalClaim, data: str) -> bool:
    """Whether these are the data that decide a claim."""
    return bool(published.edition(data)) if claim.needs == "ImageNet" else data.startswith("cifar10")


def _of_ablation(claim: EmpiricalClaim, found: Measured) -> Row:
    difference = found.difference
    shown = "a difference is shown" if difference.excludes(0.0) else "no difference is shown"
    if not difference.known:
        shown = "one seed tells nothing of the spread"
    errors = f"top-1 error {found.baseline:.2%} against {found.variant:.2%} with {found.ablation}"
    epochs = f", {found.epochs} epochs" if found.epochs else ""
    caution = "" if _is_what_it_needs(claim, found.data) else f"not {claim.needs}: the paper's question, on other data"
    how = next((one.note for one in variants.ABLATIONS if one.name == found.ablation), "")
    note = "; ".join(filter(None, [f"{shown}: {errors}", how, caution, claim.note]))
    return {
        **_row(claim), "ours": _points(difference), "low": difference.low, "high": difference.high,
        "verdict": "measured", "on": f"{found.data}, {found.network} in {found.framework}{epochs}",
        "command": "; then ".join(claim.commands) or None, "note": note, "signature": found.signature,
    }  # fmt: skip


def _of_figure_one(claim: EmpiricalClaim, rows: Sequence[Row]) -> list[Row]:
    if not rows:
        return []
    found, missing = figure_one.ratio(rows)
    first = rows[0]
    target = f"{figure_one.TARGET:.0%} training error"
    if found is None:
        ours, low, high = f"not both came down to {target}", None, None
    else:
        ours, low, high = _times(found), found.low, found.high
    note = f"epochs until {target}, each at the fastest of {len(figure_one.RATE_STEPS)} learning rates"
    note += "" if _is_what_it_needs(claim, str(first.get("data"))) else f"; not {claim.needs}"
    if missing:
        seeds = f"{missing} seed{'s' * (missing != 1)}"
        note += f"; {seeds} left out, because one of the two never came there: the true figure may lie far off"
    return [
        {
            **_row(claim), "ours": ours, "low": low, "high": high, "verdict": "measured",
            "on": f"{first.get('data')}, {first.get('network')} in {first.get('framework')}",
            "command": "; then ".join(claim.commands), "note": note, "signature": first.get("signature"),
        }
    ]  # fmt: skip


def _times(found: Interval) -> str:
    """`1.28 (0.85 to 1.93) times, n = 5 seeds`."""
    held = "" if found.low is None or found.high is None else f" ({found.low:.2f} to {found.high:.2f})"
    return f"{found.value:.2f}{held} times, {_seeds(found)}"


def _points(found: Interval) -> str:
    """`+1.30 ± 0.90 points, n = 5 seeds`."""
    held = "" if found.low is None or found.high is None else f" ± {50 * (found.high - found.low):.2f}"
    return f"{100 * found.value:+.2f}{held} points, {_seeds(found)}"


def _seeds(found: Interval) -> str:
    return f"n = {plural(found.blocks or 0, 'seed')}"


def _of_kernels(claim: EmpiricalClaim, rows: Sequence[Row]) -> list[Row]:
    """One row per weights file of two towers."""
    found = []
    for row in rows:
        ours = f"colour in the kernels: tower 1 {row['tower_1']:.0%}, tower 2 {row['tower_2']:.0%}"
        note = f"share of the kernels' energy that is no grey; the towers differ by {row['difference']:+.0%}"
        found.append({
            **_row(claim), "ours": ours, "low": row["low"], "high": row["high"], "verdict": "measured",
            "on": row["on"], "note": note, "signature": row["signature"],
        })  # fmt: skip
    return found
