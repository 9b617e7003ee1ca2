"""`alexbench parity --self-test`: plant known faults, and show that each is caught and its layer or operator named.

Every framework runs the miniature network composed from its own operators: once without a fault, where nothing may
fail, and once with each fault, where something must.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness import command_line, option_record, run_claim
from harness.errors import AlexbenchError
from harness.launch import Event, WorkerSpec
from harness.parity import material, roll_call
from harness.parity.bench import Bench, Material
from harness.parity.command import ALL_HELD, CANNOT_MEASURE, WANTING, WORKER_FAILED, in_folder
from harness.parity.fault import Fault, Swapped, WrongLoss, WrongUpdate
from harness.parity.faults import FAULTS
from harness.parity.finding import Finding, Outputs
from harness.parity.levels import Job, JobBook
from harness.parity.miniature import MINIATURE
from harness.parity.options import ParityOptions
from harness.parity.roll_call import RollCall
from harness.parity.rows import Origin, Row, row
from harness.parity.run import Problem
from harness.parity.schedule import Assignment, Schedule
from harness.parity.verdict import Judgement
from harness.progress import Progress
from harness.run_folder import RunFolder
from impls import weights
from impls.oracle.rounding import PRECISIONS
from reports.render.terminal import say

IMAGES = 6
CORRECT = ""  # the "fault" of a correct variant

LEVEL_ORDER = ("operator", "layer", "forward", "gradient", "training")


def run(options: ParityOptions) -> int:
    """Plant every fault in every framework; returns the exit code."""
    run_claim.check(options.out, overwrite=options.overwrite)
    material.check_precision(options)
    specs = material.workers(replace(options, impls=()))
    with roll_call.answered(options, specs) as roll:
        facts = {"layers": [layer.name for layer in MINIATURE.layers]}
        given = option_record.recorded(options)
        folder = RunFolder.create(
            "parity-self-test",
            given,
            options.out,
            overwrite=options.overwrite,
            command_line=command_line.of("parity", options),
            facts=facts,
        )
        return in_folder(folder, lambda: _measured(options, specs, folder, roll))


def _measured(
    options: ParityOptions, specs: Sequence[WorkerSpec], folder: RunFolder, roll: RollCall
) -> tuple[int, list[str], dict[str, float]]:
    started = time.monotonic()
    with material.workspace(folder.path) as workspace, Progress("self-test") as progress:
        file = workspace / "weights.safetensors"
        weights.write(MINIATURE, "scaled", options.seed, file)
        loaded = weights.load(file, MINIATURE)
        rng = np.random.default_rng([options.seed, 5])
        shape = (IMAGES, MINIATURE.height, MINIATURE.width, MINIATURE.channels)
        made = Material(
            network=MINIATURE,
            weights=loaded.arrays,
            weights_file=file,
            images=np.round(rng.normal(0, 60, shape)).astype(np.float32),
            photographs=("noise",),
            centres=(0, 1, 2, 3),
            precision=PRECISIONS[options.precision],
            seed=options.seed,
            folder=workspace,
        )
        origin = Origin("", "", options.device, options.precision, MINIATURE.name, loaded.content_hash, options.seed)
        folder.note(signature=origin.signature(""))
        test = SelfTest(JobBook(Bench(made)), options.tunings, folder, origin, progress)
        for spec in specs:
            progress.expect(spec.label, test.variants_per_worker)
        at_once = material.at_once(options, len(specs))
        schedule = Schedule(workspace, at_once, options.precision, test, roll=roll)
        schedule.run({spec.label: (spec, test.assignments(spec.label)) for spec in specs})
    folder.show()
    for line in test.false_alarms[:10]:
        say(f"false alarm: {line}")
    say(test.conclusion())
    failures = [f"{problem.label}: {problem.message}" for problem in test.problems] + test.false_alarms
    return test.exit_code(), failures, {"seconds": time.monotonic() - started}


@dataclass
class SelfTest:
    """The sink of a self-test: collects each variant's findings, and sums them up when the variant is complete."""

    book: JobBook
    tunings: Sequence[str]
    folder: RunFolder
    origin: Origin
    progress: Progress
    table: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    correct_checks: int = 0
    _findings: dict[tuple[str, str, str], list[Finding]] = field(default_factory=dict)
    _left: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)

    @property
    def variants_per_worker(self) -> float:
        """Correct variants (one per tuning) and faults."""
        return len(self.tunings) + len(FAULTS)

    def assignments(self, label: str) -> Callable[[bool], Iterator[Assignment]]:
        """Correct variants in every tuning; then every fault, in the first tuning."""

        def made(full: bool) -> Iterator[Assignment]:
            if not full:
                raise AlexbenchError(f"{label} is no full framework: the self-test plants its faults in operators")
            for tuning in self.tunings:
                yield from self._variant(
                    label, CORRECT, tuning, [j for level in LEVEL_ORDER for j in self.book.jobs(level)]
                )
            for fault in FAULTS.values():
                yield from self._variant(label, fault.name, self.tunings[0], list(self._jobs(fault)))

        return made

    def _variant(self, label: str, fault: str, tuning: str, jobs: list[Job]) -> Iterator[Assignment]:
        self._findings[label, fault, tuning], self._left[label, fault, tuning] = [], len(jobs)
        for job in jobs:
            yield Assignment(job, tuning, {"composed": True, "fault": fault})

    def _jobs(self, fault: Fault) -> Iterator[Job]:
        """The levels of the miniature network, and of the single operators those of the fault's kind."""
        for job, case in zip(self.book.jobs("operator"), self.book.bench.operator_cases, strict=False):
            if fault.concerns(case.layer):
                yield job
        if isinstance(fault, WrongLoss):
            yield from (job for job in self.book.jobs("operator") if job.task["do"] == "cross-entropy")
        for level in LEVEL_ORDER[1:]:
            yield from self.book.jobs(level)

    def described(self, label: str, facts: Mapping[str, str]) -> None:
        """Take the version."""
        self._versions[label] = facts.get("version", "")

    def output(self, label: str, assignment: Assignment, outputs: Outputs) -> None:
        """Judge a task's arrays."""
        self._take(label, assignment, list(assignment.job.check(outputs)))

    def failed(self, label: str, assignment: Assignment, kind: str, message: str) -> None:
        """A planted fault may make a framework raise (a shape that does not fit): that catches it too."""
        job = assignment.job
        if assignment.more["fault"] == CORRECT:
            self.problems.append(Problem(label, kind, message))
        reason = f"raised: {message}"
        self._take(label, assignment, [Finding(job.level, job.case, "", Judgement("fail", reason), job.layer)])

    def ended(self, label: str, event: Event) -> None:
        """A worker that did not finish costs its framework's rows."""
        if event["event"] != "finished":
            kind = "missing" if event["event"] == "missing" else "crash"
            self.problems.append(Problem(label, kind, event["reason"]))
        self.progress.end(label)

    def _take(self, label: str, assignment: Assignment, findings: list[Finding]) -> None:
        key = (label, str(assignment.more["fault"]), assignment.tuning)
        self._findings[key] += findings
        self._left[key] -= 1
        if self._left[key] == 0:
            self._sum_up(*key, self._findings.pop(key))

    def _sum_up(self, label: str, fault: str, tuning: str, findings: list[Finding]) -> None:
        self.progress.advance(label, 1)
        bad = [finding for finding in findings if finding.judgement.verdict != "pass"]
        if fault == CORRECT:
            self._correct(label, tuning, findings, bad)
            return
        made = summed_up(FAULTS[fault], label, tuning, [f for f in bad if f.judgement.verdict == "fail"])
        self.table.append(made)
        self.folder.append("self-test", made)

    def _correct(self, label: str, tuning: str, findings: list[Finding], bad: list[Finding]) -> None:
        origin = replace(self.origin, framework=label, version=self._versions.get(label, ""))
        for finding in findings:
            self.folder.append("parity", row(finding, tuning, origin))
        self.correct_checks += len(findings)
        for finding in bad:
            where = f"{label}/{tuning} {finding.level} {finding.case} {finding.tensor}"
            self.false_alarms.append(f"{where}: {finding.judgement.verdict}: {finding.judgement.reason}")
        self.progress.say(f"{label}: correct variant, {tuning}: {len(findings)} checks, {len(bad)} not passed")

    def missed(self) -> list[Row]:
        """Faults that were not caught or not localised."""
        return [made for made in self.table if not (made["caught"] and made["localised"])]

    def conclusion(self) -> str:
        """One sentence on the correct variants."""
        alarms = f"{len(self.false_alarms)} false alarms" if self.false_alarms else "no false alarm"
        return f"Correct variants: {alarms} in {self.correct_checks} checks."

    def exit_code(self) -> int:
        """0 where all faults were caught and localised and nothing correct failed."""
        if any(problem.kind in ("crash", "exception") for problem in self.problems):
            return WORKER_FAILED
        if self.problems or not self.table:
            return CANNOT_MEASURE
        return WANTING if self.missed() or self.false_alarms else ALL_HELD


