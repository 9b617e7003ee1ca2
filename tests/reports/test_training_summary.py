"""The summary of a training run reads well in 80 columns; its report holds every epoch with its signature."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import shown
import training_rows
from training_rows import RUN, epoch, training

from reports.format import written
from reports.summaries.training import best, epochs, name_of, results, trainings
from reports.tables import frame

GOLDEN = Path(__file__).parent / "golden"
TRAINED = {"torch": {"weights": "torch.safetensors", "best": "torch-best.safetensors", "hash": "3f2a91c0" * 8}}
LAST = "top-1 error at the end"


def printed(tables: dict[str, Any], run: Any = RUN, width: int = 80) -> str:
    return shown.terminal(tables, run, width)


def report(tables: dict[str, Any], run: Any = RUN) -> str:
    return shown.report(tables, run, ["curves"])


def test_the_terminal_summary_is_the_golden_one() -> None:
    text = printed(training_rows.tables(), RUN | {"trained": TRAINED})
    assert text == (GOLDEN / "training-80.txt").read_text()
    assert max(len(line) for line in text.splitlines()) <= 80


def test_the_report_is_the_golden_one() -> None:
    tables = training_rows.tables(("torch", "jax"), epochs=10)
    assert report(tables, RUN | {"trained": TRAINED}) == (GOLDEN / "training-report.md").read_text()


def test_the_best_epoch_is_the_first_with_the_lowest_error() -> None:
    errors = [0.5, 0.2, 0.3, 0.2, None]
    rows = [epoch("torch", place + 1, top1_error=error) for place, error in enumerate(errors)]
    [found] = trainings(frame("training", rows)).values()
    assert best(found) is found[1]
    assert "20.00 (epoch 2)" in printed({"training": rows})


def test_a_training_is_told_by_framework_and_label() -> None:
    rows = training("torch", "torch-seed1", 2) + training("torch", "mine", 2) + training("torch", "", 2)
    assert [name_of(key) for key in trainings(frame("training", rows))] == ["torch-seed1", "torch mine", "torch"]


def test_an_epoch_that_was_done_again_counts_once_and_as_it_was_last() -> None:
    rows = [*training("jax", epochs=3), epoch("jax", 3, loss=7.0)]
    [found] = trainings(frame("training", rows)).values()
    assert [row["loss"] for row in found[2:]] == [7.0]


def test_steps_after_the_last_whole_epoch_are_no_epoch() -> None:
    rows = [*training("jax", epochs=2), epoch("jax", 2, step=100, phase="end", loss=0.9)]
    table = frame("training", rows)
    [found] = trainings(table).values()
    assert (len(epochs(found)), results(table)[0]["step"]) == (2, 100)


def test_a_loss_that_is_no_number_is_said_and_no_success() -> None:
    rows = [*training("torch", epochs=2), epoch("torch", 3, loss=math.nan, top1_error=0.9)]
    verdict = shown.document({"training": rows}, RUN).verdict
    assert verdict.tone == "bad"
    assert "loss no longer a number: torch" in verdict.sentence
    assert "nan" in printed({"training": rows})


def test_what_was_not_validated_has_no_column() -> None:
    text = printed({"training": training("torch", epochs=2, top1_error=None, top5_error=None)})
    assert "top-1" not in text and "None" not in text
    assert "1 training." in text


@pytest.mark.parametrize(
    ("tables", "run", "sentence", "tone"),
    [
        ({}, RUN, "Nothing was trained.", "bad"),
        ({}, RUN | {"failures": ["torch: killed"]}, "No epoch was finished; 1 failure.", "bad"),
        ({"training": training("jax", epochs=1)}, RUN, f"1 training; {LAST}: jax 56.63%.", "good"),
        (
            {"training": training("jax", epochs=1)},
            RUN | {"failures": ["torch: killed"]},
            f"1 training; 1 failure; {LAST}: jax 56.63%.",
            "bad",
        ),
    ],
)
def test_the_last_line_says_how_it_ended(tables: Any, run: Any, sentence: str, tone: str) -> None:
    verdict = shown.document(tables, run).verdict
    assert (verdict.sentence, verdict.tone) == (sentence, tone)
    assert printed(tables, run, 200).splitlines()[-1] == sentence


def test_outside_text_is_never_taken_for_markup_nor_obeyed() -> None:
    evil = "[red]x[/bold] \x1b[2J | `<b>` *y*"
    rows = training("torch", evil, 2, data=evil)
    run = RUN | {"failures": [evil], "trained": {evil: {"weights": evil}}}
    text = printed({"training": rows}, run, 200)
    assert text.count("[red]x[/bold]") >= 4
    assert "\x1b" not in text
    told = report({"training": rows}, run)
    assert "\x1b" not in told
    assert r"\<b>" in told and " <b>" not in told


def test_a_run_broken_off_says_so() -> None:
    run = RUN | {"status": "interrupted"}
    assert "not finished (status interrupted)" in printed(training_rows.tables(), run)
    assert "not finished" in report(training_rows.tables(), run)


def test_every_training_of_the_report_has_its_signature() -> None:
    told = report(training_rows.tables())
    for framework in training_rows.VERSIONS:
        assert f"`{training_rows.signature(framework)}`" in told


def test_a_long_training_shows_its_last_epochs_in_the_report() -> None:
    told = report({"training": training("jax", epochs=130)})
    assert "The 30 epochs before these are in training.csv." in told
    assert "\n| 31 |" in told and "\n| 30 |" not in told


@pytest.mark.parametrize(("seconds", "said"), [(None, ""), (47.2, "47.2 s"), (720, "12 min"), (19_080, "5.3 h")])
def test_durations_have_the_unit_of_their_size(seconds: float | None, said: str) -> None:
    assert written(seconds, "duration") == said


def test_a_training_that_broke_off_has_errors_so_far_and_its_interruption_is_no_failure() -> None:
    run = RUN | {"status": "interrupted", "failures": ["interrupted"]}
    verdict = shown.document(training_rows.tables(("torch",), epochs=2), run).verdict
    assert "top-1 error so far: torch" in verdict.sentence
    assert "failure" not in verdict.sentence and verdict.tone == "doubtful"
