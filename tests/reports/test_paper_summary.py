"""The ledger by verdict, the notes' claims apart, the paper's tables beside ours, the ablations with intervals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import paper_rows
import pytest
import shown
from paper_rows import RUN, ablation, claim, ledger, published

GOLDEN = Path(__file__).parent / "golden"
FILE = "002_made.txt"


def printed(tables: dict[str, Any], width: int = 80, run: Any = RUN, **settings: Any) -> str:
    return shown.terminal(tables, run, width, **settings)


def report(tables: dict[str, Any], run: Any = RUN) -> str:
    return shown.report(tables, run, ["figure1"])


def both(tables: dict[str, Any], run: Any = RUN) -> tuple[str, str]:
    """On a terminal wide enough that nothing is folded, and in the report."""
    return printed(tables, 300, run), report(tables, run)


def sentence(tables: dict[str, Any]) -> str:
    return shown.document(tables, RUN).verdict.sentence


def test_the_terminal_summary_is_the_golden_one() -> None:
    text = printed(paper_rows.tables())
    assert text == (GOLDEN / "paper-80.txt").read_text()
    assert max(len(line) for line in text.splitlines()) <= 80


def test_the_report_is_the_golden_one() -> None:
    assert report(paper_rows.tables()) == (GOLDEN / "paper-report.md").read_text()


def test_every_claim_is_in_the_report_with_the_papers_figure_and_ours() -> None:
    said = report({"ledger": ledger()})
    for row in ledger():
        [line] = [line for line in said.splitlines() if f"| {row['claim']} |" in line]
        assert row["paper"] in line
        assert (row["ours"] or "") in line
        assert (row["command"] or "") in line


def test_claims_stand_under_their_verdict_and_are_counted() -> None:
    titles = [
        "Contradicted by the paper's own network: 1 claim",
        "Measured: 1 claim",
        "Hold, by the paper's own network: 2 claims",
        "Not decided here: 2 claims",
    ]
    text, said = both({"ledger": ledger()})
    assert [line for line in text.splitlines() if line in titles] == titles
    assert [line[3:] for line in said.splitlines() if line[3:] in titles] == titles
    assert "1 needs ImageNet, 1 needs CIFAR-10; the commands that would decide them are in report.md" in text


def test_an_interval_of_errors_is_told_unless_ours_says_its_own() -> None:
    rows = [claim("measured", "an error", "17 %", "2.50 %", low=0.015, high=0.045), ledger()[3]]
    said = report({"ledger": rows})
    assert "| 2.50 % | 1.50 to 4.50 % |" in said and "-0.80 to" not in said


def test_a_verdict_nobody_knows_is_not_lost() -> None:
    text, said = both({"ledger": [claim("doubtful", "a claim", "1", "2")]})
    assert "doubtful: 1 claim" in text and "a claim" in text
    assert "1 claim: 1 doubtful." in text
    assert "## doubtful" in said


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({}, "No claim was looked at."),
        ({"ledger": ledger()[:1]}, "1 claim: 1 holds."),
        (
            {"ledger": [*ledger()[4:], claim("needs ImageNet", "x", "1")]},
            "3 claims: 2 need ImageNet, 1 needs CIFAR-10.",
        ),
        # measured on two networks it is one claim
        (
            {"ledger": [claim("measured", "c", "1", "2", on=on) for on in ("miniature", "cifar")]},
            "1 claim: 1 measured.",
        ),
    ],
)
def test_the_last_line_counts_the_verdicts(tables: Any, said: str) -> None:
    assert printed(tables, 200).splitlines()[-1] == sentence(tables) == said


def test_failures_and_a_run_broken_off_are_said() -> None:
    run = RUN | {"status": "failed", "failures": ["tanh seed 3: killed"]}
    text, said = both(paper_rows.tables(), run)
    assert "tanh seed 3: killed" in text and "status failed" in text and "1 failure." in text
    assert "## What failed" in said and "tanh seed 3: killed" in said and "not finished" in said


# --- the paper's tables -----------------------------------------------------------------------------------------------


def test_figures_of_other_data_are_said_not_to_compare() -> None:
    for text in both({"published": published()}):
        assert "Not comparable: ours are of digits val, the paper's of ImageNet." in text
        assert "37.50 / 17.00" in text and "2.50 (1.50 to 4.50) / 0.25 (0.10 to 0.50)" in text
    assert "| digits val | no | the data differ: 355" in text


def test_each_line_of_ours_says_which_network_it_is_of() -> None:
    others = [row | {"run": f"miniature, weights {name}, in jax"} for name in ("a1", "b2") for row in published()[1:2]]
    tables = {"published": [*published()[:2], *others]}
    for text in both(tables):
        assert all(f"miniature, weights {name}, in" in text for name in ("3f2a", "a1", "b2"))
    assert printed(tables, 200).count("37.50 / 17.00") == 1  # once on the terminal, for all three


def test_figures_of_others_weights_are_not_called_the_papers() -> None:
    rows = [row | {"table": "others' weights", "model": "CaffeNet, ILSVRC-2012 val"} for row in published()[1:2]]
    said = report({"published": rows})
    assert "## Others' weights" in said and "The paper's others" not in said


def test_figures_of_the_same_data_stand_beside_each_other_without_a_warning() -> None:
    for text in both({"published": published(comparable=True)}):
        assert "37.50 / 17.00" in text and "2.50 (1.50 to 4.50)" in text
        assert "Not comparable" not in text and "differ" not in text


def test_without_an_evaluation_the_tables_are_the_papers_alone() -> None:
    text, said = both({"published": published(given=False)})
    assert "no evaluation was given" in text
    assert "47.10 / 28.20" in said and "- / 26.20" in said
    assert "Not comparable" not in said


# --- ablations --------------------------------------------------------------------------------------------------------


def ablated(rows: list[dict[str, Any]]) -> list[list[str]]:
    """The cells of the report's table of ablations: ablation, on, seeds, baseline, variant, difference, says."""
    lines = report({"ablation": rows}).partition("## Ablations")[2].partition("\n## ")[0].splitlines()
    return [line[2:].split(" | ")[:7] for line in lines if line.startswith("| ")][2:]


