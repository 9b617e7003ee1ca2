"""Going on with a training that broke off: the same arguments, data and ground, and the rows its checkpoints know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from harness import option_record
from harness.data.prepared import Prepared, is_prepared
from harness.errors import UsageError
from harness.run_folder import RunFolder
from harness.speed import resume as ground
from harness.training import recipe_fields
from harness.training.checkpoint import Standing
from harness.training.job import Job
from harness.training.options import TrainOptions
from impls import weights
from impls.spec import Recipe

MAY_DIFFER = ("overwrite", "verbose", "timeout_s", "checkpoint_s")  # from the first part's
PATHS = ("out", "weights")
ADDED = ("parts",)  # options that a run of version 0.1.0 does not have


def arguments(options: TrainOptions) -> dict[str, Any]:
    """The options as run.json keeps them, and as `options_of` reads them."""
    found: dict[str, Any] = {}
    for field in fields(options):
        value = getattr(options, field.name)
        if isinstance(value, Path):
            value = str(value.resolve())
        elif isinstance(value, tuple):
            value = [list(item) if isinstance(item, tuple) else item for item in value]
        found[field.name] = value
    return found


def options_of(path: Path, run: Mapping[str, Any], given: TrainOptions) -> TrainOptions:
    """The first part's options, with what may differ from those given now. Raises UsageError."""
    if run.get("command") != "train":
        raise UsageError(f"--resume {path}: that is a run of {run.get('command')!r}, not of 'train'")
    kept = run.get("arguments")
    try:
        values = {
            field.name: _restored(field.name, kept[field.name])  # type: ignore[index]
            for field in fields(TrainOptions)
            if field.name not in MAY_DIFFER and (field.name not in ADDED or field.name in kept)  # type: ignore[operator]
        }
        options = option_record.checked(TrainOptions(**values))
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"--resume {path}: its run.json was written by another version of alexbench") from None
    return replace(options, **{name: getattr(given, name) for name in MAY_DIFFER})


def _restored(name: str, value: Any) -> Any:
    if name in PATHS:
        return None if value is None else Path(value)
    if isinstance(value, list):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return value


def data_of(run: Mapping[str, Any]) -> Path | None:
    """The prepared folder of the first part, if it is still there."""
    known = run.get("data")
    path = Path(str(known.get("path"))) if isinstance(known, dict) else None
    return path if path is not None and is_prepared(path) else None


def recipe_of(path: Path, run: Mapping[str, Any]) -> Recipe:
    """The first part's recipe: a file may have changed since. Raises UsageError."""
    known = run.get("recipe")
    if not isinstance(known, dict):
        raise UsageError(f"--resume {path}: its run.json has no recipe")
    return recipe_fields.recipe_of(known, f"--resume {path}")


def check_data(path: Path, run: Mapping[str, Any], prepared: Prepared) -> None:
    """Refuse other data. Raises UsageError."""
    known = run.get("data")
    before = known.get("hash") if isinstance(known, dict) else None
    if before != prepared.content_hash:
        raise UsageError(
            f"--resume {path}: the data's hash was {str(before)[:12]}, that of {prepared.path} is"
            f" {prepared.content_hash[:12]}; start a new run with --out elsewhere"
        )


def hashes(jobs: Sequence[Job]) -> dict[str, str]:
    """Network -> hash of the weights file that training begins with, where one was given. Raises WeightsError."""
    network, file = jobs[0].network, jobs[0].weights
    return {} if file is None else {network.name: weights.load(file, network).content_hash}


def check_weights(path: Path, run: Mapping[str, Any], jobs: Sequence[Job], begun: Mapping[str, Standing]) -> None:
    """Refuse other initial weights for a framework that has not begun. Raises UsageError, WeightsError."""
    if len(begun) < len(jobs):
        ground.check_weights(path, run, hashes(jobs))


def keep_what_stands(folder: RunFolder, begun: Mapping[str, Standing]) -> None:
    """Leave the rows of what the checkpoints hold: label -> how far that is. The others come again.

    A checkpoint after an epoch's last step may be older than the validation that the epoch's row tells of.
    """
    last: dict[str, Callable[[Standing], int]] = {
        "loss": lambda standing: standing.step,
        "training": lambda standing: standing.validated_step,
    }
    for kind, of in last.items():
        steps = {label: of(standing) for label, standing in begun.items()}
        found = folder.rows(kind)
        stands = [row for row in found if int(row.get("step") or 0) <= steps.get(str(row.get("label")), 0)]
        if len(stands) < len(found):
            folder.keep_only(kind, stands)
