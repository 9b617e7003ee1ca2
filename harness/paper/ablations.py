"""The ablations of a run: what is to be trained on what, and all of it trained, row by row into the run's folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.data.obtain import obtain
from harness.data.prepared import Prepared
from harness.errors import CannotMeasure, UsageError
from harness.paper import figure_one_training, study, training_part, variants
from harness.paper.ablation_rows import scored
from harness.paper.failure import Failure
from harness.paper.options import DIGITS, MINIATURE, PaperOptions
from harness.paper.study import Ground, Keep, Plan, Study
from harness.run_files import TRAININGS  # weights, and checkpoints of a training that broke off
from harness.run_folder import RunFolder
from harness.training import schedule
from impls import catalog
from impls.spec import Network

FIGURE_ONE = "figure-1"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Planned:
    """Everything that can be refused has been."""

    options: PaperOptions
    network: Network
    prepared: Prepared
    limit: int | None
    frameworks: tuple[str, ...]
    plan: Plan
    figure_one: bool


def prepare(options: PaperOptions, frameworks: tuple[str, ...], say: Say) -> Planned:
    """Data, network and plan. Raises UsageError and what bad data raise."""
    miniature = options.network == MINIATURE
    network = variants.MINIATURE if miniature else catalog.get(options.network)
    if network.large:
        raise UsageError(f"--network {network.name} needs tens of gigabytes for each training: choose another")
    if options.epochs is not None:
        network = replace(network, recipe=schedule.of_length(network.recipe, options.epochs))
    data = options.data or DIGITS
    side = variants.MINIATURE_SIDE if miniature and data == DIGITS else None
    prepared = obtain(data, network, side=side, say=say)
    if missing := {"train", study.PART} - set(prepared.parts):
        raise UsageError(f"{data} has no part {min(missing)!r}: ablations train on one and are held apart on the other")
    limit = options.limit or (variants.MINIATURE_LIMIT if miniature and data == DIGITS else None)
    batch, images = network.recipe.batch_size, len(prepared.part("train"))
    if min(images, limit or images) < batch:
        asked = f"--limit {options.limit}" if (options.limit or images) < images else f"{data} with {images} images"
        raise UsageError(f"{asked} does not fill a batch of {batch}, which network {network.name!r} is trained with")
    plan = study.plan(network, options.only)
    small = max(network.height, network.width) <= figure_one_training.LARGEST_SIDE
    has_figure = small and (not options.only or FIGURE_ONE in options.only)
    if not plan.ablations and not has_figure:
        raise UsageError(f"--only {','.join(options.only)} changes nothing in network {network.name!r}")
    return Planned(options, network, prepared, limit, frameworks, plan, has_figure)


def run(planned: Planned, folder: RunFolder, keep: Keep, say: Say, *, resumed: bool) -> list[Failure]:
    """Train what is not there yet, its rows through `keep` into `folder`. Returns what failed."""
    ground = Ground(
        planned.options, planned.network, planned.prepared, planned.limit, folder.path / TRAININGS, planned.frameworks
    )
    try:
        ground.folder.mkdir(exist_ok=True)
    except OSError as error:
        raise CannotMeasure(f"cannot write {ground.folder}: {error.strerror}") from None
    whole = Study(ground, planned.plan, keep, say, scored(folder.rows("trial")), resumed=resumed)
    count = whole.total
    told = (
        f"{len(planned.plan.networks)} networks, {planned.options.seeds} seeds, {planned.network.recipe.epochs} epochs"
    )
    say(f"{count} trainings of {planned.network.name} on {planned.prepared.source}: {told}")
    try:
        failures = whole.run()
    finally:
        folder.replace("ablation", study.rows(folder.rows("trial"), planned.plan))
    return [*failures, *(_figure_one(ground, folder, keep, say, resumed=resumed) if planned.figure_one else ())]


def _figure_one(ground: Ground, folder: RunFolder, keep: Keep, say: Say, *, resumed: bool) -> list[Failure]:
    try:
        data = training_part.make(ground.prepared, ground.limit, ground.folder / "training-part")
    except OSError as error:
        raise CannotMeasure(f"cannot write {ground.folder}: {error.strerror}") from None
    curves = figure_one_training.Curves(ground, data, keep, say, folder.rows("training-error-tried"), resumed=resumed)
    folder.replace("training-error", curves.run())
    shutil.rmtree(data, ignore_errors=True)  # a copy of the training images
    return curves.failures
