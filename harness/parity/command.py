"""`alexbench parity`: prepare, run, report, and say by the exit code what came out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from harness import command_line, environment, option_record, own_code, run_claim
from harness.endings import Endings
from harness.errors import AlexbenchError, UsageError
from harness.launch import WorkerSpec
from harness.parity import material, roll_call
from harness.parity.bench import Bench
from harness.parity.levels import JobBook
from harness.parity.options import ParityOptions
from harness.parity.roll_call import RollCall
from harness.parity.rows import Origin, Row
from harness.parity.run import ParityRun, Problem
from harness.parity.schedule import Schedule
from harness.progress import Progress
from harness.run_folder import RunFolder
from impls import registry
from reports.render.terminal import Console, say

Outcome = tuple[int, list[str], dict[str, float]]

ALL_HELD, WANTING, CANNOT_MEASURE, WORKER_FAILED = 0, 1, 3, 4


def run(options: ParityOptions) -> int:
    """Compare, report, and return the exit code. Raises AlexbenchError and what bad input raises; KeyboardInterrupt."""
    if options.self_test and options.impls:
        raise UsageError("--self-test plants its faults in the frameworks: it takes no --impl")
    if options.keep_impl and not options.impls:
        raise UsageError("--keep-impl keeps a copy of the file of --impl: name one, or leave it out")
    if options.self_test:
        from harness.parity import self_test

        return self_test.run(options)
    reads = (*options.images, *filter(None, [options.weights]))
    run_claim.check(options.out, overwrite=options.overwrite, reads=reads)
    network = material.network_of(options)
    material.check_precision(options)
    specs = material.workers(options)
    code = own_code.read({target: target.rpartition(":")[0] for target in options.impls}, keep=options.keep_impl)
    given = material.inputs(options, network)  # before an earlier run's tables make room for this one's
    with roll_call.answered(options, specs) as roll:
        facts = {
            "layers": [layer.name for layer in network.layers],
            "forward_only": [spec.label for spec in specs if spec.label in registry.FORWARD_ONLY],
            **code.told(),
        }
        recorded = option_record.recorded(options)
        folder = RunFolder.create(
            "parity",
            recorded,
            options.out,
            overwrite=options.overwrite,
            reads=reads,
            command_line=command_line.of("parity", options),
            facts=facts,
        )

        def measure() -> Outcome:
            code.keep(folder.path)
            return _measured(options, given, specs, folder, roll)

        return in_folder(folder, measure)


def in_folder(folder: RunFolder, measure: Callable[[], Outcome]) -> int:
    """Run `measure`, and whatever happens close the folder with what was kept and show it."""
    with Endings() as endings:
        try:
            code, failures, timings = measure()
            folder.close("complete", failures=failures, timings=timings)
        except BaseException as error:
            if not _is_interrupt(error):
                told = str(error) if isinstance(error, AlexbenchError) else f"{type(error).__name__}: {error}"
                folder.close("failed", failures=[told])
                raise
            endings.ignore()  # a second Ctrl-C must not cost the tables: writing them takes a second or two
            say("interrupted: writing what was measured", error=True)
            folder.close("interrupted", failures=["interrupted"])
            _point_to(folder)
            raise KeyboardInterrupt from None
    _point_to(folder)
    return code


def _is_interrupt(error: BaseException | None) -> bool:
    """Also where what followed an interrupt failed without a meaning, as words to a terminal that has gone do."""
    while error is not None and not isinstance(error, KeyboardInterrupt | AlexbenchError):
        error = error.__context__
    return isinstance(error, KeyboardInterrupt)


def _point_to(folder: RunFolder) -> None:
    say(f"\n{folder.path}/report.md\n{folder.path}/report.html", error=True)


def _measured(
    options: ParityOptions, given: material.Inputs, specs: Sequence[WorkerSpec], folder: RunFolder, roll: RollCall
) -> Outcome:
    started, network = time.monotonic(), given.network
    with material.workspace(folder.path) as workspace, Progress(f"parity of {network.name}") as progress:
        made, weights_hash = material.material(options, given, workspace)
        book = JobBook(Bench(made))
        labels = [spec.label for spec in specs]
        outside, forward_only = set(options.impls), frozenset(registry.FORWARD_ONLY).intersection(labels)
        origin = Origin("", "", options.device, options.precision, network.name, weights_hash, options.seed)
        # The signature of the whole run; rows add their framework's.
        folder.note(signature=origin.signature(""))
        parity = ParityRun(
            book=book,
            origins={label: _named(origin, label) for label in labels},
            levels={
                label: ("forward",) if label in outside else material.levels_of(label, options) for label in labels
            },
            tunings={label: ("",) if label in outside else options.tunings for label in labels},
            keep=_keeper(folder, options.verbose),
            progress=progress,
            outside=dict.fromkeys(outside, (options.levels, options.tunings)),
            forward_only=forward_only,
        )
        for label in labels:
            progress.expect(label, parity.total(label))
        at_once = material.at_once(options, len(specs))
        preparations = book.preparations(options.levels if set(labels) - outside else ("forward",))
        schedule = Schedule(workspace, at_once, options.precision, parity, preparations, roll)
        schedule.run({spec.label: (spec, parity.assignments(spec.label)) for spec in specs})
    folder.show()
    timings = {"seconds": time.monotonic() - started}
    timings |= {f"peak_memory_mb.{label}": value for label, value in parity.peak_memory_mb.items()}
    timings["peak_memory_mb.harness"] = environment.peak_memory_mb()
    return exit_code(parity.rows, parity.problems), [_told(problem) for problem in parity.problems], timings


def _named(origin: Origin, label: str) -> Origin:
    return replace(origin, framework=label)


def _told(problem: Problem) -> str:
    return f"{problem.label}: {problem.message}"


def _keeper(folder: RunFolder, verbose: bool) -> Callable[[Row], None]:
    console = Console(stderr=True)

    def keep(row: Row) -> None:
        folder.append("parity", row)
        if verbose:
            figures = " ".join(f"{name} {_short(row.get(name))}" for name in ("gauge_ratio", "baseline_ratio"))
            where = f"{row['level']} {row['framework']}/{row['tuning']} {row['case']} {row['tensor']}"
            console.print(
                f"{where}: {row['verdict']} {figures} {row['reason']}", markup=False, highlight=False, soft_wrap=True
            )

    return keep


def _short(value: Any) -> str:
    return "-" if value is None else f"{value:.3g}"


def exit_code(rows: Sequence[Row], problems: Sequence[Problem]) -> int:
    """Measured and found wanting comes before crashes, and these before what could not be measured."""
    if any(row["verdict"] in ("fail", "vacuous") for row in rows):
        return WANTING
    kinds = {problem.kind for problem in problems}
    if kinds & {"crash", "exception"}:
        return WORKER_FAILED
    observed: dict[tuple[Any, Any], bool] = {}
    for row in rows:
        key = (row.get("level"), row.get("framework"))
        observed[key] = observed.get(key, False) or row["verdict"] == "pass"
    return ALL_HELD if observed and all(observed.values()) and not kinds else CANNOT_MEASURE
