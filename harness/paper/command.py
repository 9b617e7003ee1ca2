"""`alexbench paper`: the ledger, the tables beside the user's figures, the ablations and the figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import command_line, environment, going_on, run_claim
from harness.errors import AlexbenchError, CannotMeasure, gravest
from harness.kept_rows import keeper
from harness.paper import evidence, ledger, results, resume
from harness.paper.evidence import Evidence, Row
from harness.paper.failure import Failure
from harness.paper.options import PaperOptions
from harness.parity.command import in_folder
from harness.requirements import install_command
from harness.run_folder import RunFolder
from impls import catalog, registry
from reports.render.terminal import Console

if TYPE_CHECKING:  # what trains and draws is loaded by those who ask for it
    from harness.paper.ablations import Planned
    from harness.paper.subject import Subject

ALL_HELD, WANTING = 0, 1
NETWORK = "paper"

Outcome = tuple[int, list[str], dict[str, float]]


def run(options: PaperOptions, resumed: Path | None = None) -> int:
    """Check, measure, draw, report; returns the exit code. Raises AlexbenchError and KeyboardInterrupt."""
    facts: Mapping[str, Any] = {}
    reads = (*options.runs, *options.weights)
    if resumed is not None:
        options, facts = resume.options_of(resumed, options)
    else:
        run_claim.check(options.out, overwrite=options.overwrite, reads=reads)
    read = evidence.read(options.runs)
    subjects = _subjects(options.weights, options.data)
    frameworks = _frameworks(options) if options.ablations or (options.weights and options.data) else ()
    say = _say()
    study = _planned(options, frameworks, say) if options.ablations else None
    if resumed is not None:
        changed = resume.check(resumed, facts, study.prepared.content_hash) if study is not None else []
        folder = RunFolder.reopen(resumed, changed)
    else:
        given = {"data_hash": study.prepared.content_hash} if study is not None else {}
        signature = environment.signature(network=NETWORK)
        folder = RunFolder.create(
            "paper",
            resume.arguments(options),
            options.out,
            overwrite=options.overwrite,
            reads=reads,
            signature=signature,
            command_line=command_line.of("paper", options),
            facts=given,
        )

    def measure() -> Outcome:
        return _measured(options, folder, read, subjects, frameworks, study, say, resumed is not None)

    with going_on.told(folder):
        return in_folder(folder, measure)


def _planned(options: PaperOptions, frameworks: tuple[str, ...], say: Callable[[str], None]) -> Planned:
    from harness.paper import ablations

    return ablations.prepare(options, frameworks, say)


def _subjects(files: Sequence[Path], data: str | None) -> list[Subject]:
    """What figures are drawn from; the data that figure 4 needs is only looked at. Raises AlexbenchError."""
    if not files:
        return []
    from harness.data import obtain
    from harness.paper import subject

    if data is not None:
        obtain.named(data)

    return [subject.read(file) for file in files]


def _frameworks(options: PaperOptions) -> tuple[str, ...]:
    """Those asked for, or the first that is installed. Raises UnknownFramework, CannotMeasure."""
    for name in options.frameworks:
        registry.reference(name)
    if options.frameworks:
        return options.frameworks
    pythons = dict(options.pythons)
    for name in registry.frameworks():
        if name in pythons or not registry.missing_modules(name):
            return (name,)
    raise CannotMeasure(f"no framework is installed: {install_command('cpu')}, or one of the three alone")


def _say() -> Callable[[str], None]:
    console, started = Console(stderr=True), time.monotonic()

    def say(text: str) -> None:
        took = f"[{time.monotonic() - started:6.1f} s] {text}"
        console.print(took, markup=False, highlight=False, soft_wrap=True)

    return say


def _measured(
    options: PaperOptions,
    folder: RunFolder,
    read: Evidence,
    subjects: Sequence[Subject],
    frameworks: tuple[str, ...],
    study: Planned | None,
    say: Callable[[str], None],
    resumed: bool,
) -> Outcome:
    started = time.monotonic()
    exact, notes = ledger.exact(catalog.get(NETWORK)), ledger.of_notes()
    derived = [row for _, row in (*exact, *notes)]
    _write(folder, derived, read)  # what needs no measuring is there whatever happens next
    failures: list[Failure] = []
    if study is not None:
        from harness.paper import ablations

        try:
            failures = ablations.run(study, folder, keeper(folder, options.verbose), say, resumed=resumed)
        finally:
            own = Evidence(ablation=tuple(folder.rows("ablation")), training_error=tuple(folder.rows("training-error")))
            read = _joined(own, read)
            _write(folder, derived, read)
    if subjects:
        from harness.paper import figures

        drawn = figures.draw(options, folder.path, subjects, frameworks, say)
        folder.note(files=list(dict.fromkeys([*(folder.facts.get("files") or ()), *drawn.pictures])))
        read = read.with_rows("colour", drawn.colours)
        failures += drawn.failures
        _write(folder, derived, read)
    wrong = [*ledger.unexpected(exact), *ledger.unexpected_of_notes(notes)]
    told = [*wrong, *map(str, failures)]
    # What run.json still holds of a part that broke off is not this run's.
    folder.show(failures=told)
    timings = {"seconds": time.monotonic() - started, "peak_memory_mb.harness": environment.peak_memory_mb()}
    return exit_code(wrong, [failure.error for failure in failures]), told, timings


def _joined(own: Evidence, read: Evidence) -> Evidence:
    return replace(
        read, ablation=(*own.ablation, *read.ablation), training_error=own.training_error or read.training_error
    )


def _write(folder: RunFolder, derived: Sequence[Row], read: Evidence) -> None:
    rows: list[Row] = [*derived, *ledger.empirical(read)]
    try:
        folder.replace("ledger", ledger.in_order(rows))
        folder.replace("published", results.table_rows([*read.evaluation, *results.validations(read.training)]))
    except OSError as error:
        raise CannotMeasure(f"cannot write in {folder.path}: {error.strerror or error}") from None


def exit_code(wrong: Sequence[str], errors: Sequence[AlexbenchError]) -> int:
    """A claim with another verdict than the known one comes first, then the gravest of what failed."""
    if wrong:
        return WANTING
    return gravest({error.exit_code for error in errors})
