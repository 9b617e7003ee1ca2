"""One framework in one tuning while its setting is measured: its worker, and what was found so far."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.launch import WorkerSpec
from harness.speed.cluster import VARIABLES
from harness.speed.effort import BlockPlan
from harness.speed.matrix import Setting
from harness.speed.member import Fallen, Member
from harness.speed.options import SpeedOptions
from harness.speed.rows import Who
from harness.speed.watch import Watched
from impls import registry
from impls.protocol import Settings, Unsupported


@dataclass
class Seat:
    """Filled in as the measurement goes on."""

    who: Who
    settings: Settings
    member: Member
    facts: Mapping[str, str] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)  # columns of the speed row
    warm: list[float] = field(default_factory=list)  # seconds per step, window by window
    steady: bool = False
    plan: BlockPlan = field(default_factory=lambda: BlockPlan(1, 1))
    blocks: list[list[float]] = field(default_factory=list)  # seconds per step, sample by sample
    steps: int = 0  # taken while watched
    seen: Watched = field(default_factory=Watched)

    def task(self) -> dict[str, Any]:
        """The settings as a task carries them."""
        return task_settings(self.settings)


class Ask(Protocol):
    """Has a task done that stands beside a setting's own figure."""

    def __call__(self, seat: Seat, what: str, do: str, **fields: Any) -> Mapping[str, Any] | None:
        """The fields of the answer; None where it came to nothing, which has been told then. `what` names it."""


def task_settings(settings: Settings) -> dict[str, Any]:
    """Settings as fields of a task."""
    return {name: getattr(settings, name) for name in ("tuning", "precision", "device", "devices", "split")}


def spec_of(options: SpeedOptions, who: Who, settings: Settings, *, alone: bool = False) -> WorkerSpec:
    """How the worker is started. `alone`: outside of the processes that the run spans.

    Raises Fallen where the framework has no such settings.
    """
    try:
        environment = registry.environment(who.framework, settings)
    except Unsupported as error:
        raise Fallen("unsupported", str(error), gone=True) from None
    return WorkerSpec(
        label=who.label,
        target=registry.reference(who.framework),
        python=dict(options.pythons).get(who.framework, sys.executable),
        device=settings.device,
        silence_limit_s=options.timeout_s,
        extra_environment=environment,
        without=VARIABLES if alone else (),
    )


def variables(who: Who, settings: Sequence[Setting]) -> dict[str, str]:
    """What the workers' environment is given for these settings, for run.json."""
    found: dict[str, str] = {}
    for setting in settings:
        with contextlib.suppress(Unsupported):  # its row will say so
            found |= registry.environment(who.framework, setting.settings(who.tuning))  # type: ignore[arg-type]
    return found


def started(options: SpeedOptions, who: Who, setting: Setting, folder: Path) -> Seat:
    """A seat whose worker imports its framework. Raises Fallen."""
    settings = setting.settings(who.tuning)  # type: ignore[arg-type]
    return Seat(who, settings, Member(spec_of(options, who, settings), folder))
