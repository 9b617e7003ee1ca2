"""An audit for eyes and for machines: every departure, in order, with its figures and its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import shown
from audit_rows import RUN, audit, measured, row

from reports import schema, tables
from reports import write as run_report
from reports.documents.audit import CONSEQUENCES, listing
from reports.render import markdown

GOLDEN = Path(__file__).parent / "golden"
Rows = list[dict[str, Any]]


def printed(rows: Rows, width: int = 80, run: Any = RUN, **settings: Any) -> str:
    return shown.terminal({"audit": rows}, run, width, **settings)


def report(rows: Rows, run: Any = RUN) -> str:
    return shown.report({"audit": rows}, run, ["departures"])


def sentence(rows: Rows) -> str:
    return shown.document({"audit": rows}, RUN).verdict.sentence


@pytest.mark.parametrize("width", [80, 160])
def test_the_terminal_summary_is_the_golden_one(width: int) -> None:
    text = printed(audit(), width)

    assert text == (GOLDEN / f"audit-{width}.txt").read_text()
    assert max(len(line) for line in text.splitlines()) <= width


def test_the_report_is_the_golden_one() -> None:
    assert report(audit()) == (GOLDEN / "audit-report.md").read_text()


def test_the_sentence_counts_departures_by_consequence_and_not_the_last_row() -> None:
    assert sentence(audit()) == (
        "MyNet departs from paper in 7 ways: 1 with foreign layers, 2 changing the function,"
        " 1 changing the weights' shapes, 1 not measured, 1 of training only, 1 without effect."
    )
    assert sentence(audit()[1:2]).startswith("MyNet departs from paper in 1 way:")
    assert sentence([]) == "MyNet does not depart from paper."


def test_every_consequence_is_told_and_counted() -> None:
    assert {row["consequence"] for row in audit()} == set(CONSEQUENCES)


def test_nothing_departs_is_one_line_and_no_table() -> None:
    text = printed([], run={"command": "audit", "network": "paper", "against": "paper"})

    assert text.strip() == "paper does not depart from paper."


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, ""), (0.0, "0"), (9e-13, "0"), (1e-11, "1e-09 %"), (0.00123, "0.12 %"), (12.0, "1,200 %"),
     (float("nan"), "nan %"), (float("inf"), "inf %")],
)  # fmt: skip
def test_a_change_is_told_in_percent_and_rounding_as_none(value: float | None, said: str) -> None:
    changed = row("lrn-k", "norm1", "1", "2", "another function", logits_change=value, logits_cosine=0.5)

    [line] = [line for line in report([changed]).splitlines() if line.startswith("| lrn-k of norm1 |")]
    header = next(line for line in report([changed]).splitlines() if line.startswith("| departure |"))
    cells = dict(zip(header.split(" | "), line.split(" | "), strict=True))
    assert cells.get("logits change", "") == said


def test_what_comes_from_outside_is_printed_as_it_is() -> None:
    hostile = row("foreign", "x[red]", "[bold]Layer[/bold] \x1b[31m|`<b>", "none", "foreign layer")

    text = printed([hostile], 160, force_terminal=False)
    assert "[bold]Layer[/bold]" in text and "x[red]" in text
    assert "\x1b" not in text
    said = report([hostile], {**RUN, "network": "a\x1b[2Jb"})
    assert "\x1b" not in said
    assert "\\<b>" in said


def test_a_run_that_broke_off_says_so() -> None:
    run = {**RUN, "status": "interrupted"}

    assert "not finished" in printed(audit(), run=run)
    assert "not finished" in report(audit(), run)


def test_costs_that_nothing_changes_take_no_line() -> None:
    said = printed(audit(), 200).splitlines()

    assert "  Alone: +1,413,120 parameters, +410,849,280 multiply-adds, +5 MiB" in said
    place = said.index("lrn-alpha of norm1, norm2  (change the function)")
    assert said[place + 1 : place + 3] == ["  why lrn-alpha matters", "input of conv1  (change the function)"]


def test_why_all_were_not_measured_together_is_said() -> None:
    rows = [*audit()[:-1], row("together", "", "all 3 measured departures", "", "", note="they do not fit")]

    assert "Not measured together: they do not fit\n" in printed(rows)
    assert "Not measured together: they do not fit\n" in report(rows)


def test_json_has_the_columns_in_order_and_no_number_that_json_lacks() -> None:
    rows = [*audit(), row("lrn-k", "norm1", "-1", "2", "another function", **measured(float("nan"), float("inf")))]

    found = json.loads(tables.json_text(tables.frame("audit", rows)), parse_constant=pytest.fail)
    assert list(found[0]) == list(schema.dtypes("audit"))
    assert [row["facet"] for row in found] == [row["facet"] for row in rows]
    assert (found[-1]["logits_change"], found[-1]["gradient_change"], found[-1]["note"]) == ("nan", "inf", None)


def test_markdown_for_a_page_is_the_reports_without_what_is_of_the_run() -> None:
    run = {**RUN, "environment": {"machine": {"cpu": "A processor"}}}
    page = markdown.text(listing(shown.frames({"audit": audit()}), run))

    assert "**MyNet departs from paper in 7 ways" in page and "| lrn-alpha of norm1, norm2 |" in page
    assert not any(said in page for said in ("# alexbench", "## The run", "A processor", "departures.png"))
    assert set(page.splitlines()) <= set(report(audit(), run).splitlines())


def test_a_run_folder_gets_table_report_and_picture(tmp_path: Path) -> None:
    written = run_report.write(tmp_path, RUN, {"audit": audit()})

    assert written[:4] == ["audit.parquet", "audit.csv", "dictionary.csv", "departures.png"] and "report.md" in written
    assert "](departures.png)" in (tmp_path / "report.md").read_text()
