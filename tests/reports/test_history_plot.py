"""The picture of several runs: what it shows, and that it can be read."""

from __future__ import annotations

import math

import drawn
import pytest
import speed_rows
from history_rows import STOCK, TUNED, changed, of_factors, run, times

from reports.figures import history as figures
from reports.figures.style import Drawing
from reports.summaries import history as summary
from reports.summaries.environments import RunTables


def picture(runs: list[RunTables], title: str = "float32, train-step, batch 32") -> Drawing:
    found = summary.history(runs)
    made = figures.history("history-1", {title: found.series}, [one.name for one in runs], found.changes)
    assert made is not None
    drawn.check(made)
    return made


def points(made: Drawing) -> list[tuple[str, str]]:
    return [point for mark in made.marks.values() for point in mark.points]


def test_every_run_of_every_setting_is_a_mark_with_its_interval() -> None:
    made = picture([run(number, [STOCK, TUNED]) for number in (1, 2, 3)])
    assert [at for at, _ in points(made)] == ["run-1", "run-2", "run-3"] * 2
    assert points(made)[0][1] == "40.0 images/s (38.8 to 40.8)"
    assert {mark.series for mark in made.marks.values()} == {"torch stock", "torch tuned"}


def test_a_step_is_written_beside_its_levels() -> None:
    made = picture(of_factors([1.0, 1.01, 0.99, 1.0, 0.8, 0.81, 0.79, 0.8]))
    assert drawn.labels(made.panels[0]) == ["0.80x"]
    assert not drawn.labels(picture(of_factors([1.0, 1.01, 0.99, 1.0, 1.01, 0.99])).panels[0])


def test_what_is_not_stable_or_missing_says_so() -> None:
    runs = of_factors([1.0, 1.0, 1.0])
    runs[0] = run(1, [STOCK | {"stable": "no"}])
    runs[1] = run(2, [speed_rows.failed("torch", "stock", "crashed", "killed")])
    said = points(picture(runs))
    assert said[0][1].endswith(", not stable")
    assert said[-1] == ("run-2", "crashed")


def test_a_changed_machine_is_a_dotted_line_between_two_runs() -> None:
    runs = of_factors([1.0, 1.0, 1.0])
    plain = len(picture(runs).panels[0].lines)
    other = [*runs[:2], changed(runs[2], machine={"cpu": "another"})]
    lines = picture(other).panels[0].lines
    assert len(lines) == plain + 1
    assert lines[-1].get_xdata() == [2.5, 2.5]  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("row", [
    {"step_ms_low": None, "step_ms_high": None}, {"step_ms_low": 0.0}, {"step_ms_high": 1e9},
    {"network": "$x$ <b>\x1b[2J" * 9}, {"framework": "./a/very/long/path/to/mine.py:build_network"},
])  # fmt: skip
def test_odd_rows_are_drawn(row: dict[str, object]) -> None:
    picture(of_factors([1.0, 1.0, 0.5], STOCK | row), title="$x$ <b>" * 9)


def test_a_hundred_runs_and_frameworks_far_apart_can_be_read() -> None:
    runs = [
        run(1, [times(STOCK, math.exp(0.01 * math.sin(place))), times(TUNED, 30.0)])._replace(name=f"run-{place}")
        for place in range(100)
    ]
    picture(runs)


def test_without_a_series_there_is_no_picture() -> None:
    assert figures.history("history-1", {"": ()}, [], ()) is None
