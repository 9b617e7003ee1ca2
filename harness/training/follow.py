"""A process of a training that spans several: all but the leading one only serve it."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

from harness import run_reading
from harness.errors import CannotMeasure, UsageError, WorkerFailed
from harness.launch import WorkerSpec
from harness.speed.cluster import Place
from harness.speed.member import Fallen, Member
from harness.training import resume
from harness.training.jobs import followed, setting_of
from harness.training.options import TrainOptions
from harness.training.trainer import environment_of
from impls import registry
from impls.protocol import Settings
from reports.render.terminal import say


def checked(options: TrainOptions, place: Place, resumed: Path | None = None) -> TrainOptions:
    """What a training that spans processes is: of one framework, over all of them. Raises UsageError."""
    if resumed is not None:
        return options if place.leads else resume.options_of(resumed, run_reading.facts(resumed), options)
    if len(options.frameworks) != 1:
        raise UsageError(
            f"this is process {place.rank} of {place.processes} of a {place.framework} launcher:"
            f" name that one framework, --frameworks {place.framework}"
        )
    if options.frameworks[0] != place.framework:
        raise UsageError(
            f"--frameworks {options.frameworks[0]}: the environment is that of a {place.framework} launcher"
        )
    return replace(options, devices=place.processes) if options.devices == 1 else options


def run(options: TrainOptions, place: Place) -> int:
    """Serve until the leading process ends. Raises WorkerFailed, CannotMeasure, UsageError."""
    framework = options.frameworks[0]
    with tempfile.TemporaryDirectory(prefix="alexbench-") as folder, contextlib.ExitStack() as stack:
        try:
            member = Member(_spec(options, framework), Path(folder))
            stack.callback(member.kill)
            member.wait_until_ready()
            member.ask("follow")
        except Fallen as fallen:
            kind = CannotMeasure if fallen.status in ("missing", "unsupported") else WorkerFailed
            raise kind(f"{framework} cannot follow: {fallen.reason}") from None
    say(f"process {place.rank} of {place.processes}: served {framework} until the leading process ended")
    return 0


def _spec(options: TrainOptions, framework: str) -> WorkerSpec:
    setting = setting_of(options, followed(options, options.data))
    settings = Settings(options.tuning, setting.precision, setting.device, setting.devices, setting.split)  # type: ignore[arg-type]
    spec = WorkerSpec(
        label=framework,
        target=registry.reference(framework),
        device=setting.device,
        silence_limit_s=float("inf"),
        extra_environment=environment_of(framework, settings),
    )
    return replace(spec, python=dict(options.pythons).get(framework, spec.python))
