"""The summary of a training run reads well in 80 columns; its report holds every epoch with its signature."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
import training_rows
from rich.console import Console
from training_rows import RUN, epoch, training

from reports import training_markdown, training_summary
from reports.summaries.training import digest, lines

GOLDEN = Path(__file__).parent / "golden"
TRAINED = {"torch": {"weights": "torch.safetensors", "best": "torch-best.safetensors", "hash": "3f2a91c0" * 8}}
LAST = "top-1 error at the end"


def printed(tables: dict[str, Any], run: Any = RUN, width: int = 80, **settings: Any) -> str:
    file = io.StringIO()
    training_summary.show(tables, run, Console(file=file, width=width, **settings))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def test_the_terminal_summary_is_the_golden_one() -> None:
    text = printed(training_rows.tables(), RUN | {"trained": TRAINED})
    assert text == (GOLDEN / "training-80.txt").read_text()
    assert max(len(line) for line in text.splitlines()) <= 80


def test_the_report_is_the_golden_one() -> None:
    tables = training_rows.tables(("torch", "jax"), epochs=10)
    text = training_markdown.markdown(tables, RUN | {"trained": TRAINED}, {"curves.png": "Learning curves"})
    assert text == (GOLDEN / "training-report.md").read_text()


def test_the_best_epoch_is_the_first_with_the_lowest_error() -> None:
    errors = [0.5, 0.2, 0.3, 0.2, None]
    rows = [epoch("torch", place + 1, top1_error=error) for place, error in enumerate(errors)]
    [line] = lines(rows)
    assert line.best is rows[1]
    assert "20.00 (epoch 2)" in printed({"training": rows})


def test_a_training_is_told_by_framework_and_label() -> None:
    rows = training("torch", "torch-seed1", 2) + training("torch", "mine", 2) + training("torch", "", 2)
    assert [line.name for line in lines(rows)] == ["torch-seed1", "torch mine", "torch"]


def test_an_epoch_that_was_done_again_counts_once_and_as_it_was_last() -> None:
    rows = [*training("jax", epochs=3), epoch("jax", 3, loss=7.0)]
    [line] = lines(rows)
    assert len(line.rows) == 3
    assert line.last["loss"] == 7.0


def test_steps_after_the_last_whole_epoch_are_no_epoch() -> None:
    rows = [*training("jax", epochs=2), epoch("jax", 2, step=100, phase="end", loss=0.9)]
    [line] = lines(rows)
    assert line.last["step"] == 100
    assert len(line.epochs) == 2


def test_a_loss_that_is_no_number_is_said_and_no_success() -> None:
    rows = [*training("torch", epochs=2), epoch("torch", 3, loss=math.nan, top1_error=0.9)]
    found = digest({"training": rows}, RUN)
    assert not found.held
    assert "loss no longer a number: torch" in found.sentence
    assert "nan" in printed({"training": rows})


def test_what_was_not_validated_has_no_column() -> None:
    text = printed({"training": training("torch", epochs=2, top1_error=None, top5_error=None)})
    assert "top-1" not in text and "None" not in text
    assert "1 training." in text


@pytest.mark.parametrize(
    ("tables", "run", "sentence", "held"),
    [
        ({}, RUN, "Nothing was trained.", False),
        ({}, RUN | {"failures": ["torch: killed"]}, "No epoch was finished; 1 failure.", False),
        ({"training": training("jax", epochs=1)}, RUN, f"1 training; {LAST}: jax 56.63%.", True),
        (
            {"training": training("jax", epochs=1)},
            RUN | {"failures": ["torch: killed"]},
            f"1 training; 1 failure; {LAST}: jax 56.63%.",
            False,
        ),
    ],
)
def test_the_last_line_says_how_it_ended(tables: Any, run: Any, sentence: str, held: bool) -> None:
    found = digest(tables, run)
    assert (found.sentence, found.held) == (sentence, held)
    assert printed(tables, run, 200).splitlines()[-1] == sentence


def test_outside_text_is_never_taken_for_markup_nor_obeyed() -> None:
    evil = "[red]x[/bold] \x1b[2J | `<b>` *y*"
    rows = training("torch", evil, 2, data=evil)
    run = RUN | {"failures": [evil], "trained": {evil: {"weights": evil}}}
    text = printed({"training": rows}, run, 200)
    assert text.count("[red]x[/bold]") >= 4
    assert "\x1b" not in text
    report = training_markdown.markdown({"training": rows}, run, {})
    assert "\x1b" not in report
    assert r"\<b>" in report and " <b>" not in report


def test_a_run_broken_off_says_so() -> None:
    run = RUN | {"status": "interrupted"}
    assert "not finished (status interrupted)" in printed(training_rows.tables(), run)
    assert "not finished" in training_markdown.markdown(training_rows.tables(), run, {})


def test_every_training_of_the_report_has_its_signature() -> None:
    report = training_markdown.markdown(training_rows.tables(), RUN, {})
    for framework in training_rows.VERSIONS:
        assert f"`{training_rows.signature(framework)}`" in report


def test_a_long_training_shows_its_last_epochs_in_the_report() -> None:
    report = training_markdown.markdown({"training": training("jax", epochs=130)}, RUN, {})
    assert "The 30 epochs before these are in `training.csv`." in report
    assert "\n| 31 |" in report and "\n| 30 |" not in report


@pytest.mark.parametrize(("seconds", "said"), [(None, ""), (47.2, "47.2 s"), (720, "12 min"), (19_080, "5.3 h")])
def test_durations_have_the_unit_of_their_size(seconds: float | None, said: str) -> None:
    assert training_summary.duration(seconds) == said
