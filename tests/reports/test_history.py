"""Several runs on one page: steps are those of the program and not of the days, and what cannot be told is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import speed_rows
from history_rows import STOCK, TUNED, changed, of_factors, run, two_states

from reports import tables
from reports.document import Document, Note, Table, Toned, Verdict
from reports.documents import runs as documents
from reports.documents.runs import METHOD, Told
from reports.figures import throughput
from reports.render import cells, markdown
from reports.summaries import history as summary
from reports.summaries.environments import RunTables


def page(runs: Sequence[RunTables], status: str = "complete", tone: Any = "good") -> Document:
    return documents.document([Told(one, status, Verdict("All held.", tone)) for one in runs])


def blocks(document: Document, kind: type) -> list[Any]:
    sections = (*document.findings, *document.sections)
    return [block for section in sections for block in section.blocks if isinstance(block, kind)]


def settings(document: Document) -> list[dict[str, str]]:
    """What the tables of settings say."""
    found = [table for table in blocks(document, Table) if table.columns == documents.SETTINGS]
    return [{column.name: cells.said(row, column) for column in table.columns} for table in found for row in table.rows]


def test_a_planted_slow_down_of_a_fifth_is_marked_where_it_is() -> None:
    runs = two_states(1 / 1.2)
    found = summary.history(runs)
    steps = {one.row["tuning"]: one.steps for one in found.series}
    assert steps["tuned"] == ()
    [step] = steps["stock"]
    assert (step.before, step.after) == (5, 6)
    assert step.ratio.low is not None and step.ratio.high is not None
    assert step.ratio.low < 1 / 1.2 < step.ratio.high
    assert step.chance < 1e-3
    document = page(runs)
    assert document.verdict.tone == "bad"
    assert "1 step found: torch stock, float32, train-step, batch 32: 0.8" in document.verdict.sentence
    [note] = blocks(document, Note)
    assert (note.status, note.tone) == ("slower", "bad")
    assert "from run 7 on" in note.text and "nothing else is known to have changed" in note.text
    assert [row["steps"] for row in settings(document)] == [note.text.partition(".\n")[0].partition(". ")[0], "no step"]


def test_twelve_runs_of_one_program_have_no_step() -> None:
    document = page(two_states(1.0))
    assert document.verdict.sentence == "12 runs (12 of speed); no step found in 2 settings."
    assert document.verdict.tone == "good"
    assert {row["steps"] for row in settings(document)} == {"no step"}


def test_a_step_up_is_good_and_two_steps_are_both_found() -> None:
    random = np.random.default_rng(3)
    noise = random.normal(0, 0.02, 15)
    levels = np.repeat([1.0, 1.3, 0.9], 5) * np.exp(noise)
    [series] = summary.history(of_factors(levels)).series
    assert [step.after for step in series.steps] == [5, 10]
    assert [round(step.ratio.value, 1) for step in series.steps] == [1.3, 0.7]
    assert [len(part) for part in series.parts] == [5, 5, 5]
    assert series.spread == pytest.approx(np.sqrt(np.mean([part.var(ddof=1) for part in np.split(noise, 3)])))
    up = page(of_factors(levels[:10]))
    assert (up.verdict.tone, blocks(up, Note)[0].status) == ("good", "faster")


@pytest.mark.parametrize("noise", ["normal", "with outliers", "mostly slower"])
@pytest.mark.parametrize(("count", "series"), [(6, 2), (12, 3), (30, 2)])
def test_an_unchanged_program_is_marked_on_one_page_of_twenty_at_most(noise: str, count: int, series: int) -> None:
    """However the runs vary: within small groups one test alone would be sure far too often."""
    random = np.random.default_rng(count)
    draw = {
        "normal": lambda: random.normal(0, 0.05, count),
        "with outliers": lambda: 0.03 * random.standard_t(3, count),
        "mostly slower": lambda: -0.05 * random.exponential(1, count),
    }[noise]
    trials = 500
    marked = sum(any(list(summary._splits(draw().tolist(), 0, series)) for _ in range(series)) for _ in range(trials))
    assert marked / trials <= 0.05


@pytest.mark.parametrize("count", [2, 5])
def test_fewer_than_three_runs_on_each_side_cannot_tell_and_the_page_says_so(count: int) -> None:
    document = page(of_factors([1.0, 1.0, 0.5, 0.5, 0.5][:count]))
    assert "no setting was measured in runs enough to tell a step" in document.verdict.sentence
    [row] = settings(document)
    assert row["steps"] == "too few runs to tell: 3 on either side are needed"
    assert "17 % of the pairs different" in METHOD and METHOD in markdown.text(document)
    assert page(of_factors([1.0, 1.01, 0.99, 0.5, 0.505, 0.495])).verdict.tone == "bad"


def test_runs_that_a_coarse_clock_says_alike_prove_no_step_of_a_thousandth() -> None:
    assert summary.history(of_factors([1.0] * 3 + [1.001] * 3)).series[0].steps == ()
    [step] = summary.history(of_factors([1.0] * 3 + [1.1] * 3)).series[0].steps
    assert step.after == 3


@pytest.mark.parametrize(("blocks", "told"), [(1, "(n = 1)"), (2, "(40.0 to 40.0)")])
def test_pictures_and_tables_know_of_how_many_blocks_a_setting_is(blocks: int, told: str) -> None:
    row = STOCK | dict.fromkeys(("step_ms_low", "step_ms_high"), STOCK["step_ms"])
    samples = tables.frame("sample", speed_rows.samples(row, blocks))
    runs = [one._replace(tables=one.tables | {"sample": samples}) for one in of_factors([1.0, 1.0], row)]
    little = [one._replace(tables=summary.needed(one.tables)) for one in runs]
    assert len(little[0].tables["sample"]) == blocks
    for given in (runs, little):
        assert told in settings(page(given))[0]["first"]
    drawing = throughput.throughput(tables.frame("speed", [row]), samples)
    assert drawing is not None
    assert [said for mark in drawing.marks.values() for _, said in mark.points if told in said]


def test_a_setting_that_one_run_measured_has_no_history() -> None:
    document = page([run(1, [STOCK]), run(2, [TUNED])])
    assert settings(document) == []
    assert document.verdict.sentence == "2 runs (2 of speed)."


def test_emulated_devices_are_shown_and_not_judged() -> None:
    row = speed_rows.emulated("torch", "data")
    document = page(of_factors([1.0] * 6 + [0.5] * 6, row))
    [said] = settings(document)
    assert said["steps"] == "emulated devices: not judged"
    assert "data x2 emulated" in said["setting"]
    assert document.verdict.tone == "good"
    assert blocks(document, Note) == []


def test_what_failed_in_a_run_is_missing_there_and_named() -> None:
    runs = of_factors([1.0] * 8)
    crashed = speed_rows.failed("torch", "stock", "crashed", "worker killed")
    runs[3] = run(4, [crashed])
    [series] = summary.history(runs).series
    assert [point.run for point in series.measured] == [0, 1, 2, 4, 5, 6, 7]
    [row] = settings(page(runs))
    assert (row["runs"], row["missing"]) == ("7", "run 4: crashed")


def test_runs_that_did_not_measure_a_setting_lie_between_its_points() -> None:
    runs = of_factors([1.0, 1.01, 0.99, 0.8, 0.81, 0.79])
    parity = run(4, [], command="parity")
    [series] = summary.history([*runs[:3], parity, *runs[3:]]).series
    [step] = series.steps
    assert (step.before, step.after) == (2, 4)
    document = page([*runs[:3], parity, *runs[3:]])
    assert document.verdict.sentence.startswith("7 runs (6 of speed, 1 of parity); 1 step found")
    assert "from run 5 on" in blocks(document, Note)[0].text


def test_machines_and_versions_that_changed_are_warned_of_and_everything_that_changed_is_listed() -> None:
    runs = two_states(1 / 1.2)
    other = {"git": {"commit": "def", "dirty": False}, "packages": {"torch": "2.14.0", "jax": "0.10.2"}}
    runs = [*runs[:6], *(changed(one, **other) for one in runs[6:])]
    runs = [*runs[:9], *(changed(one, machine={"cpu": "Another", "cores": 2, "memory_gb": 24.0}) for one in runs[9:])]
    document = page(runs)
    assert [note.text for note in document.caveats] == [
        "From run 6 to run 7 the versions changed.",
        "From run 9 to run 10 the machine changed.",
    ]
    assert "Between run 6 and run 7 the program and the versions changed." in blocks(document, Note)[0].text
    [table] = [table for table in blocks(document, Table) if table.columns == documents.CHANGES]
    said = [tuple(cells.said(row, column) for column in table.columns) for row in table.rows]
    assert said == [
        ("run-7", "7", "versions", "torch", "2.13.0", "2.14.0"),
        ("run-7", "7", "program", "commit", "abc", "def"),
        ("run-10", "10", "machine", "cpu", "A|B", "Another"),
    ]
    assert document.machine == ""
    assert "A|B" in page(runs[:3]).machine


def test_unfinished_and_wanting_runs_are_counted_and_coloured() -> None:
    runs = of_factors([1.0, 1.0])
    told = [
        Told(runs[0], "under way", Verdict("One epoch.", "good")),
        Told(runs[1], "complete", Verdict("Bad.", "bad")),
    ]
    document = documents.document(told)
    assert document.verdict.sentence.startswith("2 runs (2 of speed); 1 not finished; 1 found wanting;")
    assert document.verdict.tone == "bad"
    assert documents.document(told[:1]).verdict.tone == "doubtful"
    [table] = [table for table in blocks(document, Table) if table.columns == documents.RUNS]
    assert [row["headline"] for row in table.rows] == [Toned("One epoch.", "plain"), Toned("Bad.", "bad")]
    assert [cells.said(row, table.columns[3]) for row in table.rows] == ["under way", "complete"]


def test_a_run_without_an_environment_or_tables_is_listed() -> None:
    bare = RunTables("bare", {"alexbench": "0.1.0", "command": "audit"}, {})
    document = page([bare, *of_factors([1.0, 1.0])])
    assert document.verdict.sentence.startswith("3 runs (1 of audit, 2 of speed)")
    assert markdown.text(document)


def test_long_histories_are_cut_in_the_table_of_changes_alone() -> None:
    runs = [changed(one, flags={"X": str(place)}) for place, one in enumerate(of_factors([1.0] * 28), 1)]
    runs = [changed(one, python=str(place)) for place, one in enumerate(runs)]
    document = page(runs)
    assert len(document.caveats) == documents.MAX_WARNINGS + 1
    assert "22 more times" in document.caveats[-1].text


def test_outside_text_is_not_obeyed() -> None:
    evil = "\x1b[2J<script>|`x`\n"
    row = speed_rows.speed(evil, evil, network=evil, device=evil, precision=evil, signature=evil)
    runs = [run(number, [row], command=evil)._replace(name=f"{evil}{number}") for number in (1, 2)]
    text = markdown.text(page(runs))
    assert "\x1b" not in text and "<script>" not in text.replace("\\<script>", "")


def test_the_same_runs_give_the_same_document() -> None:
    assert markdown.text(page(two_states(0.8))) == markdown.text(page(two_states(0.8)))
