"""Checkpoints of one training: all that a later process needs to go on as if nothing had happened.

    checkpoints/LABEL/step-000000120-validated/   weights.safetensors, velocity.safetensors, state.json
    checkpoints/LABEL/best-000000080.safetensors

A checkpoint is written under another name and appears by one rename. The newest one counts; it names the best weights.
After the last step of an epoch there may be one before its validation and one after.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from harness import strict_json
from harness.errors import UsageError
from harness.run_files import CHECKPOINTS
from harness.training.schedule import State
from reports import atomic

FORMAT = 1
WEIGHTS, VELOCITY, STATE = "weights.safetensors", "velocity.safetensors", "state.json"
MOST_BYTES_OF_STATE = 1_000_000
NAME = re.compile(r"step-(\d+)(-validated)?")

Identity = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a training is."""

    step: int = 0
    schedule: State = field(default_factory=State)
    loss_sum: float = 0.0  # of the running epoch's steps, added one after the other
    epoch_s: float = 0.0  # spent in them
    total_s: float = 0.0  # in all steps and validations
    best: str = ""  # file of the best weights
    validated_step: int = 0  # steps done when the weights were last validated; 0: never
    top1_error: float | None = None  # then
    top5_error: float | None = None
    initial_hash: str = ""  # of the weights it began with


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One on the disk."""

    path: Path
    standing: Standing
    identity: Identity

    @property
    def weights(self) -> Path:
        """The weights after `standing.step` steps."""
        return self.path / WEIGHTS

    @property
    def velocity(self) -> Path | None:
        """The velocity; none before the first step, where it is zero."""
        return self.path / VELOCITY if (self.path / VELOCITY).exists() else None

    @property
    def best(self) -> Path:
        """The best weights, or the last where nothing was validated."""
        return self.path.parent / self.standing.best if self.standing.best else self.weights


class Checkpoints:
    """Those of one label in a run's folder."""

    def __init__(self, folder: Path, label: str) -> None:
        if not label or Path(label).name != label or label.startswith("."):
            raise UsageError(f"label {label!r} cannot name a file")
        self.folder = folder / CHECKPOINTS / label

    def clear(self) -> None:
        """Remove what an earlier training left."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def latest(self) -> Checkpoint | None:
        """The newest one, None where there is none. Raises UsageError where it is damaged."""
        found = {}
        for path in self.folder.glob("step-*"):
            if match := NAME.fullmatch(path.name):
                found[int(match[1]), bool(match[2])] = path
        return _read(found[max(found)]) if found else None

    @contextlib.contextmanager
    def begun(self) -> Iterator[Path]:
        """An empty folder to put weights and velocity in, gone afterwards if it was not committed."""
        for left in self.folder.glob(".partial-*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        atomic.remove_partial(self.folder)
        path = self.folder / f".partial-{os.getpid()}"
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def commit(self, begun: Path, standing: Standing, identity: Identity) -> Checkpoint:
        """Make it visible, then remove the older ones. Raises OSError."""
        content = {"format": FORMAT, "identity": dict(identity), **asdict(standing)}
        (begun / STATE).write_text(strict_json.dumps(content, indent=2) + "\n", encoding="utf-8")
        if standing.best == best_name(standing.step):
            hard_copy(begun / WEIGHTS, self.folder / standing.best)
        for file in begun.iterdir():
            atomic.to_disk(file)
        atomic.to_disk(begun)
        path = self.folder / _name(standing)
        begun.rename(path)
        atomic.to_disk(self.folder)
        self._keep_only(path, standing.best)
        return Checkpoint(path, standing, identity)

    def _keep_only(self, newest: Path, best: str) -> None:
        for path in self.folder.iterdir():
            if path.name.startswith("step-") and path != newest:
                shutil.rmtree(path, ignore_errors=True)
            elif path.name.startswith("best-") and path.name != best:
                path.unlink(missing_ok=True)


def _name(standing: Standing) -> str:
    return f"step-{standing.step:09d}" + ("-validated" if 0 < standing.step == standing.validated_step else "")


def best_name(step: int) -> str:
    """File of the weights after so many steps, where they are the best."""
    return f"best-{step:09d}.safetensors"


def hard_copy(source: Path, target: Path) -> None:
    """Let `target` hold what `source` holds, both never changed afterwards; a copy where the disk has no links."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    try:
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)
            atomic.to_disk(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path) -> Checkpoint:
    damaged = UsageError(f"checkpoint {path} is damaged: remove it and start the training anew")
    try:
        file = path / STATE
        if file.stat().st_size > MOST_BYTES_OF_STATE:
            raise damaged
        found = strict_json.loads(file.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise UsageError(f"checkpoint {path} was written by another version of alexbench")
        identity = {str(name): str(value) for name, value in found["identity"].items()}
        schedule = State(**_typed(State, found["schedule"]))
        standing = Standing(**_typed(Standing, {**found, "schedule": schedule}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise damaged from None
    if standing.best and not re.fullmatch(r"best-\d+\.safetensors", standing.best):
        raise damaged
    return Checkpoint(path, standing, identity)


def _typed(kind: type[Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass, each of the type it says. Raises KeyError, TypeError."""
    hints = get_type_hints(kind)
    values = {each.name: found[each.name] for each in fields(kind)}
    for name, value in values.items():
        wanted = hints[name]
        is_whole_number = wanted in (float, float | None) and type(value) is int
        if not is_whole_number and not isinstance(value, wanted):
            raise TypeError(name)
    return values
