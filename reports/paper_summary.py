"""`alexbench paper` on the terminal: contradictions and measurements, the paper's tables beside ours, ablations.

Texts that come from outside (names, notes, reasons) are printed as they are, never as rich's markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports import published
from reports.format import Row, between, clean, number, percent, plural, text
from reports.render.terminal import Console
from reports.summaries import notes as paper_notes
from reports.summaries.paper import (
    CONTRADICTED,
    HOLDS,
    MEASURED,
    NEEDS,
    VERDICTS,
    Ablated,
    Digest,
    digest,
    distinct,
    has_ours,
    is_comparable,
)

MOST_FAILURES = 8
STYLES = {CONTRADICTED: "yellow", MEASURED: "bold", HOLDS: "green", NEEDS: "dim"}


def show(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the summary of `tables` (kind -> rows). Without a terminal it is plain text, 80 columns wide."""
    (console or Console()).print(summary(tables, run), highlight=False)


def summary(tables: Mapping[str, Sequence[Row]], run: Mapping[str, Any]) -> RenderableType:
    """Claims by verdict, the notes' apart, the paper's tables, ablations, failures, and the sentence at the end."""
    found = digest(tables, run)
    parts: list[RenderableType] = []
    for verdict, rows in found.claims.items():
        heading = f"{VERDICTS.get(verdict, verdict)}: {plural(distinct(rows), 'claim')}"
        parts += [Text(heading, style=STYLES.get(verdict, "bold red")), *_claims(verdict, rows, found), Text()]
    parts += paper_notes.summary(found.notes)
    parts += _tables(found)
    parts += [Text("Ablations, top-1 error in %", style="bold"), _ablations(found.ablations), Text()] * bool(
        found.ablations
    )
    failures = [clean(str(one)) for one in run.get("failures") or ()]
    parts += [Text(said, style="bold red") for said in failures[:MOST_FAILURES]]
    if run.get("status") not in (None, "complete", "running"):
        parts.append(Text(f"The run was not finished (status {clean(str(run['status']))}).", style="yellow"))
    is_good = not failures and bool(found.claims or found.notes)
    return Group(*parts, Text(found.sentence, style="bold green" if is_good else "bold red"))


def beside(row: Row) -> tuple[str, str]:
    """The published top-1 and top-5 error, and ours with intervals; of what is missing a dash."""
    paper = " / ".join(percent(number(row, name)) or "-" for name in ("paper_top1", "paper_top5"))
    ours = " / ".join(
        between(number(row, f"ours_top{k}"), number(row, f"ours_low{k}"), number(row, f"ours_high{k}")) or "-"
        for k in (1, 5)
    )
    return paper, ours if has_ours(row) else ""


def which(row: Row) -> str:
    """The network of ours and the data it was scored on."""
    return "; ".join(filter(None, [text(row, "run"), text(row, "data")]))


def differ(rows: Sequence[Row]) -> str:
    """That the figures beside each other are of different data, empty where none is."""
    apart = [text(row, "data") for row in rows if has_ours(row) and not is_comparable(row)]
    data = dict.fromkeys(name for name in apart if not published.edition(name))
    if not data:
        return ""
    return (
        f"Not comparable: ours are of {', '.join(name or 'other data' for name in data)}, the paper's of ImageNet. "
        "They stand beside each other to show the form, not to be compared."
    )


def difference(one: Ablated) -> str:
    """`+1.30 ± 0.90`, in points of percent."""
    half = "" if one.half is None else f" ± {percent(one.half)}"
    return f"{100 * one.difference:+.2f}{half}"


def _claims(verdict: str, rows: Sequence[Row], found: Digest) -> list[RenderableType]:
    if verdict == HOLDS:  # what is as one expects needs no table
        said = "; ".join(text(row, "claim") for row in rows)
        return [Padding(Text(said), (0, 0, 0, 2), expand=False)]
    if verdict == NEEDS:
        said = ", ".join(f"{count} {'needs' if count == 1 else 'need'} {what}" for what, count in found.needs.items())
        return [
            Padding(Text(f"{said}; the commands that would decide them are in report.md"), (0, 0, 0, 2), expand=False)
        ]
    return [Padding(_claim(row), (0, 0, 0, 2), expand=False) for row in rows]


def _claim(row: Row) -> Text:
    section = text(row, "section")
    section = f"{section} " if not section[:1].isdigit() else f"§{section} "
    parts: list[Any] = [(section, "dim"), text(row, "claim"), ": paper ", (text(row, "paper") or "-", "bold")]
    parts += [", ours ", (text(row, "ours") or "-", "bold")]
    if text(row, "on"):
        parts.append(f" on {text(row, 'on')}")
    if text(row, "note"):
        parts.append((f" ({text(row, 'note')})", "dim"))
    return Text.assemble(*parts)


def _tables(found: Digest) -> list[RenderableType]:
    """The figures of the paper that have ours beside them."""
    rows = [row for rows in found.tables.values() for row in rows]
    ours = [row for row in rows if has_ours(row)]
    if not rows:
        return []
    if not ours:
        said = "Tables 1 and 2: no evaluation was given; name run folders of alexbench evaluate to see ours beside."
        return [Text(said), Text()]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("", "paper", "ours", "of"):
        table.add_column(Text(name), overflow="fold")
    last = ""
    for row in ours:
        figure = f"{text(row, 'table')}: {text(row, 'model')}"
        paper, measured = beside(row)
        again = figure == last  # of several networks beside one figure it stands once
        table.add_row(Text("" if again else figure), Text("" if again else paper), Text(measured), Text(which(row)))
        last = figure
    told = differ(ours)
    title = Text("The paper's tables: top-1 / top-5 error in %, ours with 95 % intervals", style="bold")
    return [title, table, *([Text(told, style="yellow")] if told else []), Text()]


def _ablations(found: Sequence[Ablated]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("changed", "seeds", "baseline", "variant", "difference", ""):
        table.add_column(Text(name), justify="right" if name in ("seeds", "baseline", "variant") else "left")
    for one in found:
        errors = (percent(one.baseline), percent(one.variant_error))
        table.add_row(*map(Text, (one.ablation, str(one.seeds), *errors, difference(one), one.verdict)))
    return table
