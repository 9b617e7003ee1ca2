"""A paper run: which claims hold, the paper's tables beside the user's figures, ablations, the paper's figures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from reports import published
from reports.document import Block, Document, Note, Picture, Row, Section, Table, Tone, Verdict
from reports.documents import common
from reports.documents.common import Run
from reports.format import between, number, percent, plural, text
from reports.schema import Column, Detail, column, columns
from reports.statistics import Interval
from reports.summaries import paper as summary
from reports.summaries.paper import CONTRADICTED, HOLDS, MEASURED, NEEDS, NOTE, distinct, has_ours
from reports.tables import groups, records

if TYPE_CHECKING:
    from reports.figures.style import Drawing

HEADINGS: dict[str, tuple[str, Tone]] = {
    CONTRADICTED: ("Contradicted by the paper's own network", "doubtful"),
    MEASURED: ("Measured", "plain"),
    HOLDS: ("Hold, by the paper's own network", "good"),
    NEEDS: ("Not decided here", "faint"),
}
CLAIMS = (
    *columns("ledger", ("section", "claim", "source", "paper", "ours")),
    Column("interval", meaning="The 95 % interval of an error.", label="95 % interval"),
    column("ledger", "on"),
    Column("needs", meaning="The data that would decide it."),
    column("ledger", "command", label="decided by"),
    column("ledger", "note"),
)
OF_NOTES = (
    Column("where", meaning="The place in the note."),
    column("ledger", "claim"),
    column("ledger", "paper", label="note"),
    *columns("ledger", ("ours", "verdict")),
    column("ledger", "note", label="why"),
)
NOTES = (
    "Statements of five study notes on the paper, quoted in English, beside what the paper's network, the note's own "
    "listing or a small computation gives. A figure is misnamed where it is right, but of another thing."
)
MAX_OF_NOTE = 2  # claims of a note that a terminal shows
PUBLISHED = (
    column("published", "model"),
    Column("paper", meaning="The published top-1 and top-5 error in percent."),
    Column("ours", meaning="Yours, with 95 % intervals."),
    column("published", "run", label="of"),
    column("published", "data", label="on"),
    *columns("published", ("comparable", "note")),
)
BESIDE = [Column(name, detail=Detail.BRIEF) for name in ("figure", "paper", "ours", "of")]
TABLES = "The paper's tables: top-1 / top-5 error in %, ours with 95 % intervals"
NO_EVALUATION = "Tables 1 and 2: no evaluation was given; name run folders of alexbench evaluate to see ours beside."
OF_THE_PAPER = ("Table", "section")  # the beginnings of its tables' names; others published figures too
ABLATED = (
    column("ablation", "ablation", brief_label="changed", detail=Detail.BRIEF),
    Column("where", label="on"),
    Column("seeds", "Int64", detail=Detail.BRIEF),
    column("ablation", "baseline_error", label="baseline %", brief_label="baseline", format="percent",
           detail=Detail.BRIEF),
    column("ablation", "variant_error", label="variant %", brief_label="variant", format="percent",
           detail=Detail.BRIEF),
    column("ablation", "difference", label="difference", format="points", detail=Detail.BRIEF),
    Column("says", meaning="What the interval allows to say.", detail=Detail.BRIEF),
)  # fmt: skip
ABLATIONS = (
    "Baseline and variant were trained from the same seed on the same stream of images; the difference is variant less "
    "baseline, in points of top-1 error, its 95 % interval Student's over the seeds."
)
FIGURE_1 = "Figure 1: training error with ReLU and with tanh"
FIGURE_1_ALT = "Training error against epochs, a curve for ReLU and one for tanh, with the line at 25 %"
FIGURES = {  # beginning of the name of a picture that the command drew from weights -> title, what is to be seen
    "figure3": ("Figure 3: kernels of the first layer", "The kernels of the first layer as small images"),
    "figure4-top5": ("Figure 4: the likeliest classes of test images",
                     "Test images, each with bars of the probabilities of its five likeliest classes"),
    "figure4-neighbours": ("Figure 4: test images and their nearest training images",
                           "Rows of a test image and the training images whose features are nearest to its own"),
}  # fmt: skip
DRAWN = re.compile(rf"({'|'.join(FIGURES)})(?:-([\w.-]+))?\.png")


def document(tables: Mapping[str, pd.DataFrame], run: Run) -> Document:
    """The document of a paper run."""
    claims, notes = summary.claims(tables["ledger"]), summary.notes(tables["ledger"])
    is_good = bool(claims or notes) and not run.get("failures")
    return common.document(
        run,
        Verdict(_sentence(claims, notes, len(run.get("failures") or ())), "good" if is_good else "bad"),
        [
            *(_claims(verdict, rows) for verdict, rows in claims.items()),
            _notes(notes),
            _published(tables["published"]),
            _ablations(tables["ablation"]),
            *_pictures(tables["training-error"], run),
        ],
        [common.failures(run)],
    )


def _sentence(claims: Mapping[str, Sequence[Row]], notes: Mapping[str, Sequence[Row]], failures: int) -> str:
    apart = f"The notes' {_counted(_all(notes))}" if notes else ""
    if not claims:
        return apart or "No claim was looked at."
    counts = {verdict: distinct(rows) for verdict, rows in claims.items()}
    words = {HOLDS: _holds(counts.get(HOLDS, 0)), CONTRADICTED: "contradicted by the paper's own network"}
    order = dict.fromkeys((HOLDS, CONTRADICTED, MEASURED, *counts))
    parts = [f"{counts[one]} {words.get(one, one)}" for one in order if one in counts and one != NEEDS]
    parts += _needed(summary.needs(claims.get(NEEDS, ())).items())
    parts += [plural(failures, "failure")] if failures else []
    return f"{plural(sum(counts.values()), 'claim')}: {', '.join(parts)}. {apart}".rstrip()


def _counted(rows: Sequence[Row]) -> str:
    """`3 claims: 1 holds, 2 contradicted.`, of notes."""
    counts = summary.counts(rows)
    parts = [f"{count} {_holds(count) if verdict == HOLDS else verdict}" for verdict, count in counts.items()]
    return f"{plural(len(rows), 'claim')}: {', '.join(parts)}."


def _holds(count: int) -> str:
    return "holds" if count == 1 else "hold"


def _needed(found: Iterable[tuple[str, int]]) -> list[str]:
    return [f"{count} {'needs' if count == 1 else 'need'} {what}" for what, count in found]


def _all(found: Mapping[str, Sequence[Row]]) -> list[Row]:
    return [row for rows in found.values() for row in rows]


def _in_short(*lines: str) -> list[Note]:
    return [Note(text=line, detail=Detail.TERMINAL) for line in lines]


def _claims(verdict: str, rows: Sequence[Row]) -> Section:
    heading, tone = HEADINGS.get(verdict, (verdict, "bad"))
    if verdict == HOLDS:  # what is as one expects needs no table
        lines = ["; ".join(text(row, "claim") for row in rows)]
    elif verdict == NEEDS:
        needed = ", ".join(_needed(summary.needs(rows).most_common()))
        lines = [f"{needed}; the commands that would decide them are in report.md"]
    else:
        lines = [_claim(row) for row in rows]
    shown = [{**row, "interval": _interval(row)} for row in rows]
    table = Table(columns=CLAIMS, rows=shown, signed=True, caption=f"Claims: {heading}", detail=Detail.FULL)
    title = f"{heading}: {plural(distinct(rows), 'claim')}"
    return Section(title=title, tone=tone, blocks=[*_in_short(*lines), table])


def _claim(row: Row) -> str:
    section = text(row, "section")
    said = f"{'§' if section[:1].isdigit() else ''}{section} {text(row, 'claim')}: paper {text(row, 'paper') or '-'}"
    said += f", ours {text(row, 'ours') or '-'}"
    said += f" on {text(row, 'on')}" if text(row, "on") else ""
    return f"{said} ({text(row, 'note')})" if text(row, "note") else said


def _interval(row: Row) -> str:
    """Of an error; what was measured over seeds says its own, in its own unit."""
    low, high = number(row, "low"), number(row, "high")
    if low is None or high is None or "n = " in text(row, "ours"):
        return ""
    return f"{percent(low)} to {percent(high)} %"


def _notes(notes: Mapping[str, Sequence[Row]]) -> Section:
    """How many of each note's claims hold, the first that do not, and in a report all."""
    verdicts = summary.counts(_all(notes))
    shown = [Column(name, detail=Detail.BRIEF) for name in ("note", "file")]
    shown += [Column(verdict, "Int64", detail=Detail.BRIEF) for verdict in verdicts]
    rows, lines, sections, more = [], [], [], 0
    for note, claims in notes.items():
        name, file = note.removeprefix(NOTE), text(claims[0], "source").partition(", ")[0]
        rows.append({"note": name, "file": file, **dict.fromkeys(verdicts, 0), **summary.counts(claims)})
        wrong = [row for row in claims if text(row, "verdict") != HOLDS]
        lines += [f"{note} {_of_note(row)}" for row in wrong[:MAX_OF_NOTE]]
        more += len(wrong[MAX_OF_NOTE:])
        sections.append(_note(", ".join(filter(None, [note.capitalize(), file])), claims))
    lines += [f"{more} more of these in report.md"] if more else []
    counted = Table(columns=shown, rows=rows, caption="Claims of each note, by verdict")
    wrong_ones = Section(blocks=_in_short(*lines), detail=Detail.TERMINAL)
    return Section(title="The notes' claims", lead=NOTES, blocks=[counted, wrong_ones, *sections] if notes else [])