def test_an_ablation_has_students_interval_over_its_seeds() -> None:
    # Student's t of 3 degrees of freedom is 3.1824, the deviation of these four 1.29099 points
    [found] = ablated(ablation("x", 0.01, 0.02, 0.03, 0.04))
    assert found[2:] == ["4", "5.00", "7.50", "+2.50 ± 2.05", "more errors"]


@pytest.mark.parametrize(
    ("differences", "says"),
    [
        ((0.01, -0.01, 0.02), "no difference shown"),
        ((-0.01, -0.011, -0.012), "fewer errors"),
        ((0.2,), "one seed: no interval"),
        ((0.0, 0.0), "no difference shown"),
        ((0.01, math.nan), "not measured: a training broke down"),
    ],
)
def test_an_ablation_says_no_more_than_its_interval_allows(differences: tuple[float, ...], says: str) -> None:
    [found] = ablated(ablation("x", *differences))
    assert found[6] == says
    assert ("±" in found[5]) == (len(differences) > 1 and all(map(math.isfinite, differences)))


def test_a_seed_measured_twice_counts_once_and_the_last_time() -> None:
    [found] = ablated([*ablation("x", 0.5, 0.02), *ablation("x", 0.04)])
    assert found[2] == "2"
    assert found[5].startswith("+3.00 ±")


def test_frameworks_and_data_are_not_averaged_together() -> None:
    rows = ablation("x", 0.01) + [row | {"framework": "jax"} for row in ablation("x", 0.02)]
    rows += [row | {"data": "photos"} for row in ablation("x", 0.03)]
    assert [one[1] for one in ablated(rows)] == [
        "miniature in torch, digits, 8 epochs",
        "miniature in jax, digits, 8 epochs",
        "miniature in torch, photos, 8 epochs",
    ]


# --- the notes' claims ------------------------------------------------------------------------------------------------


def of_note(number: str, verdict: str, text: str, figure: str, ours: str, **changes: Any) -> dict[str, Any]:
    given = {"section": f"note {number}", "source": f"{FILE}, 2.1", "on": "network paper"}
    return claim(verdict, text, figure, ours, **{**given, **changes})


