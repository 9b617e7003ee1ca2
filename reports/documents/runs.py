"""Several runs on one page: what each came to, how fast each setting was in run after run, and what changed between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reports.document import Document, Note, Picture, Section, Table, Tone, Toned, Verdict
from reports.documents import common
from reports.documents.speed import split_name
from reports.format import Row, clean, enumerated, factor, plural, text
from reports.schema import Column, Detail
from reports.summaries import history as summary
from reports.summaries.environments import RunTables
from reports.summaries.history import MIN_SIDE, History, Series, Step
from reports.summaries.speed import who

if TYPE_CHECKING:
    from reports.figures.style import Drawing


MAX_CHANGES = 200  # rows of the table of what changed
MAX_WARNINGS = 5
MAX_STEPS = 20  # told one by one
RAREST = 1e-6  # chance that is told
MAX_NAMED = 3  # runs or steps that a sentence names
METHOD = (
    "A run counts once, however many samples it has: its interval holds what varied within it, and of sixteen runs of "
    "one program such intervals called 17 % of the pairs different. A step is marked where at least three runs on "
    "either side differ by more than chance gives to one page in twenty, by Welch's and by Student's t on the "
    "logarithms of the runs' figures, corrected for every place and every setting of the page."
)
EMULATED = "emulated devices: not judged"
TOO_FEW = f"too few runs to tell: {MIN_SIDE} on either side are needed"

RUNS = (
    Column("run", meaning="The run's folder.", detail=Detail.BRIEF),
    Column("number", "Int64", "Its place in order of time, as in the pictures.", label="no.", detail=Detail.BRIEF),
    Column("command", meaning="The command that it is a run of.", detail=Detail.BRIEF),
    Column("status", meaning="Whether it was finished.", detail=Detail.BRIEF),
    Column("headline", meaning="What it came to.", label="what it came to", detail=Detail.BRIEF),
    Column("started", meaning="When it was started.", detail=Detail.BRIEF),
    Column("machine", meaning="The machine that it was measured on."),
)
SETTINGS = (
    Column("setting", meaning="Framework, tuning, and what else tells it from the others of the section."),
    Column("runs", "Int64", "Runs that measured it."),
    Column("first", "Float64", "Images/s in the first of them.", label="images/s at first", format="interval"),
    Column("last", "Float64", "Images/s in the last of them.", label="images/s at last", format="interval"),
    Column("spread", "Float64", "How far the runs lie apart between two steps: the standard deviation of their "
           "figures, as a share.", label="from run to run", format="share"),
    Column("steps", meaning="Where it became faster or slower, with runs as the unit."),
    Column("missing", meaning="Runs that tried to measure it and have no figure."),
)  # fmt: skip
CHANGES = (
    Column("run", meaning="The run that differs from the last one of its command."),
    Column("number", "Int64", "Its place in order of time.", label="no."),
    Column("group", meaning="What kind of fact it is.", label="of"),
    Column("what", meaning="The fact."),
    Column("was", meaning="What it was in that run."),
    Column("now", meaning="What it is in this run."),
)


@dataclass(frozen=True, slots=True)
class Told:
    """One run, with what its own document says of it."""

    run: RunTables
    status: str  # complete, interrupted, failed, or what else is known of a run that is not finished
    verdict: Verdict

    @property
    def started(self) -> str:
        """When it was started, to the second."""
        return clean(str(self.run.facts.get("started") or ""))[:19].replace("T", " ")


def document(runs: Sequence[Told], left_out: Sequence[str] = ()) -> Document:
    """The document of at least one run, in order of time; `left_out` says why other folders are not among them."""
    found = summary.history([one.run for one in runs])
    machines = {common.machine(one.run.facts) for one in runs}
    sections = [
        *_histories(found, runs),
        _table(runs, one_machine=len(machines) == 1),
        _changes(found, runs),
    ]
    steps = [_step(one, step, found) for one in found.series for step in one.steps]
    rest = len(steps) - MAX_STEPS
    steps = [*steps[:MAX_STEPS], *([Note(text=f"{rest} more, in the tables of settings.")] if rest > 0 else [])]
    return Document(
        title=f"alexbench: {plural(len(runs), 'run')}",
        verdict=_verdict(found, runs),
        sections=tuple(section for section in sections if section.blocks),
        findings=(Section(title="Steps", blocks=steps),) if steps else (),
        caveats=(*_warnings(found, runs), *_left_out(left_out)),
        machine=machines.pop() if len(machines) == 1 else "",
    )


def _verdict(found: History, runs: Sequence[Told]) -> Verdict:
    """Such as `12 runs (10 of speed, 2 of parity); no step found in 6 settings`."""
    commands = Counter(clean(str(one.run.facts.get("command"))) for one in runs)
    told = ", ".join(f"{count} of {command}" for command, count in commands.items())
    unfinished = sum(one.status != "complete" for one in runs)
    wanting = sum(one.verdict.tone == "bad" for one in runs)
    steps = [(one, step) for one in found.series for step in one.steps]
    slower = any(step.ratio.value < 1 for _, step in steps)
    parts = [f"{plural(len(runs), 'run')} ({told})"]
    parts += [f"{unfinished} not finished"] if unfinished else []
    parts += [f"{wanting} found wanting"] if wanting else []
    parts += [_of_steps(found, steps)] if found.series else []
    tone: Tone = "bad" if slower or wanting else "doubtful" if unfinished else "good"
    return Verdict(f"{'; '.join(parts)}.", tone, "slower" if slower and not wanting else "")


def _of_steps(found: History, steps: Sequence[tuple[Series, Step]]) -> str:
    judged = sum(one.judged for one in found.series)
    if not judged:
        return "no setting was measured in runs enough to tell a step"
    if not steps:
        return f"no step found in {plural(judged, 'setting')}"
    together: dict[tuple[int, bool], list[tuple[Series, Step]]] = {}
    for one, step in steps:
        together.setdefault((step.after, step.ratio.value < 1), []).append((one, step))
    named = [_together(group) for _, group in sorted(together.items())]
    rest = len(named) - MAX_NAMED
    named = [*named[:MAX_NAMED], *([f"{rest} more times"] if rest > 0 else [])]
    return f"{plural(len(steps), 'step')} found: {'; '.join(named)}"


def _together(steps: Sequence[tuple[Series, Step]]) -> str:
    """Steps at one place in one direction: `6 settings slower from run 62 on (0.83x to 0.84x)`."""
    [(series, step), *others] = steps
    if not others:
        return f"{_setting(series)}: {_came(step)}"
    ratios = [one.ratio.value for _, one in steps]
    said = "slower" if step.ratio.value < 1 else "faster"
    return f"{len(steps)} settings {said} from run {step.after + 1} on ({min(ratios):.2f}x to {max(ratios):.2f}x)"


def _came(step: Step) -> str:
    """`0.82x (0.80 to 0.84) from run 7 on`."""
    return f"{factor(step.ratio)} from run {step.after + 1} on"


def _warnings(found: History, runs: Sequence[Told]) -> tuple[Note, ...]:
    """That machines or versions changed from a run to the next; what exactly stands in a table."""
    told = []
    for change in found.changes:
        groups = sorted({one.group for one in change.grounds if one.group in ("machine", "versions")})
        if groups:
            named = enumerated([f"the {group}" for group in groups])
            told.append(f"From run {change.before + 1} to run {change.run + 1} {named} changed.")
    rest = len(told) - MAX_WARNINGS
    told = [
        *told[:MAX_WARNINGS],
        *([f"So it did {rest} more times, as the table of changes says."] if rest > 0 else []),
    ]
    return tuple(Note(text=line, tone="doubtful") for line in told)


def _left_out(reasons: Sequence[str]) -> list[Note]:
    told = [Note(text=f"Left out: {clean(reason)}", tone="doubtful") for reason in reasons[:MAX_WARNINGS]]
    rest = len(reasons) - MAX_WARNINGS
    return [*told, *([Note(text=f"Left out: {rest} more.", tone="doubtful")] if rest > 0 else [])]


def _table(runs: Sequence[Told], *, one_machine: bool) -> Section:
    rows = [
        {
            "run": one.run.name,
            "number": number,
            "command": clean(str(one.run.facts.get("command") or "")),
            "status": one.status if one.status == "complete" else Toned(one.status, "doubtful"),
            "headline": Toned(one.verdict.sentence, "plain" if one.verdict.tone == "good" else one.verdict.tone),
            "started": one.started,
            "machine": "" if one_machine else common.machine(one.run.facts),
            "signature": str(one.run.facts.get("signature") or ""),
        }
        for number, one in enumerate(runs, 1)
    ]
    return Section(title="Runs", blocks=[Table(columns=RUNS, rows=rows, caption="The runs", signed=True)])


def _histories(found: History, runs: Sequence[Told]) -> list[Section]:
    groups: dict[tuple[str, str], list[Series]] = {}
    for one in found.series:
        groups.setdefault((text(one.row, "network"), text(one.row, "device")), []).append(one)
    made = [_history(f"history-{place}", *group, found, runs) for place, group in enumerate(groups.items(), 1)]
    return [replace(one, lead=METHOD) for one in made[:1]] + made[1:]  # how steps are found is said once


def _history(
    name: str, key: tuple[str, str], series: Sequence[Series], found: History, runs: Sequence[Told]
) -> Section:
    title = f"History: {', '.join(filter(None, key))}"
    panels: dict[str, list[Series]] = {}
    for one in series:
        panels.setdefault(_panel(one), []).append(one)
    names = [f"run {number}, {one.run.name}" for number, one in enumerate(runs, 1)]

    def draw() -> Drawing | None:
        from reports.figures import history

        return history.history(name, panels, names, found.changes)

    picture = Picture(
        name=name,
        title=f"Images per second, run after run: {', '.join(filter(None, key))}",
        alt="Images per second of each framework and tuning in run after run, with 95 % intervals; steps are marked",
        draw=draw,
    )
    rows = [_row(one) for one in series]
    table = Table(columns=SETTINGS, rows=rows, caption=f"Settings measured in several runs: {', '.join(key)}")
    return Section(title=title, blocks=[picture, table])


def _panel(series: Series) -> str:
    """What a panel's settings have in common: `float32, train-step, batch 8`."""
    row = series.row
    parts = [text(row, "precision"), text(row, "phase"), split_name(row)]
    parts += [f"{text(row, 'input')} input"] if text(row, "input") not in ("", "synthetic") else []
    parts += [f"batch {text(row, 'batch_size')}"] if text(row, "batch_size") else []
    return ", ".join(filter(None, parts))


