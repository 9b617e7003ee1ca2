"""An audit: every departure in order of consequence, what it alone does, and why it matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from reports.document import Document, Note, Row, Section, Table, Tone, Toned, Verdict
from reports.documents import common
from reports.documents.common import Run
from reports.format import clean, figure, number, plural, text, written
from reports.schema import Column, Detail, column
from reports.summaries import audit as summary

if TYPE_CHECKING:
    from reports.figures.style import Drawing


class Consequence(NamedTuple):
    """What a kind of consequence is called."""

    meaning: str  # of one departure
    counted: str  # of several
    tone: Tone = "plain"


# In the order in which an audit tells them.
CONSEQUENCES: dict[str, Consequence] = {
    "foreign layer": Consequence("a layer that is not AlexNet's", "with foreign layers", "bad"),
    "another function": Consequence("change the function", "changing the function", "bad"),
    "other shapes": Consequence("change the shapes of weights", "changing the weights' shapes", "doubtful"),
    "not measured": Consequence("not measured", "not measured"),
    "training only": Consequence("matter in training only", "of training only"),
    "same function": Consequence("the same function here", "without effect", "good"),
}
MEASURED = (
    "Logits and gradient: the reference with the one departure beside the reference, with the same weights on the same "
    "photographs in float64; change is the norm of the difference over the reference's norm, gradients are of training "
    "mode with shared labels and dropout masks. Counts are the reference with the one departure less the reference, "
    "for one image; memory is every layer's output and the weights in float32, in MiB."
)
DEPARTURES = (
    Column("departure", meaning="What departs, and in which layers of the reference.", detail=Detail.BRIEF),
    column("audit", "theirs", label="here", detail=Detail.BRIEF),
    column("audit", "reference", detail=Detail.BRIEF),
    column("audit", "consequence"),
    column("audit", "logits_change", brief_label="logits", format="change", detail=Detail.BRIEF),
    column("audit", "logits_cosine", label="cosine", format="cosine", detail=Detail.BRIEF, spare=1),
    column("audit", "top5_kept", label="top-5 kept", format="whole share", detail=Detail.BRIEF, spare=1),
    column("audit", "gradient_change", brief_label="gradient", format="change", detail=Detail.BRIEF),
    column("audit", "gradient_cosine", label="its cosine", brief_label="cosine", format="cosine",
           detail=Detail.BRIEF, spare=1),
    column("audit", "parameters_change", label="parameters", format="signed", detail=Detail.BRIEF, spare=2),
    column("audit", "multiply_adds_change", label="multiply-adds", format="signed", detail=Detail.BRIEF, spare=2),
    column("audit", "memory_change_mb", label="memory", format="signed"),
)  # fmt: skip
CHANGES = {"parameters_change": "parameters", "multiply_adds_change": "multiply-adds", "memory_change_mb": "MiB"}
TOTALS = {"parameters": "parameters", "multiply_adds": "multiply-adds", "memory_mb": "MiB for one image"}
PICTURE = "What each departure alone does"
ALT = "Bars of the relative change of logits and gradient for each departure that was measured, on a logarithmic scale"


def document(tables: Mapping[str, pd.DataFrame], run: Run) -> Document:
    """The document of an audit."""
    audit = tables["audit"]
    verdict = Verdict(_sentence(audit, run), "good")
    if summary.departures(audit):
        verdict = replace(verdict, tone="doubtful", word="departs")
    elif common.unfinished(run):
        verdict = Verdict("Nothing was compared.", "bad")
    return common.document(
        run,
        verdict,
        [
            Section(title="Departures", quiet=True, lead=MEASURED, blocks=_departures(audit)),
            Section(title="Why each matters", quiet=True, blocks=_reasons(audit)),
            Section(title="The networks as a whole", quiet=True, blocks=_totals(run)),
            common.picture("departures", PICTURE, lambda: _draw(audit, run), ALT),
        ],
        [common.failures(run)],
        _caveats(run),
    )


def listing(tables: Mapping[str, pd.DataFrame], run: Run) -> Document:
    """The departures alone, for a page of the reader's own."""
    return replace(document(tables, run), title="", machine="", signature="", command="", facts={})


def _draw(audit: pd.DataFrame, run: Run) -> Drawing | None:
    from reports.figures import departures

    return departures.figure(audit, run)


def _sentence(audit: pd.DataFrame, run: Run) -> str:
    """As in "caffe departs from paper in 6 ways: 4 changing the function, 2 of training only."."""
    theirs, ours = (clean(str(run.get(name, ""))) for name in ("network", "against"))
    counts = summary.consequences(audit)
    if not counts:
        return f"{theirs} does not depart from {ours}."
    known = [f"{counts[name]} {one.counted}" for name, one in CONSEQUENCES.items() if counts[name]]
    return f"{theirs} departs from {ours} in {plural(counts.total(), 'way')}: {', '.join(known)}."


def _departures(audit: pd.DataFrame) -> list[Table]:
    rows = [{**row, "departure": Toned(row["departure"], _told(row).tone)} for row in summary.rows(audit)]
    return [Table(columns=DEPARTURES, rows=rows, signed=True, caption="Departures and their effect")] if rows else []


def _told(row: Row) -> Consequence:
    name = text(row, "consequence")
    return CONSEQUENCES.get(name, Consequence(name, name))


def _reasons(audit: pd.DataFrame) -> list[Note]:
    together = [row for row in summary.rows(audit) if summary.is_together(row) and text(row, "note")]
    return [
        *(_reason(row) for row in summary.departures(audit)),
        *(Note(text=f"Not measured together: {text(row, 'note')}") for row in together),
    ]


def _reason(row: Row) -> Note:
    costs = [f"{written(row[name], 'signed')} {unit}" for name, unit in CHANGES.items() if number(row, name)]
    lines = [
        text(row, "why"),
        f"Alone: {', '.join(costs)}" if costs else "",
        f"Not measured: {text(row, 'note')}" if text(row, "note") else "",
    ]
    told = _told(row)
    return Note(title=f"{row['departure']}  ({told.meaning})", tone=told.tone, text="\n".join(filter(None, lines)))


def _totals(run: Run) -> list[Note]:
    """`In all 60,965,224 parameters (60,965,224), …`, nothing where they are not known."""
    theirs, ours = run.get("totals"), run.get("reference_totals")
    if not isinstance(theirs, Mapping) or not isinstance(ours, Mapping):
        return []
    said = [f"{_count(theirs.get(name))} {unit} ({_count(ours.get(name))})" for name, unit in TOTALS.items()]
    return [Note(text=f"In all {', '.join(said)}; the reference's in brackets.")]


def _caveats(run: Run) -> list[Note]:
    """What the source does not say, and what else its reader noticed."""
    silent = [clean(str(one)) for one in run.get("silent") or ()]
    said = [f"The source says nothing of {', '.join(silent)}: not compared."] if silent else []
    said += [_as_sentence(clean(str(one))) for one in run.get("remarks") or ()]
    return [Note(text=one) for one in said]


def _count(value: Any) -> str:
    if not isinstance(value, int | float):
        return "?"
    return f"{value:,}" if isinstance(value, int) else figure(value)


def _as_sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:]}{'' if said.endswith('.') else '.'}"