def notes() -> list[dict[str, Any]]:
    return [
        of_note(
            "002", "contradicted", "6 billion parameters in all", "6 billion", "60,965,224", note="98.4 times that"
        ),
        of_note("002", "holds", "5 convolutions", "5", "5"),
        of_note("002", "misnamed", "connections of C1", "290400", "105,705,600", note="the figure is of outputs"),
        of_note("002", "contradicted", "a third one", "1", "2"),
        of_note("004", "holds", "256x256", "256x256", "256 x 256", source="004_made.txt, The Dataset"),
    ]


def test_the_notes_are_counted_apart_from_the_paper() -> None:
    apart = "The notes' 5 claims: 2 hold, 2 contradicted, 1 misnamed."
    assert sentence({"ledger": [*notes(), *ledger()]}) == f"{sentence({'ledger': ledger()})} {apart}"
    assert sentence({"ledger": notes()}) == apart
    assert sentence({"ledger": notes()[1:2]}) == "The notes' 1 claim: 1 holds."


def test_the_terminal_counts_each_notes_claims_and_shows_the_first_that_do_not_hold() -> None:
    text = printed({"ledger": [*notes(), *ledger()]}, 120)
    lines = text.splitlines()
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
    alone = printed({"ledger": ledger()}, 120)
    assert "The notes' claims" not in alone and text.startswith(alone.rpartition("\n6 claims: ")[0])


def test_no_line_of_a_pipe_is_wider_than_80_columns() -> None:
    long = of_note("002", "contradicted", "many words " * 20, "figures " * 10, "other figures " * 10)
    assert max(map(len, printed({"ledger": [*notes(), long]}, 80).splitlines())) <= 80


def test_every_claim_of_a_note_is_in_the_report_with_both_figures_and_its_verdict() -> None:
    said = report({"ledger": [*notes(), *ledger()]})
    assert "## The notes' claims" in said and "### Note 004, 004_made.txt" in said
    for row in notes():
        [line] = [line for line in said.splitlines() if f"| {row['claim']} |" in line]
        assert f"| {row['paper']} | {row['ours']} | {row['verdict']} |" in line and (row["note"] or "") in line
    assert said.index("## Not decided here") < said.index("## The notes' claims") < said.index("## The run")
    assert "4 claims: 1 holds, 2 contradicted, 1 misnamed." in said
    assert "more of these in report.md" not in said  # what a terminal says in its place stays there
    assert "The notes' claims" not in report({"ledger": ledger()})


def test_a_notes_verdict_nobody_knows_is_counted_under_its_name() -> None:
    text = printed({"ledger": [*notes(), of_note("003", "doubtful", "a claim", "1", "2")]}, 120)
    assert "The notes' 6 claims: 2 hold, 2 contradicted, 1 misnamed, 1 doubtful." in text
    assert "(doubtful)" in text


# --- text from outside ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evil", ["[red]x[/bold] \x1b[2J | `<b>` *y*", "note \x07 | # x"])
def test_outside_text_is_never_taken_for_markup_nor_obeyed(evil: str) -> None:
    rows = [claim(verdict, evil, evil, evil, note=evil, on=evil) for verdict in ("contradicted", "measured", "holds")]
    rows.append(of_note("002", "contradicted", evil, evil, evil, source=f"{evil}, {evil}", note=evil))
    tables = {"ledger": rows, "published": [row | {"model": evil} for row in published()]}
    text, said = both(tables, RUN | {"failures": [evil]})
    assert evil.partition(" ")[0] in text
    assert not {"\x1b", "\x07"} & set(text + said)
    assert " <b>" not in said


def test_only_pictures_that_the_command_drew_are_in_the_report() -> None:
    named = ["figure3-9a8b.png", "figure4-top5-9a8b.png", "other.png", "../figure3-x.png", "figure3-](x) .png"]
    said = report({"ledger": ledger()}, RUN | {"files": named}).partition("## The run")[0]
    assert "## Figure 3: kernels of the first layer (9a8b)" in said
    assert [line.rpartition("](")[2] for line in said.splitlines() if line.startswith("![")] == [
        "figure1.png)", "figure3-9a8b.png)", "figure4-top5-9a8b.png)",
    ]  # fmt: skip
