"""What the documents of all commands have in common: what run.json says of the ground a run stood on."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reports.document import Document, Note, Picture, Section, Verdict
from reports.format import clean, number, plural, written
from reports.schema import Detail

if TYPE_CHECKING:
    from reports.figures.style import Drawing
    from reports.summaries.environments import Difference

Run = Mapping[str, Any]  # what run.json holds

MAX_FACT = 60  # characters of a value where two runs differ
MAX_DEPTH = 6  # of nested facts, that are told one by one
MAX_SAID = 2_000  # characters of a fact
MAX_DIFFERENCES = 12  # named one by one in a group

DEFAULTS = {"precision": "float32", "device": "cpu", "phase": "train-step", "input": "synthetic", "part": "val"}
OF_ONE_RUN = {"out": 1, "resume": 1, "overwrite": 0, "verbose": 0, "keep-impl": 0}  # options -> words that follow
OTHER_NAMES = {"frameworks": ("framework",), "devices": ("gpus",)}  # options that say the same, or would contradict
FAILED = "What failed"
RESUMABLE = ("speed", "train", "paper")
FACTS = ("status", "started", "finished", "arguments", "impl", "timings", "environment")


def document(
    run: Run,
    verdict: Verdict,
    sections: Iterable[Section] = (),
    findings: Iterable[Section] = (),
    caveats: Sequence[Note] = (),
) -> Document:
    """The document of a run: what a command has to say, and what is said of every run. Empty sections are left out.

    A run that was not finished, or of which something failed that its verdict does not speak of, is no good one.
    """
    kept = tuple(section for section in findings if section.blocks)
    if verdict.tone == "good" and any(section.title == FAILED for section in kept):
        verdict = replace(verdict, tone="doubtful", word="")
    if unfinished(run) and (verdict.tone != "bad" or not kept):
        verdict = replace(verdict, tone="bad" if run["status"] == "failed" else "doubtful", word="unfinished")
    return Document(
        title=f"alexbench {clean(str(run.get('command', '')))}".rstrip(),
        verdict=verdict,
        sections=tuple(section for section in sections if section.blocks),
        findings=kept,
        caveats=(*caveats, *unfinished(run)),
        machine=machine(run),
        time=time(run),
        signature=str(run.get("signature") or ""),
        command=again(run),
        facts=facts(run),
    )


def again(run: Run, **changes: str) -> str:
    """The command that does a part of the run once more: its own line with other options; empty where it has none.

    An option that says what it says by default needs no word.
    """
    try:
        words = shlex.split(str(run.get("command_line") or ""))
    except ValueError:  # no line of ours
        return ""
    if not words:
        return ""
    given = {name.replace("_", "-"): value for name, value in changes.items() if value}
    dropped = dict(OF_ONE_RUN) | {one: 1 for name in given for one in (name, *OTHER_NAMES.get(name, ()))}
    kept = _without(words, dropped)
    for name, value in given.items():
        if DEFAULTS.get(name) != value:
            kept += [f"--{name}", value]
    return shlex.join(kept)


def _without(words: Sequence[str], dropped: Mapping[str, int]) -> list[str]:
    """The words of a line without these options (name -> how many words follow), `--name=value` too."""
    kept, left = list[str](), 0
    for word in words:
        name = word.removeprefix("--").partition("=")[0] if word.startswith("--") else ""
        if left:
            left -= 1
        elif name in dropped:
            left = 0 if "=" in word else dropped[name]
        else:
            kept.append(word)
    return kept


def picture(name: str, title: str, draw: Callable[[], Drawing | None], alt: str) -> Section:
    """A section of one picture."""
    return Section(title=title, blocks=[Picture(name=name, title=title, alt=alt, draw=draw)], detail=Detail.FULL)


def failures(run: Run, told: Iterable[str] = (), most_brief: int = 8) -> Section:
    """What run.json says that failed, but for what the reasons that were `told` say, and the status."""
    reasons = [reason for reason in map(clean, told) if reason]
    said = [clean(str(one)) for one in _listed(run.get("failures"))]
    untold = [one for one in said if one != run.get("status") and not any(reason in one for reason in reasons)]
    notes = [Note(text=one, tone="bad") for one in untold]
    return Section(title=FAILED, blocks=notes, quiet=True, most_brief=most_brief)


def machine(run: Run) -> str:
    """Processor, its kind, cores; empty where the run does not say."""
    ground = _mapping(run.get("environment"))
    known = _mapping(ground.get("machine"))
    usable, physical = known.get("cores"), ground.get("physical_cores")
    parts = [
        known.get("cpu"),
        ground.get("cpu_kind"),
        f"{plural(usable, 'core')} usable" if isinstance(usable, int) else "",
        plural(physical, "physical core") if isinstance(physical, int) else "",
    ]
    return ", ".join(clean(str(part)) for part in parts if part)


def time(run: Run) -> str:
    """When it was begun, to the minute, and how long it took."""
    began, seconds = str(run.get("started") or ""), number(_mapping(run.get("timings")), "seconds")
    day = f"{began[:10]} {began[11:16]} UTC" if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", began) else ""
    took = "" if seconds is None else f"took {written(seconds, 'duration')}"
    return ", ".join(filter(None, [day, took]))


def unfinished(run: Run) -> list[Note]:
    """That a run broke off, where it did."""
    if run.get("status") in (None, "complete"):
        return []
    said = f"The run was not finished (status {clean(str(run['status']))})."
    if run.get("command") in RESUMABLE:
        said += f" alexbench {run['command']} --resume FOLDER goes on with it."
    return [Note(text=said, tone="doubtful")]


def differing(differences: Iterable[Difference]) -> list[str]:
    """A line for each group of facts that two runs do not share: `the machine differs: cores 2 / 4`."""
    groups: dict[str, list[str]] = {}
    for one in differences:
        groups.setdefault(one.group, []).append(
            f"{clean(one.what)[:MAX_FACT]} {shortened(one.was)} / {shortened(one.now)}"
        )
    return [
        f"the {group} differ{'s' if group == 'machine' else ''}: {'; '.join(told[:MAX_DIFFERENCES])}"
        + (f"; and {len(told) - MAX_DIFFERENCES} more" if len(told) > MAX_DIFFERENCES else "")
        for group, told in groups.items()
    ]


def shortened(value: str | None) -> str:
    """A fact of the environment in at most MAX_FACT characters."""
    if value is None:
        return "not set"
    cleaned = clean(value)
    return cleaned if len(cleaned) <= MAX_FACT else f"{cleaned[: MAX_FACT - 1]}…"


def facts(run: Run) -> dict[str, str]:
    """Options, times and environment, flat, and what was not as it was when the run went on."""
    found = {name: value for fact in FACTS if fact in run for name, value in _flat(fact, run[fact]).items()}
    for one in map(_mapping, _listed(run.get("changed"))):
        was, now = ("not there" if one.get(name) is None else str(one[name]) for name in ("was", "now"))
        found[f"resumed {one.get('resumed')}: {one.get('what')}"] = f"{one.get('what')} was {was}, then {now}"
    for place, failure in enumerate(_listed(run.get("failures")), 1):
        found[f"failure {place}"] = str(failure)
    return found


def _flat(name: str, value: Any, depth: int = 0) -> dict[str, str]:
    if isinstance(value, Mapping) and depth < MAX_DEPTH:
        inner = (_flat(_within(name, key), value[key], depth + 1) for key in value)
        return {fact: said for one in inner for fact, said in one.items()}
    if isinstance(value, list | tuple):
        value = ", ".join(str(item) for item in value)
    said = "" if value is None else str(value)
    return {} if not said else {name: said if len(said) <= MAX_SAID else f"{said[:MAX_SAID]}…"}


def _within(name: str, inner: Any) -> str:
    """`environment.machine`; a path, which may lie anywhere, stands apart."""
    return f"{name} {inner}" if "/" in str(inner) else f"{name}.{inner}"


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
