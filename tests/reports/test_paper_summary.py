"""The ledger by verdict, the paper's tables beside ours, the ablations with intervals."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import paper_rows
import pytest
from paper_rows import RUN, ablation, claim, ledger, published
from rich.console import Console

from reports import paper_markdown, paper_summary
from reports.summaries.paper import Ablated, digest

GOLDEN = Path(__file__).parent / "golden"


def printed(tables: dict[str, Any], width: int = 80, run: Any = RUN, **settings: Any) -> str:
    file = io.StringIO()
    paper_summary.show(tables, run, Console(file=file, width=width, **settings))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def test_the_terminal_summary_is_the_golden_one() -> None:
    text = printed(paper_rows.tables())
    assert text == (GOLDEN / "paper-80.txt").read_text()
    assert max(len(line) for line in text.splitlines()) <= 80


def test_the_report_is_the_golden_one() -> None:
    pictures = {"figure1.png": "Figure 1: training error with ReLU and with tanh"}
    assert paper_markdown.markdown(paper_rows.tables(), RUN, pictures) == (GOLDEN / "paper-report.md").read_text()


def test_every_claim_is_in_the_report_with_the_papers_figure_and_ours() -> None:
    report = paper_markdown.markdown({"ledger": ledger()}, RUN, {})
    for row in ledger():
        [line] = [line for line in report.splitlines() if f"| {row['claim']} |" in line]
        assert row["paper"] in line
        assert (row["ours"] or "") in line
        assert (row["command"] or "") in line


def test_claims_are_counted_by_verdict() -> None:
    found = digest({"ledger": ledger()}, RUN)
    assert {verdict: len(rows) for verdict, rows in found.claims.items()} == {
        "contradicted": 1,
        "measured": 1,
        "holds": 2,
        "needs": 2,
    }
    assert found.needs == {"ImageNet": 1, "CIFAR-10": 1}


def test_a_verdict_nobody_knows_is_not_lost() -> None:
    tables = {"ledger": [claim("doubtful", "a claim", "1", "2")]}
    assert "doubtful: 1 claim" in printed(tables) and "a claim" in printed(tables)
    assert "1 claim: 1 doubtful." in printed(tables)
    assert "## doubtful" in paper_markdown.markdown(tables, RUN, {})


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({}, "No claim was looked at."),
        ({"ledger": ledger()[:1]}, "1 claim: 1 holds."),
        (
            {"ledger": [*ledger()[4:], claim("needs ImageNet", "x", "1")]},
            "3 claims: 2 need ImageNet, 1 needs CIFAR-10.",
        ),
    ],
)
def test_the_last_line_counts_the_verdicts(tables: Any, sentence: str) -> None:
    assert digest(tables, RUN).sentence == sentence
    assert printed(tables, 200).splitlines()[-1] == sentence


def test_figures_of_other_data_are_said_not_to_compare() -> None:
    tables = {"published": published()}
    for text in (printed(tables, 200), paper_markdown.markdown(tables, RUN, {})):
        assert "Not comparable: ours are of digits val, the paper's of ImageNet." in text
        assert "37.50 / 17.00" in text and "2.50 (1.50 to 4.50) / 0.25 (0.10 to 0.50)" in text
    assert "| digits val | no | the data differ: 355" in paper_markdown.markdown(tables, RUN, {})


def test_each_line_of_ours_says_which_network_it_is_of() -> None:
    others = [row | {"run": f"miniature, weights {name}, in jax"} for name in ("a1", "b2") for row in published()[1:2]]
    tables = {"published": [*published()[:2], *others]}
    for text in (printed(tables, 200), paper_markdown.markdown(tables, RUN, {})):
        assert all(f"miniature, weights {name}, in" in text for name in ("3f2a", "a1", "b2"))
    assert printed(tables, 200).count("37.50 / 17.00") == 1  # once on the terminal, for all three


def test_figures_of_others_weights_are_not_called_the_papers() -> None:
    rows = [row | {"table": "others' weights", "model": "CaffeNet, ILSVRC-2012 val"} for row in published()[1:2]]
    report = paper_markdown.markdown({"published": rows}, RUN, {})
    assert "## Others' weights" in report and "The paper's others" not in report


def test_a_claim_measured_on_two_networks_is_one_claim() -> None:
    rows = [claim("measured", "a claim", "1", "2", on=on) for on in ("miniature", "cifar-4layer")]
    assert digest({"ledger": rows}, RUN).sentence == "1 claim: 1 measured."


def test_figures_of_the_same_data_stand_beside_each_other_without_a_warning() -> None:
    tables = {"published": published(comparable=True)}
    for text in (printed(tables, 200), paper_markdown.markdown(tables, RUN, {})):
        assert "37.50 / 17.00" in text and "2.50 (1.50 to 4.50)" in text
        assert "Not comparable" not in text and "differ" not in text


def test_without_an_evaluation_the_tables_are_the_papers_alone() -> None:
    tables = {"published": published(given=False)}
    assert "no evaluation was given" in printed(tables)
    report = paper_markdown.markdown(tables, RUN, {})
    assert "47.10 / 28.20" in report and "- / 26.20" in report
    assert "Not comparable" not in report


def ablated(*differences: float) -> Ablated:
    [found] = digest({"ablation": ablation("x", *differences)}, RUN).ablations
    return found


def test_an_ablation_has_students_interval_over_its_seeds() -> None:
    found = ablated(0.01, 0.02, 0.03, 0.04)
    assert found.difference == pytest.approx(0.025)
    assert found.half == pytest.approx(3.1824 * 0.0129099 / 2, rel=2e-3)
    assert found.verdict == "more errors"
    assert (found.baseline, found.variant_error) == (pytest.approx(0.05), pytest.approx(0.075))


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((0.01, -0.01, 0.02), "no difference shown"),
        ((-0.01, -0.011, -0.012), "fewer errors"),
        ((0.2,), "one seed: no interval"),
        ((0.0, 0.0), "no difference shown"),
        ((0.01, math.nan), "not measured: a training broke down"),
    ],
)
def test_an_ablation_says_no_more_than_its_interval_allows(differences: tuple[float, ...], verdict: str) -> None:
    assert ablated(*differences).verdict == verdict


def test_a_seed_measured_twice_counts_once_and_the_last_time() -> None:
    rows = [*ablation("x", 0.5, 0.02), *ablation("x", 0.04)]
    [found] = digest({"ablation": rows}, RUN).ablations
    assert found.seeds == 2
    assert found.difference == pytest.approx(0.03)


def test_frameworks_and_data_are_not_averaged_together() -> None:
    rows = ablation("x", 0.01) + [row | {"framework": "jax"} for row in ablation("x", 0.02)]
    rows += [row | {"data": "photos"} for row in ablation("x", 0.03)]
    found = digest({"ablation": rows}, RUN).ablations
    assert [one.where for one in found] == [
        "miniature in torch, digits, 8 epochs",
        "miniature in jax, digits, 8 epochs",
        "miniature in torch, photos, 8 epochs",
    ]


def test_outside_text_is_never_taken_for_markup_nor_obeyed() -> None:
    evil = "[red]x[/bold] \x1b[2J | `<b>` *y*"
    rows = [claim(verdict, evil, evil, evil, note=evil, on=evil) for verdict in ("contradicted", "measured", "holds")]
    tables = {"ledger": rows, "published": [row | {"model": evil} for row in published()]}
    run = RUN | {"failures": [evil]}
    text = printed(tables, 300, run)
    assert "[red]x[/bold]" in text and "\x1b" not in text
    report = paper_markdown.markdown(tables, run, {})
    assert "\x1b" not in report and " <b>" not in report


def test_failures_and_a_run_broken_off_are_said() -> None:
    run = RUN | {"status": "failed", "failures": ["tanh seed 3: killed"]}
    text = printed(paper_rows.tables(), run=run)
    assert "tanh seed 3: killed" in text and "status failed" in text and "1 failure." in text
    report = paper_markdown.markdown(paper_rows.tables(), run, {})
    assert "## What failed" in report and "not finished" in report
