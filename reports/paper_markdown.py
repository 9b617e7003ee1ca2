"""`alexbench paper` as `report.md`: the ledger by verdict, the paper's tables beside ours, ablations, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports import export_markdown, run_facts
from reports.format import Row, clean, number, percent, text
from reports.paper_summary import beside, differ, difference
from reports.summaries import notes as paper_notes
from reports.summaries.paper import MEASURED, NEEDS, VERDICTS, Ablated, digest, has_ours, is_comparable

ABLATIONS = (
    "Baseline and variant were trained from the same seed on the same stream of images; the difference is variant less "
    "baseline, in points of top-1 error, its 95 % interval Student's over the seeds."
)
OF_THE_PAPER = ("Table", "section")  # the beginnings of its tables' names; others published figures too
TABLES = "Top-1 / top-5 error in %, ours with 95 % intervals."


def markdown(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The report. `tables` is kind -> rows, `run` what `run.json` holds, `pictures` file name -> title."""
    found = digest(tables, run)
    sections = [f"# alexbench {run.get('command', 'paper')}", f"**{_escaped(found.sentence)}**"]
    sections.append(run_facts.opening(run))
    failures = [clean(str(one)) for one in run.get("failures") or ()]
    sections += ["## What failed", "\n".join(f"- {_escaped(said)}" for said in failures)] if failures else []
    for table, rows in found.tables.items():
        heading = f"The paper's {table}" if table.startswith(OF_THE_PAPER) else table.capitalize()
        sections += [f"## {_escaped(heading)}", TABLES, _table(rows), _escaped(differ(rows))]
    for verdict, rows in found.claims.items():
        sections += [f"## {_escaped(VERDICTS.get(verdict, verdict))}", _claims(verdict, rows)]
    sections += paper_notes.markdown(found.notes)
    if found.ablations:
        sections += ["## Ablations", ABLATIONS, _ablations(found.ablations)]
    sections += export_markdown.pictures(pictures)
    return "\n\n".join(filter(None, [*sections, "## The run", run_facts.markdown(run)])) + "\n"


def _table(rows: Sequence[Row]) -> str:
    cells = {
        "model": [text(row, "model") for row in rows],
        "paper": [beside(row)[0] for row in rows],
        "ours": [beside(row)[1] for row in rows],
        "of": [text(row, "run") for row in rows],
        "on": [text(row, "data") for row in rows],
        "comparable": [_comparable(row) for row in rows],
        "note": [text(row, "note") for row in rows],
    }
    return export_markdown.signed(cells, rows)


def _comparable(row: Row) -> str:
    if not has_ours(row):
        return ""
    return "yes" if is_comparable(row) else "no"


def _claims(verdict: str, rows: Sequence[Row]) -> str:
    cells = {
        "section": [text(row, "section") for row in rows],
        "claim": [text(row, "claim") for row in rows],
        "source": [text(row, "source") for row in rows],
        "paper": [text(row, "paper") for row in rows],
        "ours": [text(row, "ours") for row in rows],
    }
    if verdict == MEASURED:
        cells["95 % interval"] = [_interval(row) for row in rows]
        cells["on"] = [text(row, "on") for row in rows]
    if verdict == NEEDS:
        cells["needs"] = [text(row, "verdict").removeprefix(NEEDS).strip() for row in rows]
    if verdict in (NEEDS, MEASURED):
        cells["decided by"] = [text(row, "command") for row in rows]
    cells["note"] = [text(row, "note") for row in rows]
    return export_markdown.signed(cells, rows)


def _interval(row: Row) -> str:
    """Of an error; what was measured over seeds says its own, in its own unit."""
    low, high = number(row, "low"), number(row, "high")
    if low is None or high is None or "n = " in text(row, "ours"):
        return ""
    return f"{percent(low)} to {percent(high)} %"


def _ablations(found: Sequence[Ablated]) -> str:
    cells = {
        "ablation": [one.ablation for one in found],
        "on": [one.where for one in found],
        "seeds": [str(one.seeds) for one in found],
        "baseline %": [percent(one.baseline) for one in found],
        "variant %": [percent(one.variant_error) for one in found],
        "difference": [difference(one) for one in found],
        "says": [one.verdict for one in found],
    }
    return export_markdown.signed(cells, [{"signature": one.signature} for one in found])


def _escaped(said: str) -> str:
    return export_markdown.escaped(said)
