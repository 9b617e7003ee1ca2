"""Figure 4: the five likeliest classes under test images, and the training images with the nearest features.

Features are the inputs of the last fully-connected layer, 4096 in the paper's network, and near is near by Euclidean
distance (section 6.1). The images are spread evenly over the held-out part: nobody chose them. Of those with bars half
are misclassified ones, where there are so many, because the paper's figure shows failures too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.prepared import Prepared
from harness.errors import UsageError
from harness.evaluation import run as evaluation
from harness.evaluation.features import features
from harness.evaluation.job import Job
from harness.paper.subject import Subject

IMAGES = 8  # with bars, as in the paper
QUERIES = 5  # with neighbours
NEIGHBOURS = 6
MOST_TRAINING = 20_000  # images searched for neighbours: 4096 features of each are 330 MB
ROWS = 1000  # training images whose distances are computed at once


def draw(
    subject: Subject, prepared: Prepared, job: Job, folder: Path, space: Path, say: Callable[[str], None]
) -> list[str]:
    """Draw both halves into `folder`, and name the files; what is needed on the way lies in `space`.

    Raises AlexbenchError, OSError.
    """
    from reports.figures import figure4, style

    said = f"{subject.network.name}, {subject.trained_on}, on {prepared.source} {job.part}"
    signature = subject.signature(framework=job.framework, data=prepared.content_hash[:12])
    part = prepared.part(job.part)
    names = outputs(subject, prepared)
    top5 = folder / f"figure4-top5-{subject.label}.png"
    say(f"figure 4: {subject.file.name}: the likeliest classes of {min(len(part), IMAGES)} images")
    probabilities = _probabilities(job, space)
    wrong = probabilities.argmax(axis=1) != part.labels
    shown = mixed(wrong, IMAGES)
    drawn = figure4.top5(
        part.images[shown], part.labels[shown], names, probabilities[shown],
        said=f"{said}. {picked(wrong, shown)}", signature=signature, name=top5.stem,
    )  # fmt: skip
    written = style.save(drawn, top5)
    queries = spread(len(part), QUERIES)
    layer = subject.network.layers[-2].name
    training = prepared.part("train")
    searched = np.arange(min(len(training), MOST_TRAINING))
    say(f"figure 4: {subject.file.name}: {layer} of {len(searched)} training images")
    ours = features(job, layer, queries.tolist(), space)
    theirs = features(replace(job, part="train"), layer, searched.tolist(), space)
    found, distances = nearest(ours, theirs, NEIGHBOURS)
    near = folder / f"figure4-neighbours-{subject.label}.png"
    drawn = figure4.neighbours(
        part.images[queries], np.stack([training.images[line] for line in found]), distances,
        query_names=[prepared.classes[label] for label in part.labels[queries]],
        near_names=[[prepared.classes[label] for label in training.labels[line]] for line in found],
        said=f"{said}; features: {layer}", signature=signature, name=near.stem,
    )  # fmt: skip
    return [*written, *style.save(drawn, near)]


def outputs(subject: Subject, prepared: Prepared) -> list[str]:
    """A name for each of the network's outputs, which may be more than the classes of the data. Raises UsageError."""
    names, count = list(prepared.classes), subject.network.classes
    if len(names) > count:
        raise UsageError(
            f"{prepared.source} has {len(names)} classes, {subject.file} answers with {count} ({subject.network.name}):"
            " pass weights that were trained on these classes"
        )
    return [*names, *(f"class {number}" for number in range(len(names), count))]


def _probabilities(job: Job, space: Path) -> NDArray[np.float64]:
    scored = evaluation.score(job, space, lambda text: None)
    found: NDArray[np.float64] = np.load(scored.probabilities, allow_pickle=False)
    return found


def spread(count: int, wanted: int) -> NDArray[np.int64]:
    """So many indices, evenly over 0 .. count - 1, all of them where there are fewer."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))


def mixed(wrong: NDArray[np.bool_], wanted: int) -> NDArray[np.int64]:
    """So many indices into [n], half of them where it is wrong, each kind evenly; of a kind with too few all."""
    failures, others = np.flatnonzero(wrong), np.flatnonzero(~wrong)
    few = min(len(failures), max(wanted // 2, wanted - len(others)))
    chosen = [failures[spread(len(failures), few)], others[spread(len(others), wanted - few)]]
    return np.sort(np.concatenate(chosen))


def picked(wrong: NDArray[np.bool_], shown: NDArray[np.int64]) -> str:
    """How many failures are shown, and of how many: what is seen is not how often the network fails."""
    failures = int(wrong.sum())
    if not failures:
        return f"None of the {len(wrong)} images is misclassified"
    kept = int(wrong[shown].sum())
    return f"{kept} of the {len(shown)} shown were picked from the {failures} of {len(wrong)} that are misclassified"


def nearest(
    queries: NDArray[np.floating], others: NDArray[np.floating], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each of [n, units] the `count` nearest of [m, units]: indices and distances [n, count], nearest first.

    Differences are taken before they are squared, which loses nothing where two images are nearly alike.
    """
    wide = np.asarray(queries, np.float64)
    squares = np.empty((len(wide), len(others)))
    for start in range(0, len(others), ROWS):
        block = np.asarray(others[start : start + ROWS], np.float64)
        for row, query in enumerate(wide):
            squares[row, start : start + len(block)] = np.square(block - query).sum(axis=1)
    found = np.argsort(squares, axis=1, kind="stable")[:, :count]
    return found, np.sqrt(np.take_along_axis(squares, found, axis=1))
