"""`alexbench speed`: what is to be measured, the measurement, the report, and what the exit code says of it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import command_line, environment, going_on, run_claim, run_reading, same_ground
from harness.errors import CannotMeasure, UsageError
from harness.kept_rows import keeper
from harness.parity.command import in_folder
from harness.parity.material import workspace
from harness.progress import Progress
from harness.requirements import install_command
from harness.run_folder import RunFolder, facts_of
from harness.speed import cluster, estimate, follow, nvml, resume
from harness.speed.material import Material
from harness.speed.matrix import Setting, matrix
from harness.speed.options import SpeedOptions
from harness.speed.rows import KEPT, Row, Who, left
from harness.speed.run import SpeedRun
from harness.speed.seat import variables
from impls import catalog, registry, weights
from reports.render.terminal import Console

ALL_MEASURED, WANTING, CANNOT_MEASURE, WORKER_FAILED = 0, 1, 3, 4

Outcome = tuple[int, list[str], dict[str, float]]


def run(options: SpeedOptions, resumed: Path | None = None) -> int:
    """Measure, report, and return the exit code. Raises AlexbenchError and what bad input raises; KeyboardInterrupt."""
    if not math.isfinite(options.timeout_s):
        raise UsageError(f"--timeout {options.timeout_s} is no number of seconds")
    place = cluster.place(os.environ)
    if place is not None:
        options = follow.checked(options, place)
        if not place.leads:
            return follow.run(options, place)
    if resumed is not None:
        return _resume(options, resumed)
    reads = tuple(filter(None, [options.weights]))
    if not options.dry_run:
        run_claim.check(options.out, overwrite=options.overwrite, reads=reads)
    settings, whos = _planned(options)
    if options.dry_run:
        return dry_run(options, settings, whos)
    given, facts = resume.arguments(options), first_facts(options, settings, whos)
    line = command_line.of("speed", options)
    folder = RunFolder.create(
        "speed", given, options.out, overwrite=options.overwrite, reads=reads, command_line=line, facts=facts
    )
    with going_on.told(folder):
        return in_folder(folder, lambda: _measured(options, folder, settings, whos, {}))


def _planned(options: SpeedOptions) -> tuple[list[Setting], list[Who]]:
    """Everything that can be refused is refused here, before a folder is claimed."""
    names = frameworks(options)
    settings = matrix(options)
    if options.layers and options.devices > 1:
        raise UsageError("--layers times single layers on one device: leave out the other devices")
    if options.weights is not None:
        for network in options.networks:
            weights.load(options.weights, catalog.get(network))
    check_devices(options)
    return settings, [Who(name, tuning) for name in names for tuning in options.tunings]


def first_facts(options: SpeedOptions, settings: Sequence[Setting], whos: Sequence[Who]) -> dict[str, Any]:
    """What run.json holds from the start."""
    layers = {name: [layer.name for layer in catalog.get(name).layers] for name in options.networks}
    return {
        "layers": layers[options.networks[0]],
        "layers_of": layers,
        "worker_environment": {who.label: variables(who, settings) for who in whos},
    }


def _resume(given: SpeedOptions, path: Path) -> int:
    before = facts_of(path)
    options = resume.options_of(path, before, given)
    changed = same_ground.check(path, before)
    settings, whos = _planned(options)
    if options.dry_run:
        return dry_run(options, settings, whos, resume.that_stand(run_reading.rows(path, "speed")))
    folder = RunFolder.reopen(path, changed)
    with going_on.told(folder):
        return in_folder(folder, lambda: _measured(options, folder, settings, whos, resume.keep_what_stands(folder)))


def frameworks(options: SpeedOptions) -> list[str]:
    """Those asked for, or all that are installed. Raises UnknownFramework, CannotMeasure."""
    pythons = dict(options.pythons)
    names = list(dict.fromkeys(options.frameworks))
    for name in names:
        registry.reference(name)
    if not names:
        names = [name for name in registry.frameworks() if name in pythons or not registry.missing_modules(name)]
    if not names:
        raise CannotMeasure(f"no framework is installed: {install_command('cpu')}, or one of the three alone")
    return names


def check_devices(options: SpeedOptions) -> None:
    """Whether there are so many GPUs. Raises CannotMeasure; says nothing where only the frameworks can tell."""
    if options.device == "cpu" or cluster.place(os.environ) is not None:
        return
    found = nvml.count()
    index = int(options.device.partition(":")[2] or 0)
    wanted = max(options.devices, index + 1)
    if found is None or found >= wanted:
        return
    how = f"--device cpu --devices {options.devices}" if options.devices > 1 else "--device cpu"
    what = "emulated devices run" if options.devices > 1 else "the CPU is measured"
    have = "no NVIDIA GPU" if not found else f"{found} NVIDIA GPU" + ("s" if found > 1 else "")
    wish = f"{options.devices} GPUs" if options.devices > 1 else f"device {options.device}"
    raise CannotMeasure(f"{wish} asked for, found {have}: {what} with {how}")


def dry_run(options: SpeedOptions, settings: Sequence[Setting], whos: Sequence[Who], stands: Sequence[Row] = ()) -> int:
    """Print what of the matrix has no row that stands, and how long it would take."""
    console = Console()
    cores, total, count = environment.usable_cores(), 0.0, 0
    for setting, missing in left(settings, whos, stands).items():
        if not missing:
            continue
        seconds = sum(estimate.setting_s(setting, (who.tuning,), 1, options.effort, cores) for who in missing)
        total, count = total + seconds, count + len(missing)
        console.print(
            f"{setting.told()}: {', '.join(who.label for who in missing)}, about {told_time(seconds)}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    if count:
        total += estimate.RUN_S
    console.print(f"{count} measurements, about {told_time(total)} in all; nothing was run", highlight=False)
    return ALL_MEASURED


def told_time(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _measured(
    options: SpeedOptions,
    folder: RunFolder,
    settings: Sequence[Setting],
    whos: Sequence[Who],
    stands: Mapping[str, list[Row]],
) -> Outcome:
    started = time.monotonic()
    with workspace(folder.path) as space, Progress("speed") as progress:
        material = Material(options, space)
        sweep = SpeedRun(options, material, progress, keeper(folder, options.verbose), folder.note)
        if stands:
            hashes = {name: material.weights_of(name)[1].content_hash for name in options.networks}
            resume.check_weights(folder.path, folder.facts, hashes)
            sweep.on_described = lambda told: same_ground.check_told(folder.path, folder.facts, told)
            sweep.weights |= hashes
            sweep.frameworks |= folder.facts.get("frameworks") or {}
            sweep.versions |= folder.facts.get("versions") or {}
            sweep.orders += folder.facts.get("order") or []
            sweep.resume(stands)
        sweep.measure(settings, whos)
    folder.show()
    if any(row["status"] not in KEPT for row in sweep.rows):
        going_on.tell(folder)
    timings = {"seconds": time.monotonic() - started, "peak_memory_mb.harness": environment.peak_memory_mb()}
    return exit_code(sweep.rows, sweep.beside), failures(sweep.rows, sweep.beside), timings


def failures(rows: Sequence[Row], beside: Sequence[Row] = ()) -> list[str]:
    """One line for each setting that was not measured, and for what failed `beside` a setting's own figure."""
    settings = [
        f"{row['framework']}/{row['tuning']} {row['network']} batch {row['batch_size']} {row['precision']}:"
        f" {row['status']}: {row['reason']}"
        for row in rows
        if row["status"] != "measured"
    ]
    return [*settings, *(row["reason"] for row in beside)]


def exit_code(rows: Sequence[Row], beside: Sequence[Row] = ()) -> int:
    """Measured and found wanting comes before crashes, and these before what could not be measured.

    `beside` is what failed in probes and layers: nothing less was measured of the settings for it.
    """
    statuses = {row["status"] for row in rows}
    if "parity-failed" in statuses:
        return WANTING
    if (statuses | {row["status"] for row in beside}) & {"crashed", "timed-out"}:
        return WORKER_FAILED
    if "missing" in statuses or "measured" not in statuses:
        return CANNOT_MEASURE
    return ALL_MEASURED
