"""One parity run: workers on one side, references and verdicts on the other, rows kept as they are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.launch import Event
from harness.parity.finding import Finding, Outputs
from harness.parity.levels import JobBook
from harness.parity.rows import Origin, Row, row
from harness.parity.schedule import Assignment
from harness.parity.verdict import Judgement, Verdict
from harness.progress import Progress

# What a level costs beside the others, for the estimate of the time left.
LEVEL_WEIGHTS = {"operator": 6.0, "layer": 5.0, "forward": 4.0, "gradient": 5.0, "training": 10.0, "split": 60.0}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that kept rows from being measured. kind: missing, unsupported, exception, crash."""

    label: str
    kind: str
    message: str


@dataclass
class ParityRun:
    """The sink of a schedule: turns outputs into rows. Raises what `keep` raises (a full disk)."""

    book: JobBook
    origins: dict[str, Origin]
    levels: dict[str, Sequence[str]]  # label -> its levels; an outside implementation has `forward` alone
    tunings: dict[str, Sequence[str]]
    keep: Callable[[Row], None]
    progress: Progress
    outside: dict[str, tuple[Sequence[str], Sequence[str]]] = field(default_factory=dict)  # if it is a full framework
    forward_only: frozenset[str] = frozenset()  # labels of frameworks without gradients
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    peak_memory_mb: dict[str, float] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)  # labels of full frameworks
    _handled: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def assignments(self, label: str) -> Callable[[bool], Iterator[Assignment]]:
        """What one worker is to do: the levels in order, each in every tuning."""

        def made(full: bool) -> Iterator[Assignment]:
            if full and label in self.outside:
                self.levels[label], self.tunings[label] = self.outside[label]
            if full:
                self.full.add(label)
            else:
                self.levels[label], self.tunings[label] = ["forward"], [""]
            for level in self.levels[label]:
                for tuning in self.tunings[label]:
                    for job in self.book.jobs(level, forward_only=label in self.forward_only):
                        if full:
                            yield Assignment(job, tuning)
                        else:
                            yield Assignment(replace(job, task={**job.task, "do": "external"}), tuning)

        return made

    def described(self, label: str, facts: Mapping[str, str]) -> None:
        """Take the version into the signature."""
        origin = self.origins[label]
        self.origins[label] = replace(
            origin, version=facts.get("version", ""), device=facts.get("device", origin.device)
        )

    def output(self, label: str, assignment: Assignment, outputs: Outputs) -> None:
        """Judge a task's arrays."""
        for finding in assignment.job.check(outputs):
            may_lack = label not in self.full or (label in self.outside and finding.optional)
            if finding.judgement.verdict == "not-observed" and not may_lack:
                # Of its activations one from outside may return a part; whoever skips another tensor proves nothing.
                finding = replace(finding, judgement=replace(finding.judgement, verdict="vacuous"))  # noqa: PLW2901
            self._keep(finding, label, assignment.tuning)
        self._handle(label, assignment)

    def failed(self, label: str, assignment: Assignment, kind: str, message: str) -> None:
        """A task without arrays is one row: an outside implementation's bad output is its failure, the rest errors."""
        job = assignment.job
        verdict: Verdict = "fail" if kind == "bad-output" else "error"
        if verdict == "error":
            self.problems.append(Problem(label, kind, message))
        finding = Finding(job.level, job.case, "", Judgement(verdict, message), job.layer)
        self._keep(finding, label, assignment.tuning)
        self._handle(label, assignment)

    def ended(self, label: str, event: Event) -> None:
        """A worker that did not finish leaves one row for every level and tuning it did not complete."""
        if event["event"] == "finished":
            self.peak_memory_mb[label] = event["peak_memory_mb"]
            if self._complete(label):
                return
            event = {"event": "died", "reason": "finished without an answer to every task"}
        tail = event.get("stderr", "")
        reason = event["reason"] + (f"; the end of what it printed:\n{tail}" if tail else "")
        kind = {"missing": "missing", "load-failed": "exception"}.get(event["event"], "crash")
        self.problems.append(Problem(label, kind, event["reason"]))
        for level in self.levels[label]:
            for tuning in self.tunings[label]:
                done, wanted = self._handled[label, level, tuning], self._count(label, level)
                if wanted is not None and done == wanted:
                    continue
                case = f"{wanted - done} of {wanted} cases" if wanted is not None else "all cases"
                self._keep(Finding(level, case, "", Judgement("error", reason)), label, tuning)
        self.progress.end(label)

    def _complete(self, label: str) -> bool:
        return all(
            self._handled[label, level, tuning] == (self._count(label, level) or 0)
            for level in self.levels[label]
            for tuning in self.tunings[label]
        )

    def _count(self, label: str, level: str) -> int | None:
        return self.book.count(level, forward_only=label in self.forward_only)

    def _handle(self, label: str, assignment: Assignment) -> None:
        key = (label, assignment.job.level, assignment.tuning)
        self._handled[key] += 1
        wanted = self._count(label, assignment.job.level) or 1
        share = LEVEL_WEIGHTS[assignment.job.level] / wanted
        self.progress.advance(label, share)
        if self._handled[key] == wanted:
            self.progress.say(f"{label}: {' '.join(filter(None, key[1:]))} done")

    def _keep(self, finding: Finding, label: str, tuning: str) -> None:
        made = row(finding, tuning, self.origins[label])
        self.rows.append(made)
        self.keep(made)

    def total(self, label: str) -> float:
        """What a worker's whole work costs, in the units of LEVEL_WEIGHTS."""
        return len(self.tunings[label]) * sum(LEVEL_WEIGHTS[level] for level in self.levels[label])
