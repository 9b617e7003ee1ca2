"""The summary says the verdict first and last, in 80 columns, on a terminal and in a pipe."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
from parity_rows import LAYERS, passing, row, wanting
from rich.console import Console

from reports import export_markdown, parity_summary, self_test
from reports.summaries.parity import digest

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


def printed(renderable: Any, **settings: Any) -> str:
    file = io.StringIO()
    Console(file=file, width=80, **settings).print(renderable, highlight=False)
    return file.getvalue()


def stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


@pytest.mark.parametrize(("name", "rows"), [("passing", passing()), ("wanting", wanting())])
def test_the_terminal_summary_is_the_golden_one(name: str, rows: list[dict[str, Any]]) -> None:
    text = printed(parity_summary.summary(rows))
    assert stripped(text) == (GOLDEN / f"summary-{name}.txt").read_text()
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_colour_appears_on_a_terminal_only() -> None:
    assert "\x1b[" in printed(parity_summary.summary(wanting()), force_terminal=True, color_system="standard")


def test_the_report_is_the_golden_one() -> None:
    text = parity_summary.markdown(wanting(), RUN, "error-by-layer.png", PLANTED)
    assert text == (GOLDEN / "report.md").read_text()


def test_outside_text_is_never_taken_for_markup() -> None:
    rows = [row("layer", "torch", "[red]x", verdict="fail", reason="[/bold] got [1, 2] | <b>\nsecond line")]
    assert "[red]x" in printed(parity_summary.summary(rows))
    assert "[/bold] got [1, 2]" in printed(parity_summary.summary(rows))
    assert r"[/bold] got [1, 2] \| \<b> second line" in parity_summary.markdown(rows, {})
    assert export_markdown.table(["a"], [["`x`*y*"]]).splitlines()[-1] == r"| \`x\`\*y\* |"


def test_the_row_that_knows_the_cause_names_the_layer() -> None:
    rows = [
        row("gradient", "jax", "fc2", verdict="fail"),
        row("gradient", "jax", "norm1", verdict="fail", cause="k is 1"),
        row("gradient", "jax", "conv1", verdict="fail", cause="in its wake"),
    ]
    [failure] = digest(rows).failures
    assert (failure.layer, failure.cause, failure.rows) == ("norm1", "k is 1", 3)


def test_rows_of_interleaved_workers_are_sorted_into_their_levels_and_frameworks() -> None:
    rows = [row("layer", "torch", "a"), row("forward", "torch", "a"), row("layer", "jax", "a")]
    assert [(line.level, line.framework) for line in digest(rows).lines] == [
        ("layer", "jax"),
        ("layer", "torch"),
        ("forward", "torch"),
    ]


def test_the_worst_ratio_counts_nan_as_worst_and_missing_as_nothing() -> None:
    ratios = [{"gauge_ratio": 0.5}, {"gauge_ratio": None}, {"gauge_ratio": 0.75}]
    lines = digest([row("layer", "torch", "a", **ratio) for ratio in ratios]).lines
    assert lines[0].gauge_ratio == 0.75
    ratios.append({"gauge_ratio": math.nan})
    worst = digest([row("layer", "torch", "a", **ratio) for ratio in ratios]).lines[0].gauge_ratio
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
    assert printed(parity_summary.summary(rows), soft_wrap=True).splitlines()[-1] == sentence


def returned(framework: str, *names: str, of: int = 5) -> list[dict[str, Any]]:
    """A forward pass of so many layers, of which these were returned and are equal."""
    missing = {"verdict": "not-observed", "rms_error": None, "gauge_ratio": None, "baseline_ratio": None}
    return [row("forward", framework, name, **({} if name in names else missing)) for name in LAYERS[:of]]


def test_what_was_not_returned_turns_no_verdict_which_says_of_how_much_it_is() -> None:
    found = digest(returned("mine", "pool1", "fc2"))
    assert found.sentence == "Equal in the 2 of 5 layers that were returned: 2 checks passed in mine."
    assert found.lines[0].verdict_text == "pass (2 of 5)"
    text = printed(parity_summary.summary(returned("mine", "pool1", "fc2")))
    assert "not-observed" not in text and "not observed" not in text
    report = parity_summary.markdown(returned("mine", "pool1", "fc2"), {})
    assert "Checks that did not pass" not in report
    assert "| forward | mine | conv1, relu1, norm1 |" in report


def test_each_implementation_has_its_own_coverage() -> None:
    rows = [*returned("a", *LAYERS), *returned("b", "fc2"), *returned("c", "pool1", "fc2")]
    assert digest(rows).sentence == (
        "Equal in what was returned: 8 checks passed in a, b and c; "
        "returned were 1 of 5 layers of b and 2 of 5 layers of c."
    )


def test_a_failure_in_what_was_returned_is_one_and_nothing_returned_is_no_pass() -> None:
    wrong = [*returned("mine", "pool1"), row("forward", "mine", "fc2", verdict="fail")]
    assert digest(wrong).lines[0].verdict_text == "fail"
    assert digest(wrong).sentence.startswith("Not equal: 1 of 6 checks failed")
    nothing = [*returned("a", *LAYERS), *returned("b")]
    assert digest(nothing).lines[1].verdict_text == "not-observed"
    assert digest(nothing).sentence == "Not proved: 5 not observed; 5 of 10 checks passed."


def test_many_failures_and_long_reasons_leave_the_summary_short() -> None:
    rows = [row(f"level{n}", "torch", "conv1", verdict="fail", reason="line\n" * 40) for n in range(30)]
    text = printed(parity_summary.summary(rows))
    assert "22 more failures in report.md" in text
    assert len(text.splitlines()) < 100
    assert text.count("| level") == 0
    assert len(re.findall(r"^\| level\d+ \| torch/stock", parity_summary.markdown(rows, {}), re.MULTILINE)) == 30


def test_the_report_lists_at_most_fifty_rows_and_says_where_the_others_are() -> None:
    rows = [row("layer", "torch", "conv1", verdict="fail") for _ in range(53)]
    assert "3 more rows in `parity.csv`" in parity_summary.markdown(rows, {})


def test_the_self_test_names_what_it_missed() -> None:
    text = printed(self_test.summary(PLANTED))
    assert "1 caught, 1 localised; missed: swapped groups (jax)." in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert self_test.sentence(PLANTED[:1]) == "All 1 planted fault caught and localised."
    assert self_test.sentence([]) == "No fault was planted."


def test_a_self_test_run_speaks_of_its_faults_only() -> None:
    text = parity_summary.markdown([], RUN, self_test_rows=PLANTED)
    assert "Nothing was compared" not in text
    assert "swapped groups" in text
