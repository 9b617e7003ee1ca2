"""The notes' claims on the terminal and in the report: apart from the paper's, and each with its verdict."""

from __future__ import annotations

import io
from typing import Any

import pytest
from paper_rows import RUN, claim, ledger
from rich.console import Console

from reports import paper_markdown, paper_summary
from reports.summaries import notes as paper_notes
from reports.summaries.paper import digest

FILE = "002_made.txt"


def said(number: str, verdict: str, text: str, figure: str, ours: str, **changes: Any) -> dict[str, Any]:
    given = {"section": f"note {number}", "source": f"{FILE}, 2.1", "on": "network paper"}
    return claim(verdict, text, figure, ours, **{**given, **changes})


def rows() -> list[dict[str, Any]]:
    return [
        said("002", "contradicted", "6 billion parameters in all", "6 billion", "60,965,224", note="98.4 times that"),
        said("002", "holds", "5 convolutions", "5", "5"),
        said("002", "misnamed", "connections of C1", "290400", "105,705,600", note="the note's figure is of outputs"),
        said("002", "contradicted", "a third one", "1", "2"),
        said("004", "holds", "256x256", "256x256", "256 x 256", source="004_made.txt, The Dataset"),
    ]


def printed(tables: dict[str, Any], width: int = 120) -> str:
    file = io.StringIO()
    paper_summary.show(tables, RUN, Console(file=file, width=width))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def test_the_notes_are_counted_apart_from_the_paper() -> None:
    both, alone = digest({"ledger": [*rows(), *ledger()]}, RUN), digest({"ledger": ledger()}, RUN)
    assert both.claims == alone.claims and both.needs == alone.needs
    assert {note: len(found) for note, found in both.notes.items()} == {"note 002": 4, "note 004": 1}
    apart = "The notes' 5 claims: 2 hold, 2 contradicted, 1 misnamed."
    assert both.sentence == f"{alone.sentence} {apart}"
    assert digest({"ledger": rows()}, RUN).sentence == apart
    assert digest({"ledger": rows()[1:2]}, RUN).sentence == "The notes' 1 claim: 1 holds."
    assert alone.notes == {}


def test_the_terminal_shows_counts_and_the_first_that_do_not_hold() -> None:
    lines = printed({"ledger": [*rows(), *ledger()]}).splitlines()
    place = lines.index("The notes' claims")
    assert [line.split() for line in lines[place + 1 : place + 4]] == [
        ["note", "file", "holds", "contradicted", "misnamed"],
        ["002", FILE, "1", "2", "1"],
        ["004", "004_made.txt", "1", "0", "0"],
    ]
    assert lines[place + 5 : place + 8] == [
        "  note 002 6 billion parameters in all: ours 60,965,224 (contradicted)",
        "  note 002 connections of C1: 290400, ours 105,705,600 (misnamed)",
        "  1 more of these in report.md",
    ]
    assert "The notes' claims" not in printed({"ledger": ledger()})


def test_no_line_of_a_pipe_is_wider_than_80_columns() -> None:
    long = said("002", "contradicted", "many words " * 20, "figures " * 10, "other figures " * 10)
    assert max(map(len, printed({"ledger": [*rows(), long]}, 80).splitlines())) <= 80


def test_every_claim_of_a_note_is_in_the_report_with_both_figures_and_its_verdict() -> None:
    report = paper_markdown.markdown({"ledger": [*rows(), *ledger()]}, RUN, {})
    assert "## The notes' claims" in report and "### Note 004, 004\\_made.txt" in report
    for row in rows():
        [line] = [line for line in report.splitlines() if f"| {row['claim']} |" in line]
        assert f"| {row['paper']} | {row['ours']} | {row['verdict']} |" in line and (row["note"] or "") in line
    assert report.index("## Not decided here") < report.index("## The notes' claims") < report.index("## The run")
    assert "4 claims: 1 holds, 2 contradicted, 1 misnamed." in report
    assert "The notes' claims" not in paper_markdown.markdown({"ledger": ledger()}, RUN, {})


def test_a_verdict_nobody_knows_is_counted_under_its_name() -> None:
    odd = said("003", "doubtful", "a claim", "1", "2")
    assert paper_notes.counts([*rows(), odd]) == {"holds": 2, "contradicted": 2, "misnamed": 1, "doubtful": 1}
    assert "1 doubtful" in digest({"ledger": [odd]}, RUN).sentence
    assert "(doubtful)" in printed({"ledger": [odd]})


@pytest.mark.parametrize("evil", ["[red]x[/bold] \x1b[2J | `<b>` *y*", "note \x07 | # x"])
def test_outside_text_in_a_note_is_never_obeyed(evil: str) -> None:
    table = {"ledger": [said("002", "contradicted", evil, evil, evil, source=f"{evil}, {evil}", note=evil)]}
    text, report = printed(table, 300), paper_markdown.markdown(table, RUN, {})
    assert not {"\x1b", "\x07"} & set(text + report)
    assert " <b>" not in report
