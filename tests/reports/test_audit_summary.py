"""An audit for eyes and for machines: every departure, in order, with its figures and its reason."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from audit_rows import RUN, audit, measured, row
from rich.console import Console

from reports import audit_markdown, audit_report, audit_summary, audit_view, tables
from reports import schema as columns
from reports import write as run_report
from reports.summaries import audit as audit_digest

GOLDEN = Path(__file__).parent / "golden"
Rows = list[dict[str, Any]]


def printed(rows: Rows, width: int = 80, run: Any = RUN, **settings: Any) -> str:
    file = io.StringIO()
    audit_summary.show(rows, run, Console(file=file, width=width, **settings))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize("width", [80, 160])
def test_the_terminal_summary_is_the_golden_one(width: int) -> None:
    text = printed(audit(), width)

    assert text == (GOLDEN / f"audit-{width}.txt").read_text()
    assert max(len(line) for line in text.splitlines()) <= width


def test_the_report_is_the_golden_one() -> None:
    pictures = {"departures.png": "What each departure alone does"}

    assert audit_markdown.markdown(audit(), RUN, pictures) == (GOLDEN / "audit-report.md").read_text()


def test_the_sentence_counts_departures_by_consequence_and_not_the_last_row() -> None:
    assert audit_digest.sentence(audit(), RUN) == (
        "MyNet departs from paper in 7 ways: 1 with foreign layers, 2 changing the function,"
        " 1 changing the weights' shapes, 1 not measured, 1 of training only, 1 without effect."
    )
    assert audit_digest.sentence(audit()[1:2], RUN).startswith("MyNet departs from paper in 1 way:")
    assert audit_digest.sentence([], RUN) == "MyNet does not depart from paper."


def test_every_consequence_that_is_told_is_counted() -> None:
    assert set(audit_digest.COUNTED) == set(audit_digest.CONSEQUENCES)
    assert {row["consequence"] for row in audit()} == set(audit_digest.CONSEQUENCES)


def test_nothing_departs_is_one_line_and_no_table() -> None:
    text = printed([], run={"network": "paper", "against": "paper"})

    assert text.strip() == "paper does not depart from paper."


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, ""), (0.0, "0"), (9e-13, "0"), (1e-11, "1e-09 %"), (0.00123, "0.12 %"), (12.0, "1,200 %")],
)
def test_a_change_is_told_in_percent_and_rounding_as_none(value: float | None, said: str) -> None:
    assert audit_digest.change({"logits_change": value}, "logits_change") == said


def test_a_change_that_is_not_a_number_is_said_to_be() -> None:
    text = printed([row("lrn-k", "norm1", "-1", "2", "another function", **measured(float("nan"), float("inf")))])

    assert "nan %" in text and "inf %" in text


def test_what_comes_from_outside_is_printed_as_it_is() -> None:
    hostile = row("foreign", "x[red]", "[bold]Layer[/bold] \x1b[31m|`<b>", "none", "foreign layer")

    text = printed([hostile], 160, force_terminal=False)
    assert "[bold]Layer[/bold]" in text and "x[red]" in text
    assert "\x1b" not in text
    report = audit_markdown.markdown([hostile], {**RUN, "network": "a\x1b[2Jb"}, {})
    assert "\x1b" not in report.split("## The run", maxsplit=1)[0]
    assert "\\<b>" in report


def test_a_run_that_broke_off_says_so() -> None:
    run = {**RUN, "status": "interrupted"}

    assert "not finished" in printed(audit(), run=run)
    assert "not finished" in audit_markdown.markdown(audit(), run, {})


def test_costs_that_nothing_changes_take_no_line() -> None:
    assert audit_digest.costs(audit()[1]) == ""
    assert audit_digest.costs(audit()[3]) == "Alone: +1,413,120 parameters, +410,849,280 multiply-adds, +5 MiB"


def test_csv_and_json_hold_the_table_and_nothing_else() -> None:
    frame = tables.frame("audit", audit())

    assert audit_view.render(audit(), RUN, "csv") == frame.to_csv(index=False, lineterminator="\n")
    found = json.loads(audit_view.render(audit(), RUN, "json"))
    assert list(found[0]) == list(columns.dtypes("audit"))
    assert [row["facet"] for row in found] == [row["facet"] for row in audit()]


def test_json_has_no_number_that_json_lacks() -> None:
    rows = [row("lrn-k", "norm1", "-1", "2", "another function", **measured(float("nan"), float("inf")))]

    (found,) = json.loads(audit_view.render(rows, RUN, "json"))
    assert (found["logits_change"], found["gradient_change"]) == ("nan", "inf")


def test_markdown_for_a_page_is_the_reports_without_what_is_of_the_run() -> None:
    page, report = audit_view.render(audit(), RUN, "markdown"), audit_markdown.markdown(audit(), RUN, {})

    assert page.strip() in report
    assert "## The run" not in page


def test_a_run_folder_gets_table_report_and_picture(tmp_path: Path) -> None:
    written = run_report.write(tmp_path, RUN, {"audit": audit()})

    assert written == ["audit.parquet", "audit.csv", audit_report.PICTURE, "report.md"]
    assert "![What each departure alone does](departures.png)" in (tmp_path / "report.md").read_text()