def summed_up(fault: Fault, label: str, tuning: str, failed: list[Finding]) -> Row:
    """One fault in one framework as a row of the self-test table."""
    order = {layer.name: index for index, layer in enumerate(MINIATURE.layers)}
    failed = sorted(failed, key=lambda f: (LEVEL_ORDER.index(f.level), order.get(f.layer, len(order))))
    named = [finding for finding in failed if finding.layer or finding.cause]
    first = next(iter(failed), None)
    place = _place(fault, failed)
    return {
        "fault": fault.description,
        "planted_in": fault.target,
        "framework": label,
        "caught": bool(failed),
        "caught_at": first.level if first else "",
        "named": place,
        "expected": fault.target,
        "localised": place == fault.target,
        "cause_named": any(fault.description in finding.cause for finding in named),
        "tuning": tuning,
        "levels": ", ".join(dict.fromkeys(finding.level for finding in failed)),
        "reason": first.judgement.reason if first else "",
        "cause": next((finding.cause for finding in failed if finding.cause), ""),
    }


def _place(fault: Fault, failed: list[Finding]) -> str:
    """What the comparison names as the place of the fault: the layer of the first level that has one."""
    for level in LEVEL_ORDER[1:]:
        found = [finding.layer for finding in failed if finding.level == level and finding.layer]
        if found:
            told = [finding.layer for finding in failed if finding.level == level and finding.cause]
            return (told or found)[0]
    operators = {finding.case.split(" ")[0] for finding in failed}
    return fault.target if operators and _is_operator(fault, operators) else ", ".join(sorted(operators))


def _is_operator(fault: Fault, operators: set[str]) -> bool:
    """Whether single-operator cases of one kind alone failed, and that kind is the fault's."""
    kinds = {"Conv": "conv", "Dense": "dense", "ReLU": "relu,", "Tanh": "tanh,", "LRN": "lrn", "MaxPool": "max-pool"}
    kind = kinds.get(fault.kind.__name__, "") if fault.kind else "cross-entropy,"
    return operators == {kind} and not isinstance(fault, Swapped | WrongUpdate)
