"""`alexbench evaluate`: what is scored, the scores, the report, and what the exit code says of it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence

from harness import command_line, environment, run_claim
from harness.data import contents
from harness.data.prepared import Prepared
from harness.errors import CannotMeasure, UsageError
from harness.evaluation.bench import Bench
from harness.evaluation.ground import Ground, ground_of
from harness.evaluation.job import Job
from harness.evaluation.options import EvaluateOptions
from harness.evaluation.predictions import FILE, PredictionsFile
from harness.evaluation.rows import Row, RowMaker
from harness.evaluation.run import results
from harness.evaluation.subjects import Subject, images_for, subjects
from harness.parity.command import in_folder
from harness.parity.material import workspace
from harness.progress import Progress
from harness.requirements import install_command
from harness.run_folder import RunFolder
from impls import registry
from reports.render.terminal import Console

ALL_MEASURED, WANTING, CANNOT_MEASURE, WORKER_FAILED = 0, 1, 3, 4

Outcome = tuple[int, list[str], dict[str, float]]


def run(options: EvaluateOptions) -> int:
    """Score, report, and return the exit code. Raises AlexbenchError and what bad input raises; KeyboardInterrupt."""
    if not math.isfinite(options.timeout_s):
        raise UsageError(f"--timeout {options.timeout_s} is no number of seconds")
    if options.precision == "tf32" and options.device == "cpu":
        raise CannotMeasure("precision tf32 needs an NVIDIA GPU of compute capability 8 or later: pass --device cuda")
    run_claim.check(options.out, overwrite=options.overwrite, reads=options.weights)
    console = Console(stderr=True)
    names = frameworks(options)
    found = subjects(options, lambda text: _say(console, text))
    prepared = images_for(options, found, lambda text: _say(console, text))
    for subject in found:
        if subject.metadata.get("data_hash", prepared.content_hash) != prepared.content_hash:
            trained_on = " ".join(subject.metadata.get("data", "other data").split())
            _say(console, f"{subject.file} was trained on {trained_on}: its classes must be those of {options.data}")
    facts = {
        "data": {
            "path": str(prepared.path),
            "source": prepared.source,
            "hash": prepared.content_hash,
            "folders": dict(prepared.folders),
        },
        "weights": {subject.label: str(subject.file) for subject in found},
        "files": [FILE],
    }
    ground = ground_of(prepared, options.part, options.limit, options.class_order)
    given = options.arguments()
    folder = RunFolder.create(
        "evaluate",
        given,
        options.out,
        overwrite=options.overwrite,
        reads=options.weights,
        command_line=command_line.of("evaluate", options),
        facts=facts,
    )
    return in_folder(folder, lambda: _measured(options, folder, names, found, prepared, ground))


def frameworks(options: EvaluateOptions) -> list[str]:
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


def _measured(
    options: EvaluateOptions,
    folder: RunFolder,
    names: Sequence[str],
    found: Sequence[Subject],
    prepared: Prepared,
    ground: Ground,
) -> Outcome:
    started = time.monotonic()
    images = len(ground.labels)
    console = Console(stderr=True)
    for line in contents.lines(prepared):
        _say(console, line)

    def keep(kind: str, row: Row) -> None:
        folder.append(kind, row)
        if options.verbose and kind == "evaluation":
            _say(console, " ".join(f"{name}={value}" for name, value in row.items() if value is not None))

    with contextlib.ExitStack() as stack:
        space = stack.enter_context(workspace(folder.path))
        progress = stack.enter_context(Progress("evaluate"))
        file = stack.enter_context(PredictionsFile(folder.path, ground.names, ground.labels))
        maker = RowMaker(options, prepared, images)
        bench = Bench(maker, found, ground, file, keep, space)
        jobs = [_job(options, name, one, prepared, crops) for name in names for one in found for crops in options.crops]
        for name in names:
            progress.expect(name, float(images * sum(options.crops) * len(found)))
        scored = results(
            jobs, space, progress.say, lambda job, count: progress.advance(job.framework, float(count * job.crops))
        )
        with contextlib.closing(scored):
            for result in scored:
                bench.take(result)
    folder.show()
    timings = {"seconds": time.monotonic() - started, "peak_memory_mb.harness": environment.peak_memory_mb()}
    rows = folder.rows("evaluation")
    return exit_code(rows), failures(rows), timings


def _job(options: EvaluateOptions, framework: str, subject: Subject, prepared: Prepared, crops: int) -> Job:
    return Job(
        framework=framework,
        network=subject.network,
        weights=subject.file.resolve(),
        data=prepared.path.resolve(),
        part=options.part,
        crops=crops,
        batch_size=options.batch_size,
        limit=options.limit,
        tuning=options.tuning,
        precision=options.precision,
        device=options.device,
        python=options.python(framework),
        timeout_s=options.timeout_s,
    )


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def failures(rows: Sequence[Row]) -> list[str]:
    """One line for each score that is not there."""
    return [
        f"{row['framework']} {row['weights']} {row['crops']} crops: {row['status']}: {row['reason']}"
        for row in rows
        if row["status"] != "measured"
    ]


def exit_code(rows: Sequence[Row]) -> int:
    """What was found wanting comes before crashes, and these before what could not be measured."""
    statuses = {row["status"] for row in rows}
    if "not-finite" in statuses:
        return WANTING
    if statuses & {"crashed", "timed-out"}:
        return WORKER_FAILED
    return ALL_MEASURED if statuses == {"measured"} else CANNOT_MEASURE
