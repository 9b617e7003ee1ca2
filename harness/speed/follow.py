"""A process of a run that spans several: all but the leading one only serve it."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

from harness.errors import CannotMeasure, UsageError, WorkerFailed
from harness.speed.cluster import Place
from harness.speed.matrix import Setting, matrix
from harness.speed.member import Fallen, Member
from harness.speed.options import TUNINGS, SpeedOptions
from harness.speed.rows import Who
from harness.speed.seat import spec_of
from reports.render.terminal import say


def checked(options: SpeedOptions, place: Place) -> SpeedOptions:
    """What a run that spans processes measures: one setting of one framework in one tuning. Raises UsageError."""
    if len(options.frameworks) != 1:
        raise UsageError(
            f"this is process {place.rank} of {place.processes} of a {place.framework} launcher:"
            f" name that one framework, --frameworks {place.framework}"
        )
    if options.frameworks[0] != place.framework:
        raise UsageError(
            f"--frameworks {options.frameworks[0]}: the environment is that of a {place.framework} launcher"
        )
    if options.tunings == TUNINGS:
        options = replace(options, tunings=("tuned",))
    if options.devices == 1:
        options = replace(options, devices=place.processes)
    settings = matrix(options)
    if len(settings) != 1:
        raise UsageError(
            f"a run that spans processes measures one setting, not {len(settings)}: choose one --split, --batch-size,"
            " --precision, --phase and --input"
        )
    return options


def run(options: SpeedOptions, place: Place) -> int:
    """Serve until the leading process ends. Raises WorkerFailed, CannotMeasure."""
    (setting,) = matrix(options)
    who = Who(options.frameworks[0], options.tunings[0])
    with tempfile.TemporaryDirectory(prefix="alexbench-") as folder:
        _serve(options, who, setting, Path(folder))
    say(f"process {place.rank} of {place.processes}: served {who.label} until the leading process ended")
    return 0


def _serve(options: SpeedOptions, who: Who, setting: Setting, folder: Path) -> None:
    settings = setting.settings(who.tuning)  # type: ignore[arg-type]
    with contextlib.ExitStack() as stack:
        try:
            member = Member(replace(spec_of(options, who, settings), silence_limit_s=float("inf")), folder)
            stack.callback(member.kill)
            member.wait_until_ready()
            member.ask("follow")
        except Fallen as fallen:
            kind = CannotMeasure if fallen.status in ("missing", "unsupported") else WorkerFailed
            raise kind(f"{who.label} cannot follow: {fallen.reason}") from None
