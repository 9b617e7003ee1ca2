"""What a long command says while it runs."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from harness.progress import Progress


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)


def text_of(made: Console) -> str:
    assert isinstance(made.file, io.StringIO)
    return made.file.getvalue()


def share(progress: Progress) -> float:
    return progress._bar.tasks[0].completed


def test_without_a_terminal_there_are_plain_lines_with_the_seconds() -> None:
    out = console(terminal=False)
    with Progress("parity", out) as progress:
        progress.say("torch: layer stock done")
        progress.say("[red]not markup[/red]")
    assert re.fullmatch(
        r"\[ +\d+\.\d s\] torch: layer stock done\n\[ +\d+\.\d s\] \[red\]not markup\[/red\]\n", text_of(out)
    )


@pytest.mark.parametrize("terminal", [False, True])
def test_what_is_told_stays(terminal: bool) -> None:
    out = console(terminal)
    with Progress("train", out) as progress:
        progress.tell("torch: epoch 1 [of 2]")
        progress.title("torch epoch 2")
    assert re.search(r"\[ +\d+\.\d s\] torch: epoch 1 \[of 2\] *\r?\n", text_of(out))


def test_on_a_terminal_there_is_a_bar_that_is_gone_afterwards() -> None:
    out = console(terminal=True)
    with Progress("parity of paper", out) as progress:
        progress.expect("torch", 2.0)
        progress.advance("torch", 1.0)
        progress.say("torch: half done")
        progress._bar.refresh()
    assert "torch: half done" in text_of(out) and "50%" in text_of(out)
    assert text_of(out).endswith(("\x1b[2K", "\r", "\x1b[1A\x1b[2K"))


def test_a_bar_that_was_shown_is_taken_away_where_the_work_raises() -> None:
    out = console(terminal=True)
    with pytest.raises(ZeroDivisionError), Progress("parity", out) as progress:
        raise ZeroDivisionError
    assert not progress._bar.live.is_started


def test_the_share_done_weighs_every_worker_by_its_work() -> None:
    progress = Progress("parity", console(terminal=False))
    progress.expect("torch", 30.0)
    progress.expect("jax", 10.0)
    progress.advance("jax", 10.0)
    assert share(progress) == pytest.approx(0.25)
    progress.advance("torch", 15.0)
    assert share(progress) == pytest.approx(0.625)


def test_a_worker_that_ended_early_holds_the_bar_back_no_longer() -> None:
    progress = Progress("parity", console(terminal=False))
    progress.expect("torch", 1.0)
    progress.expect("jax", 1.0)
    progress.advance("torch", 0.25)
    progress.end("torch")
    progress.end("torch")
    assert share(progress) == pytest.approx(0.5)


def test_more_work_than_was_expected_does_not_pass_the_end() -> None:
    progress = Progress("parity", console(terminal=False))
    progress.expect("torch", 1.0)
    for _ in range(5):
        progress.advance("torch", 0.4)
    assert share(progress) == pytest.approx(1.0)


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("parity") as progress:
        progress.say("hello")
    captured = capsys.readouterr()
    assert captured.out == "" and "hello" in captured.err