def _of_note(row: Row) -> str:
    """The claim has the note's figure in it, or it stands beside."""
    claim, figure = text(row, "claim"), text(row, "paper")
    beside = "" if figure in claim else f" {figure},"
    return f"{claim}:{beside} ours {text(row, 'ours') or '-'} ({text(row, 'verdict')})"


def _note(title: str, rows: Sequence[Row]) -> Section:
    shown = [{**row, "where": text(row, "source").partition(", ")[2]} for row in rows]
    table = Table(columns=OF_NOTES, rows=shown, signed=True, caption=f"Claims of {title}")
    return Section(title=title, lead=_counted(rows), blocks=[table], detail=Detail.FULL, closed=True)


def _published(given: pd.DataFrame) -> Section:
    """On a terminal the figures that have ours beside them, in a report every table."""
    ours = [row for row in records(given) if has_ours(row)]
    beside = Table(columns=BESIDE, rows=_once(ours), caption="Ours beside the paper's", detail=Detail.TERMINAL)
    blocks: list[Block] = [beside if ours else Note(text=NO_EVALUATION)]
    blocks += [Note(text=told, tone="doubtful")] if (told := _differ(ours)) else []
    blocks += [_table(name, rows) for (name,), rows in groups(given, "table").items()]
    return Section(title=TABLES, quiet=not ours, blocks=blocks if len(given) else [])


