"""Figures 3 and 4 from the user's weights, and figure 1 from the trainings of this run or of those taken in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.data.obtain import obtain
from harness.errors import AlexbenchError, CannotMeasure, UsageError
from harness.evaluation.job import Job
from harness.paper import figure_four, figure_three
from harness.paper.evidence import Row
from harness.paper.failure import Failure
from harness.paper.options import PaperOptions
from harness.paper.subject import Subject
from harness.parity.material import workspace
from impls.protocol import Tuning

PART = "val"
TUNING: Tuning = "stock"  # a few images are seen before a tuned network is compiled


class Drawn(NamedTuple):
    """What came of it."""

    pictures: list[str]  # file names in the run's folder
    colours: list[Row]  # what the kernels of two towers tell
    failures: list[Failure]


def draw(
    options: PaperOptions,
    folder: Path,
    subjects: Sequence[Subject],
    frameworks: Sequence[str],
    say: Callable[[str], None],
) -> Drawn:
    """Draw from every file what can be drawn. Raises CannotMeasure where pictures cannot be written."""
    drawn = Drawn([], [], [])
    for subject in subjects:
        try:
            _three(folder, subject, drawn, say)
            if options.data is not None:
                drawn.pictures.extend(_four(options, folder, subject, frameworks[0], say))
        except OSError as error:
            raise CannotMeasure(f"cannot write pictures in {folder}: {error.strerror or error}") from None
        except AlexbenchError as error:
            drawn.failures.append(Failure(f"figure 4: {subject.file}", error))
            say(f"figure 4: {subject.file.name}: {error}")
    return drawn


def _three(folder: Path, subject: Subject, drawn: Drawn, say: Callable[[str], None]) -> None:
    picture = folder / f"figure3-{subject.label}.png"
    written = figure_three.draw(subject, picture)
    drawn.pictures.extend(written)
    if written:
        say(f"figure 3: {subject.file.name}")
    else:
        say(f"figure 3: {subject.file.name}: its first layer is no convolution of 1 or 3 channels")
    if (row := figure_three.colour_row(subject)) is not None:
        drawn.colours.append(row)


def _four(
    options: PaperOptions, folder: Path, subject: Subject, framework: str, say: Callable[[str], None]
) -> list[str]:
    prepared = obtain(options.data or "", subject.network, say=say)
    if not {PART, "train"} <= set(prepared.parts):
        raise UsageError(f"{options.data} has parts {', '.join(prepared.parts)}: figure 4 needs train and {PART}")
    job = Job(
        framework,
        subject.network,
        subject.file,
        prepared.path,
        part=PART,
        tuning=TUNING,
        precision=options.precision,
        device=options.device,
        python=options.python(framework),
        timeout_s=options.timeout_s,
    )
    with workspace(folder) as space:
        return figure_four.draw(subject, prepared, job, folder, space, say)
