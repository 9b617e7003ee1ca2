"""What several runs of one program amount to: how fast each setting was in run after run, and where that changed.

A run is one measurement here, however many samples it has: of sixteen runs of one program the intervals within runs
called 17 % of the pairs different, because what varies from run to run is not in them. A step is looked for at every
place that has three runs on either side, by the t-tests of `statistics.chance` on the logarithms of the runs' figures.
The place that chance gives least often is taken, if chance gives one such, anywhere on the page, to at most one page of
twenty; then both sides are searched again.

References:
    Scott and Knott, A Cluster Analysis Method for Grouping Means in the Analysis of Variance, 1974 (splitting in two).
    Welch, The Generalization of Student's Problem, 1947.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from reports import statistics
from reports.format import Row, text
from reports.statistics import Interval, Term
from reports.summaries.environments import PROGRAM, Difference, RunTables, differences
from reports.summaries.speed import NAMES, Key, images_of, is_emulated, is_measured, latest, order, samples_by_setting

RESOLUTION = (
    1e-3  # of a figure: how far apart runs are held to lie at least, though a coarse clock says the same of all
)
MIN_SIDE = 3  # runs before a step and after it
KINDS = ("speed", "sample")  # of tables that a history is made of
NEEDED = (  # of their columns
    *NAMES, "emulated", "status", "stable", "signature", "images_per_s", "step_ms", "step_ms_low", "step_ms_high",
    "process", "block", "index", "warm", "seconds", "steps",
)  # fmt: skip
ALPHA = 1 - statistics.CONFIDENCE  # of all series of a page together


class Point(NamedTuple):
    """A setting in one run."""

    run: int  # place of the run, from 0 on
    row: Row  # of `speed`
    images: Interval | None  # images/s with the interval within the run; None where it was not measured


class Step(NamedTuple):
    """A place where a setting became faster or slower."""

    before: int  # places of the last run before it and of the first one after it
    after: int
    ratio: Interval  # of the figures after it over those before, with runs as the unit
    chance: float  # of finding such a step anywhere on the page where there is none


@dataclass(frozen=True, slots=True)
class Series:
    """A setting that several runs measured."""

    points: tuple[Point, ...]  # of every run that has a row of it, in order of time
    steps: tuple[Step, ...]

    @property
    def row(self) -> Row:
        """A row that names the setting."""
        return self.points[-1].row

    @property
    def measured(self) -> tuple[Point, ...]:
        """The points with a figure."""
        return tuple(point for point in self.points if point.images is not None)

    @property
    def parts(self) -> tuple[tuple[Point, ...], ...]:
        """The points with a figure before, between and after the steps."""
        starts = [0, *(step.after for step in self.steps)]
        return tuple(
            tuple(point for point in self.measured if first <= point.run and (after is None or point.run < after))
            for first, after in zip(starts, [*starts[1:], None], strict=True)
        )

    @property
    def spread(self) -> float | None:
        """Standard deviation of the logarithms of figures that no step parts; None where nothing tells of it."""
        known = [found for part in self.parts if (found := statistics.term(_logarithms(part)))]
        freedom = sum(one.freedom for one in known)
        squares = sum(one.variance * one.freedom * (one.freedom + 1) for one in known)
        return math.sqrt(squares / freedom) if freedom else None

    @property
    def emulated(self) -> bool:
        """Whether devices were emulated: their times prove nothing, and no step is looked for."""
        return any(is_emulated(point.row) for point in self.points)

    @property
    def judged(self) -> bool:
        """Whether there are runs enough to find a step."""
        return not self.emulated and len(self.measured) >= 2 * MIN_SIDE


class Change(NamedTuple):
    """What differs between a run and the last one before it of the same command: another one sets flags of its own."""

    before: int  # places of the two
    run: int
    differences: tuple[Difference, ...]

    @property
    def grounds(self) -> tuple[Difference, ...]:
        """Those of the ground it stood on: machine, versions, flags, weights."""
        return tuple(one for one in self.differences if one.group != PROGRAM)


@dataclass(frozen=True, slots=True)
class History:
    """Several runs in order of time."""

    series: tuple[Series, ...]  # in a reader's order
    changes: tuple[Change, ...]  # of those runs that differ from the one before them


def history(runs: Sequence[RunTables]) -> History:
    """The settings that at least two of these runs of any command measured. `runs` are in order of time."""
    found: dict[Key, list[Point]] = {}
    for place, run in enumerate(runs):
        samples = samples_by_setting(run.tables["sample"]) if "sample" in run.tables else {}
        for row in latest(run.tables["speed"]) if "speed" in run.tables else ():
            images = images_of(row, samples) if is_measured(row) else None
            found.setdefault(_key(row), []).append(Point(place, row, images))
    bare = [Series(tuple(points), ()) for points in found.values()]
    kept = sorted((one for one in bare if len(one.measured) > 1), key=lambda one: order(one.row))
    judged = sum(one.judged for one in kept)
    changes = (Change(a, b, tuple(differences(runs[a], runs[b]))) for a, b in _neighbours(runs))
    return History(
        series=tuple(Series(one.points, _steps(one, judged)) for one in kept),
        changes=tuple(change for change in changes if change.differences),
    )


def needed(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """What a history is made of, which is little: rows of speed without what it does not show, a sample a block."""
    found = {kind: table[[name for name in NEEDED if name in table]] for kind, table in tables.items() if kind in KINDS}
    if "sample" in found:
        sample = found["sample"]
        usable = (sample["seconds"] > 0) & (sample["steps"] > 0) & (sample["warm"] != "no").fillna(True)
        blocks = [name for name in (*NAMES, "process", "block") if name in sample]
        found["sample"] = sample[usable.fillna(False).astype(bool)].drop_duplicates(blocks)
    return {kind: table.copy() for kind, table in found.items()}


def _neighbours(runs: Sequence[RunTables]) -> Iterator[tuple[int, int]]:
    """The places of every run that has one of the same command before it, and of the last such one."""
    last: dict[str, int] = {}
    for place, run in enumerate(runs):
        command = str(run.facts.get("command"))
        if command in last:
            yield last[command], place
        last[command] = place


def _steps(series: Series, judged: int) -> tuple[Step, ...]:
    """In order of time. `judged` is the number of series that are searched on the page."""
    if not series.judged:
        return ()
    places = [point.run for point in series.measured]
    figures = _logarithms(series.measured)
    found = dict(sorted(_splits(figures, 0, judged)))
    ends = [0, *found, len(figures)]
    steps = []
    for before, at, after in zip(ends, ends[1:], ends[2:], strict=False):
        ratio = statistics.interval(_difference(figures[before:at], figures[at:after]))
        assert ratio is not None  # either side has runs enough
        steps.append(Step(places[at - 1], places[at], ratio, found[at]))
    return tuple(steps)


def _splits(figures: Sequence[float], first: int, judged: int) -> Iterator[tuple[int, float]]:
    """Where `figures`, of which the first has place `first`, are split, and how often chance would split them."""
    places = range(MIN_SIDE, len(figures) - MIN_SIDE + 1)
    if not places:
        return
    chances = {at: statistics.chance(figures[:at], figures[at:], RESOLUTION) for at in places}
    at = min(chances, key=lambda place: chances[place])
    chance = chances[at] * len(places) * judged
    if chance <= ALPHA:
        yield from _splits(figures[:at], first, judged)
        yield first + at, chance
        yield from _splits(figures[at:], first + at, judged)


def _difference(before: Sequence[float], after: Sequence[float]) -> list[Term]:
    """log(after) - log(before), of sides with two members at least."""
    over, under = statistics.term(after), statistics.term(before)
    assert over is not None
    assert under is not None
    return [over, under.scaled(-1.0)]


def _logarithms(points: Sequence[Point]) -> list[float]:
    return [math.log(point.images.value) for point in points if point.images is not None]


def _key(row: Row) -> Key:
    return tuple(text(row, name) for name in NAMES)
