"""Jobs scored: a worker for each framework, a network opened once for all its crops, images range by range.

A worker that falls costs the job it was at; another one takes over the jobs that follow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

from harness.errors import AlexbenchError, CannotMeasure, MeasuredWanting, WorkerFailed
from harness.evaluation.job import Job, Scored, Unscored, Who
from harness.evaluation.scoring_worker import Advance, ScoringWorker, subject
from harness.speed.member import Fallen

Say = Callable[[str], None]

_ERRORS: dict[str, type[AlexbenchError]] = {
    "not-finite": MeasuredWanting,
    "crashed": WorkerFailed,
    "timed-out": WorkerFailed,
}


def score(job: Job, folder: Path, say: Say) -> Scored:
    """Score one job; its probabilities lie in `folder`. Raises AlexbenchError where it comes to nothing."""
    return score_all([job], folder, say)[0]


def score_all(jobs: Sequence[Job], folder: Path, say: Say) -> list[Scored]:
    """Score jobs, in the order given. Raises AlexbenchError at the first that comes to nothing."""
    found: dict[int, Scored] = {}
    for index, result in _indexed(jobs, folder, say, None):
        found[index] = required(result)
    return [found[index] for index in range(len(jobs))]


def results(
    jobs: Sequence[Job], folder: Path, say: Say, advance: Advance | None = None
) -> Generator[Scored | Unscored, None, None]:
    """What becomes of each job, as soon as it is known: framework by framework, and weights by weights in each.

    Closed before its end, it ends its worker.
    """
    for _, result in _indexed(jobs, folder, say, advance):
        yield result


def required(result: Scored | Unscored) -> Scored:
    """What was scored. Raises AlexbenchError, by what it came to."""
    if isinstance(result, Scored):
        return result
    kind = _ERRORS.get(result.status, CannotMeasure)
    raise kind(f"{result.job.framework} did not score {result.job.weights}: {result.status}: {result.reason}")


def _indexed(
    jobs: Sequence[Job], folder: Path, say: Say, advance: Advance | None
) -> Iterator[tuple[int, Scored | Unscored]]:
    waiting: dict[Who, list[int]] = {}
    for index, job in enumerate(jobs):
        waiting.setdefault(job.who, []).append(index)
    for who, indices in waiting.items():
        ordered = sorted(indices, key=lambda index: _network_key(jobs[index], jobs))
        left = [(index, jobs[index]) for index in ordered]
        while left:
            yield from _by_one_worker(who, left, folder, say, advance)


def _network_key(job: Job, jobs: Sequence[Job]) -> int:
    """The first job that asks for the same open network: crops of the same weights follow each other."""
    return next(index for index, other in enumerate(jobs) if subject(other) == subject(job))


def _by_one_worker(
    who: Who, left: list[tuple[int, Job]], folder: Path, say: Say, advance: Advance | None
) -> Iterator[tuple[int, Scored | Unscored]]:
    """Take jobs from `left` until none is there or the worker is gone."""
    with contextlib.ExitStack() as stack:
        try:
            say(f"{who.framework}: starting")
            worker = ScoringWorker(who, folder)
            stack.callback(worker.kill)
            worker.describe()
        except Fallen as fallen:
            # Nothing of these jobs has been tried: what kept this worker from starting keeps the next one too.
            yield from ((index, Unscored(job, fallen.status, fallen.reason)) for index, job in left)
            left.clear()
            return
        while left:
            index, job = left.pop(0)
            say(f"{who.framework}: {job.weights.name}, {_crops(job.crops)}")
            try:
                result = worker.score(job, advance or _nobody)
            except Fallen as fallen:
                yield index, Unscored(job, fallen.status, fallen.reason, worker.version)
                if fallen.gone:
                    return
            else:
                yield index, result
        worker.finish()


def _crops(count: int) -> str:
    return "1 crop" if count == 1 else f"{count} crops"


def _nobody(job: Job, images: int) -> None:
    """Nobody asked how far it is."""