def _once(rows: Sequence[Row]) -> list[Row]:
    """Of several networks beside one figure it stands once."""
    found: list[Row] = []
    last = ""
    for row in rows:
        figure = f"{text(row, 'table')}: {text(row, 'model')}"
        paper = {"figure": figure, "paper": _errors(row, "paper")} if figure != last else {}
        of = "; ".join(filter(None, [text(row, "run"), text(row, "data")]))
        found.append({**paper, "ours": _errors(row, "ours"), "of": of})
        last = figure
    return found


def _errors(row: Row, whose: str) -> str:
    """The top-1 and top-5 error, with intervals where there are any; of what is missing a dash."""
    names = [[f"{whose}_{part}{k}" for part in ("top", "low", "high")] for k in (1, 5)]
    return " / ".join(between(*(number(row, name) for name in one)) or "-" for one in names)


def _differ(ours: Sequence[Row]) -> str:
    """That the figures beside each other are of different data, empty where none is."""
    apart = dict.fromkeys(text(row, "data") for row in ours if not summary.is_comparable(row))
    data = [name or "other data" for name in apart if not published.edition(name)]
    if not data:
        return ""
    return (
        f"Not comparable: ours are of {', '.join(data)}, the paper's of ImageNet. "
        "They stand beside each other to show the form, not to be compared."
    )


def _table(name: str, rows: Sequence[Row]) -> Section:
    shown = [
        {**row, "paper": _errors(row, "paper"), "ours": _errors(row, "ours") if has_ours(row) else None} for row in rows
    ]
    title = f"The paper's {name}" if name.startswith(OF_THE_PAPER) else name.capitalize()
    table = Table(columns=PUBLISHED, rows=shown, signed=True, caption=title)
    return Section(title=title, blocks=[table], detail=Detail.FULL)


def _ablations(ablation: pd.DataFrame) -> Section:
    rows = [{**row, "says": _says(row["difference"])} for row in summary.ablations(ablation)]
    table = Table(columns=ABLATED, rows=rows, signed=True, caption="Ablations over their seeds")
    return Section(title="Ablations, top-1 error in %", lead=ABLATIONS, blocks=[table] if rows else [])


def _says(difference: Interval) -> str:
    if not math.isfinite(difference.value):
        return "not measured: a training broke down"
    if not difference.known:
        return "one seed: no interval"
    if not difference.excludes(0):
        return "no difference shown"
    return "more errors" if difference.value > 0 else "fewer errors"


def _pictures(errors: pd.DataFrame, run: Run) -> list[Section]:
    """Figure 1, and what the command drew from weights and named in run.json."""

    def draw() -> Drawing | None:
        from reports.figures import figure1

        return figure1.figure(errors)

    found = [common.picture("figure1", FIGURE_1, draw, FIGURE_1_ALT)]
    for file in map(str, run.get("files") or ()):
        if drawn := DRAWN.fullmatch(file):
            title, alt = FIGURES[drawn[1]]
            title = f"{title} ({drawn[2]})" if drawn[2] else title
            picture = Picture(name=file.removesuffix(".png"), title=title, alt=alt, file=file)
            found.append(Section(title=title, blocks=[picture], detail=Detail.FULL))
    return found
