"""Two runs of speed beside each other: what differs around them, how much faster the second is, setting by setting."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from reports.document import Document, Note, Section, Table, Tone, Toned, Verdict
from reports.documents import common
from reports.documents.speed import STATUSES
from reports.format import Row, clean, factor, for_spreadsheet, plural, text
from reports.schema import Column, Detail
from reports.summaries import compare as summary
from reports.summaries.compare import Broken, Comparison, Pair

TONES: dict[str, Tone] = {"faster": "good", "slower": "bad"}
INTERVAL = "The interval holds what varied within the two runs; what differs from day to day is not in it."

PAIRS = (
    Column("setting", meaning="Framework, tuning, and what not all settings share.", detail=Detail.BRIEF),
    Column("a", "Float64", "Images/s in A.", label="A images/s", detail=Detail.BRIEF),
    Column("b", "Float64", "Images/s in B.", label="B images/s", detail=Detail.BRIEF),
    Column("over", "Float64", "images/s of B over those of A.", label="B over A", format="factor", detail=Detail.BRIEF),
    Column("verdict", meaning="Significant where the interval leaves out 1.", brief_label=" ", detail=Detail.BRIEF),
)


def document(comparison: Comparison, broken: Broken) -> Document:
    """Warnings first, since they say how to read the rest; then the settings, and what only one run measured."""
    runs = [Note(status=name, title=clean(run.name)) for name, run in (("A", comparison.a), ("B", comparison.b))]
    shared = _shared(comparison.pairs)
    rows = [_row(pair, shared) for pair in comparison.pairs]
    table = [Table(columns=PAIRS, rows=rows, caption="images/s of B over A, setting by setting")] if rows else []
    only = [Note(text=f"only in {run}: {said}") for run in comparison.only for said in only_in(comparison, run)]
    warned = [Note(text=f"warning: {said}", tone="doubtful") for said in warnings(comparison)]
    met = [Note(text=line, tone="bad") for line in broken_lines(broken)]
    sections = (
        Section(title="The runs", blocks=[*runs, *warned], quiet=True),
        Section(title=", ".join(shared), lead=INTERVAL if rows else "", blocks=[*table, *only]),
    )
    return Document(
        title="alexbench compare",
        verdict=Verdict(_sentence(comparison)),
        sections=tuple(section for section in sections if section.blocks),
        findings=(Section(title="Rules that are broken", blocks=met, quiet=True),) if met else (),
    )


def as_csv(comparison: Comparison) -> str:
    """The pairs, a line each."""
    file = io.StringIO()
    writer = csv.DictWriter(file, summary.HEADER, lineterminator="\n")
    writer.writeheader()
    for row in summary.rows(comparison):
        writer.writerow({name: for_spreadsheet(cell) if isinstance(cell, str) else cell for name, cell in row.items()})
    return file.getvalue()


def as_json(comparison: Comparison, broken: Broken) -> str:
    """Everything there is to say, as plain values."""
    mean = comparison.mean
    data: dict[str, Any] = {
        "a": clean(comparison.a.name),
        "b": clean(comparison.b.name),
        "pairs": summary.rows(comparison),
        "geometric_mean": None if mean is None else {"ratio": mean.value, "low": mean.low, "high": mean.high},
        "only_a": only_in(comparison, "A"),
        "only_b": only_in(comparison, "B"),
        "warnings": warnings(comparison),
        "broken": [
            {"rule": rule, "setting": setting_name(pair.a), "ratio": pair.ratios[_column(rule)]}
            for rule, pairs in broken.items()
            for pair in pairs
        ],
    }
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def setting_parts(row: Row) -> list[str]:
    """A setting in words, what goes without saying left out: who, network, device, precision, phase, split, batch."""
    parts = [" ".join(filter(None, [text(row, "framework"), text(row, "tuning")]))]
    parts += [text(row, name) for name in ("network", "device", "precision", "phase")]
    if text(row, "devices") not in ("", "1") or text(row, "split") not in ("", "none"):
        parts.append(f"{text(row, 'split')} x{text(row, 'devices')}")
    parts += [f"batch {text(row, 'batch_size')}"] if text(row, "batch_size") else []
    parts += [f"{text(row, 'input')} input"] if text(row, "input") not in ("", "synthetic") else []
    return [part for part in parts if part]


def setting_name(row: Row) -> str:
    """`torch tuned, paper, cpu, float32, train-step, batch 32`."""
    return ", ".join(setting_parts(row))


def broken_lines(broken: Broken) -> list[str]:
    """A line for each pair that breaks a rule."""
    return [
        f"--fail-if {rule!r} is met: {setting_name(pair.a)}: {pair.ratios[_column(rule)]:.3f}x"
        for rule, pairs in broken.items()
        for pair in pairs
    ]


def warnings(comparison: Comparison) -> list[str]:
    """What differs around the runs, and each doubt about a pair, once with its count."""
    told = [
        f"{clean(run.name)} was not finished (status {clean(str(run.facts.get('status')))})"
        for run in (comparison.a, comparison.b)
        if run.facts.get("status") != "complete"
    ]
    told += common.differing(comparison.differences)
    doubts: dict[str, list[str]] = {}
    for pair in comparison.pairs:
        for doubt in _doubts(pair):
            doubts.setdefault(doubt, []).append(setting_name(pair.a))
    for doubt, names in doubts.items():
        rest = f" and {len(names) - 1} more" if len(names) > 1 else ""
        told.append(f"{doubt}: {names[0]}{rest}")
    return told


def only_in(comparison: Comparison, run: str) -> list[str]:
    """The settings that only this run, A or B, measured, with what became of them in the other."""
    return [
        setting_name(row) + ("" if other is None else f" ({_status(other)} in the other)")
        for row, other in comparison.only[run].values()
    ]


def _status(row: Row) -> str:
    status = text(row, "status")
    return STATUSES.get(status, status or "no figure")


def _doubts(pair: Pair) -> Iterator[str]:
    """Why the pair should be read with care."""
    yield from (f"not stable in {run}" for run, row in (("A", pair.a), ("B", pair.b)) if text(row, "stable") == "no")
    if pair.emulated:
        yield "emulated devices"
    if not pair.speed.known:
        yield "fewer than two blocks: no interval"


def _sentence(comparison: Comparison) -> str:
    """The geometric mean over all pairs."""
    mean = comparison.mean
    if mean is None:
        return "The runs have no measured setting in common."
    of = f"{plural(len(comparison.pairs), 'setting')} in both runs"
    if not mean.known:
        return f"B over A, geometric mean: {mean.value:.3f}x, without an interval ({of})."
    verdict = "" if mean.significant else ", not significant"
    return f"B over A, geometric mean: {factor(mean)}{verdict} ({of})."


def _shared(pairs: Sequence[Pair]) -> list[str]:
    """What all settings share, to be said once; who computed is said on every line."""
    if len(pairs) < 2:
        return []
    parts = [setting_parts(pair.a)[1:] for pair in pairs]
    return [part for part in parts[0] if all(part in other for other in parts)]


def _row(pair: Pair, shared: Sequence[str]) -> Row:
    return {
        "setting": ", ".join(part for part in setting_parts(pair.a) if part not in shared),
        "a": pair.a["images_per_s"],
        "b": pair.b["images_per_s"],
        "over": pair.speed,
        "verdict": Toned(pair.verdict, TONES.get(pair.verdict.rpartition(" ")[2], "plain")),
    }


def _column(rule: str) -> str:
    return rule.partition("<")[0].partition(">")[0]
