"""The summary says the verdict first and last, in 80 columns, on a terminal and in a pipe."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import shown
from parity_rows import LAYERS, passing, row, wanting

from reports import tables
from reports.render import markdown
from reports.summaries import parity as summary

GOLDEN = Path(__file__).parent / "golden"

RUN = {
    "command": "parity",
    "status": "complete",
    "started": "2030-01-02T03:04:05.000Z",
    "arguments": {"network": "paper", "frameworks": ["torch", "jax"], "weights": None},
    "environment": {"machine": {"cpu": "A|B", "cores": 2}, "cpu_kind": "AVX2", "physical_cores": 1},
    "failures": ["jax: worker killed by signal 9"],
    "signature": "alexbench:0.1.0|network:paper",
}

PLANTED = [
    {
        "fault": "alpha divided by n",
        "planted_in": "norm1",
        "framework": "torch",
        "caught": "yes",
        "caught_at": "operator",
        "named": "norm1",
        "expected": "norm1",
        "localised": "yes",
        "cause_named": "yes",
    },
    {"fault": "swapped groups", "planted_in": "conv2", "framework": "jax", "caught": "no", "localised": "no"},
]


Rows = list[dict[str, Any]]


def printed(rows: Rows, **settings: Any) -> str:
    return shown.terminal({"parity": rows}, {"command": "parity"}, **settings)


def report(rows: Rows) -> str:
    return shown.report({"parity": rows}, {"command": "parity"})


def sentence_of(rows: Rows) -> str:
    return shown.document({"parity": rows}, {"command": "parity"}).verdict.sentence


def levels(rows: Rows) -> list[Any]:
    return summary.levels(tables.frame("parity", rows))


def verdicts(rows: Rows) -> list[str]:
    """What the table of levels says at the end of each line."""
    return [line.split("  ")[-1].strip() for line in printed(rows, width=120).splitlines()[1 : 1 + len(levels(rows))]]


@pytest.mark.parametrize(("name", "rows"), [("passing", passing()), ("wanting", wanting())])
def test_the_terminal_summary_is_the_golden_one(name: str, rows: list[dict[str, Any]]) -> None:
    text = printed(rows)
    assert text == (GOLDEN / f"summary-{name}.txt").read_text()
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_colour_appears_on_a_terminal_only() -> None:
    assert "\x1b[" in printed(wanting(), force_terminal=True, color_system="standard")


def test_the_report_is_the_golden_one() -> None:
    text = shown.report({"parity": wanting(), "self-test": PLANTED}, RUN, ["error-by-layer"])
    assert text == (GOLDEN / "report.md").read_text()


def test_outside_text_is_never_taken_for_markup() -> None:
    rows = [row("layer", "torch", "[red]x", verdict="fail", reason="[/bold] got [1, 2] | <b>\nsecond line")]
    assert "[red]x" in printed(rows)
    assert "[/bold] got [1, 2]" in printed(rows)
    assert r"[/bold] got [1, 2] \| \<b> second line |" in report(rows)
    assert r"[/bold] got [1, 2] | \<b>; second line" in report(rows)
    assert markdown.table(["a"], [["`x`*y*"]]).splitlines()[-1] == r"| \`x\`\*y\* |"


def test_the_row_that_knows_the_cause_names_the_layer() -> None:
    rows = [
        row("gradient", "jax", "fc2", verdict="fail"),
        row("gradient", "jax", "norm1", verdict="fail", cause="k is 1"),
        row("gradient", "jax", "conv1", verdict="fail", cause="in its wake"),
    ]
    [failure] = summary.failures(tables.frame("parity", rows))
    assert (failure["layer"], failure["cause"], failure["rows"]) == ("norm1", "k is 1", 3)


def test_rows_of_interleaved_workers_are_sorted_into_their_levels_and_frameworks() -> None:
    rows = [row("layer", "torch", "a"), row("forward", "torch", "a"), row("layer", "jax", "a")]
    assert [(line["level"], line["framework"]) for line in levels(rows)] == [
        ("layer", "jax"),
        ("layer", "torch"),
        ("forward", "torch"),
    ]


def test_the_worst_ratio_counts_nan_as_worst_and_missing_as_nothing() -> None:
    ratios = [{"gauge_ratio": 0.5}, {"gauge_ratio": None}, {"gauge_ratio": 0.75}]
    assert levels([row("layer", "torch", "a", **ratio) for ratio in ratios])[0]["gauge_ratio"] == 0.75
    ratios.append({"gauge_ratio": math.nan})
    worst = levels([row("layer", "torch", "a", **ratio) for ratio in ratios])[0]["gauge_ratio"]
    assert worst is not None
    assert math.isnan(worst)


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ([], "Nothing was compared."),
        (["pass"], "Equal: 1 check passed in torch."),
        (["pass", "fail"], "Not equal: 1 of 2 checks failed, first at conv1 (layer, torch/stock)."),
        (["pass", "vacuous"], "Not proved: 1 vacuous; 1 of 2 checks passed."),
        (["pass", "error", "error"], "Not proved: 2 ended in an error; 1 of 3 checks passed."),
        (["not-observed"], "Not proved: 1 not observed; 0 of 1 check passed."),
        (["pass", "not-observed"], "Equal in the 1 of 2 checks that were returned: 1 check passed in torch."),
        (["passed"], "Not proved: 1 of an unknown verdict; 0 of 1 check passed."),
        (["error", "fail"], "Not equal: 1 of 2 checks failed, first at conv1 (layer, torch/stock)."),
    ],
)
def test_the_last_line_is_the_verdict(verdicts: list[str], sentence: str) -> None:
    rows = [row("layer", "torch", "conv1", verdict=verdict) for verdict in verdicts]
    assert printed(rows, width=200).splitlines()[-1] == sentence


def returned(framework: str, *names: str, of: int = 5) -> list[dict[str, Any]]:
    """A forward pass of so many layers, of which these were returned and are equal."""
    missing = {"verdict": "not-observed", "rms_error": None, "gauge_ratio": None, "baseline_ratio": None}
    return [row("forward", framework, name, **({} if name in names else missing)) for name in LAYERS[:of]]


def test_what_was_not_returned_turns_no_verdict_which_says_of_how_much_it_is() -> None:
    assert (
        sentence_of(returned("mine", "pool1", "fc2"))
        == "Equal in the 2 of 5 layers that were returned: 2 checks passed in mine."
    )
    assert verdicts(returned("mine", "pool1", "fc2")) == ["pass (2 of 5)"]
    text = printed(returned("mine", "pool1", "fc2"))
    assert "not-observed" not in text and "not observed" not in text
    told = report(returned("mine", "pool1", "fc2"))
    assert "Checks that did not pass" not in told
    assert "| forward | mine | conv1, relu1, norm1 |" in told


def test_each_implementation_has_its_own_coverage() -> None:
    rows = [*returned("a", *LAYERS), *returned("b", "fc2"), *returned("c", "pool1", "fc2")]
    assert sentence_of(rows) == (
        "Equal in what was returned: 8 checks passed in a, b and c; "
        "returned were 1 of 5 layers of b and 2 of 5 layers of c."
    )


def test_a_failure_in_what_was_returned_is_one_and_nothing_returned_is_no_pass() -> None:
    wrong = [*returned("mine", "pool1"), row("forward", "mine", "fc2", verdict="fail")]
    assert verdicts(wrong) == ["fail"]
    assert sentence_of(wrong).startswith("Not equal: 1 of 6 checks failed")
    nothing = [*returned("a", *LAYERS), *returned("b")]
    assert verdicts(nothing)[1] == "not-observed"
    assert sentence_of(nothing) == "Not proved: 5 not observed; 5 of 10 checks passed."


def test_many_failures_and_long_reasons_leave_the_summary_short() -> None:
    rows = [row(f"level{n}", "torch", "conv1", verdict="fail", reason="line\n" * 40) for n in range(30)]
    text = printed(rows)
    assert "22 more in report.md" in text
    assert len(text.splitlines()) < 100
    assert text.count("| level") == 0
    assert report(rows).count("- **fail** level") == 30


def test_the_report_lists_at_most_fifty_rows_and_says_where_the_others_are() -> None:
    rows = [row("layer", "torch", "conv1", verdict="fail") for _ in range(53)]
    assert "3 more rows in `parity.csv`" in report(rows)


def told(planted: Rows) -> str:
    return shown.document({"self-test": planted}, {"command": "parity-self-test"}).verdict.sentence


def test_the_self_test_names_what_it_missed() -> None:
    text = shown.terminal({"self-test": PLANTED}, {"command": "parity-self-test"})
    assert "1 caught, 1 localised; missed: swapped groups (jax)." in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert told(PLANTED[:1]) == "All 1 planted fault caught and localised."
    assert told([]) == "No fault was planted."


def test_a_self_test_run_speaks_of_its_faults_only() -> None:
    text = shown.report({"self-test": PLANTED}, RUN | {"command": "parity-self-test"})
    assert "Nothing was compared" not in text
    assert "swapped groups" in text


def test_a_failure_has_the_command_that_shows_it_again() -> None:
    line = (
        "alexbench parity --network caffe --seed=3 --out runs/a --overwrite --framework torch,jax --images 'my cat.jpg'"
    )
    run = RUN | {"command_line": line}
    rows = [row("layer", "jax", "norm1", verdict="fail", tuning="tuned")]
    kept = "alexbench parity --network caffe --seed=3"
    again = f"{kept} --images 'my cat.jpg' --level layer --frameworks jax --tuning tuned"
    assert f"(again: `{again}`)" in shown.report({"parity": rows}, run)
    assert "again:" not in shown.terminal({"parity": rows}, run)
    outside = [row("forward", "./mine.py:build", "norm1", verdict="fail", tuning="")]
    told = shown.report({"parity": outside}, run | {"command_line": f"{line} --impl ./mine.py:build"})
    assert f"{kept} --framework torch,jax --images 'my cat.jpg' --impl ./mine.py:build --level forward" in told
    assert "again:" not in shown.report({"parity": rows}, RUN)  # of an earlier version, which kept no line


def test_a_run_that_broke_off_is_never_called_good() -> None:
    for status, tone in (("running", "doubtful"), ("interrupted", "doubtful"), ("failed", "bad"), ("complete", "good")):
        made = shown.document({"parity": passing()}, {"command": "parity", "status": status})
        assert made.verdict.tone == tone
        assert (made.verdict.word == "unfinished") == (status != "complete")
        assert ("not finished" in shown.report({"parity": passing()}, {"status": status})) == (status != "complete")


def test_what_failed_beside_the_rows_is_told_first_and_what_they_tell_is_not_said_twice() -> None:
    rows = [row("layer", "jax", "norm1", verdict="error", reason="killed by signal 9")]
    run = {"command": "parity", "failures": ["jax: killed by signal 9", "the disk is full"]}
    made = shown.document({"parity": rows}, run)
    assert [note.text for section in made.findings if section.title == "What failed" for note in section.blocks] == [
        "the disk is full"
    ]
    assert shown.document({"parity": passing()}, run).verdict.tone == "doubtful"