def _setting(series: Series) -> str:
    """`torch stock, float32, train-step, batch 8`."""
    return ", ".join(filter(None, [" ".join(filter(None, who(series.row))), _panel(series)]))


def _step(series: Series, step: Step, found: History) -> Note:
    """A step, and what else changed between the two runs that it lies between."""
    slower = step.ratio.value < 1
    changed = [one for change in found.changes if step.before < change.run <= step.after for one in change.differences]
    groups = sorted({one.group for one in changed})
    beside = f" Between run {step.before + 1} and run {step.after + 1} "
    beside += (
        f"{enumerated([f'the {group}' for group in groups])} changed."
        if groups
        else "nothing else is known to have changed."
    )
    return Note(
        status="slower" if slower else "faster",
        title=_setting(series),
        text=f"{_came(step)}. {_chance(step)}{beside}",
        tone="bad" if slower else "good",
    )


def _chance(step: Step) -> str:
    often = f"{float(f'{1 / max(step.chance, RAREST):.2g}'):,.0f}"
    return f"Chance shows one like it on {'less than ' if step.chance < RAREST else ''}one page in {often}."


def _row(series: Series) -> Row:
    missing = [f"run {point.run + 1}: {text(point.row, 'status')}" for point in series.points if point.images is None]
    rest = len(missing) - MAX_NAMED
    return {
        "setting": _setting(series),
        "runs": len(series.measured),
        "first": series.measured[0].images,
        "last": series.measured[-1].images,
        "spread": series.spread,
        "steps": _judgement(series),
        "missing": "; ".join([*missing[:MAX_NAMED], *([f"{rest} more"] if rest > 0 else [])]),
    }


def _judgement(series: Series) -> Toned | str:
    if series.emulated:
        return Toned(EMULATED, "faint")
    if not series.judged:
        return Toned(TOO_FEW, "faint")
    slower = any(step.ratio.value < 1 for step in series.steps)
    return Toned("; ".join(map(_came, series.steps)), "bad" if slower else "good") if series.steps else "no step"


def _changes(found: History, runs: Sequence[Told]) -> Section:
    rows = [
        {
            "run": runs[change.run].run.name,
            "number": change.run + 1,
            "group": one.group,
            "what": clean(one.what)[: common.MAX_FACT],
            "was": common.shortened(one.was),
            "now": common.shortened(one.now),
        }
        for change in found.changes
        for one in change.differences
    ]
    caption = "What changed from one run of a command to the next"
    table = Table(columns=CHANGES, rows=rows, caption=caption, most=MAX_CHANGES)
    return Section(title="What changed from run to run", blocks=[table] if rows else [], detail=Detail.FULL)
