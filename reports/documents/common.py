"""What the documents of all commands have in common: what run.json says of the ground a run stood on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.document import Document, Note, Picture, Section, Verdict
from reports.format import clean, plural
from reports.schema import Detail

if TYPE_CHECKING:
    from reports.figures.style import Drawing
    from reports.summaries.environments import Difference

Run = Mapping[str, Any]  # what run.json holds

MAX_FACT = 60  # characters of a value where two runs differ
MAX_DIFFERENCES = 12  # named one by one in a group

KEPT = ("recipe", "weights", "seed", "images", "data", "parts", "limit", "class_order")  # of a run that is done again
DEFAULTS = {  # of options that need no word
    "precision": "float32", "device": "cpu", "seed": 0, "recipe": "scaled", "part": "val", "class_order": "data",
}  # fmt: skip
FACTS = ("status", "started", "finished", "arguments", "impl", "timings", "environment")


def document(
    run: Run,
    verdict: Verdict,
    sections: Iterable[Section] = (),
    findings: Iterable[Section] = (),
    caveats: Sequence[Note] = (),
) -> Document:
    """The document of a run: what a command has to say, and what is said of every run. Empty sections are left out."""
    return Document(
        title=f"alexbench {clean(str(run.get('command', '')))}".rstrip(),
        verdict=verdict,
        sections=tuple(section for section in sections if section.blocks),
        findings=tuple(section for section in findings if section.blocks),
        caveats=(*caveats, *unfinished(run)),
        machine=machine(run),
        signature=str(run.get("signature") or ""),
        command=str(run.get("command_line") or ""),
        facts=facts(run),
    )


def again(run: Run, command: str, **changes: str) -> str:
    """The command that does a part of the run once more; empty of a run that does not say its options."""
    options = run.get("arguments")
    if not isinstance(options, Mapping):
        return ""
    kept = {name: options.get(name) for name in KEPT}
    kept["parts"] = ",".join(map(str, kept["parts"] or ()))  # several in one word
    words = ["alexbench", command]
    for name, value in {**kept, **changes}.items():
        if value in (None, "") or DEFAULTS.get(name) == value:
            continue
        for one in value if isinstance(value, list | tuple) else (value,):
            words += [f"--{name.replace('_', '-')}", str(one)]
    return shlex.join(words)


def picture(name: str, title: str, draw: Callable[[], Drawing | None], alt: str) -> Section:
    """A section of one picture."""
    return Section(title=title, blocks=[Picture(name=name, title=title, alt=alt, draw=draw)], detail=Detail.FULL)


def failures(run: Run, most_brief: int = 8) -> Section:
    """What run.json says that failed."""
    notes = [Note(text=clean(str(one)), tone="bad") for one in run.get("failures") or ()]
    return Section(title="What failed", blocks=notes, quiet=True, most_brief=most_brief)


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


def unfinished(run: Run) -> list[Note]:
    """That a run broke off, where it did."""
    if run.get("status") in (None, "complete", "running"):
        return []
    return [Note(text=f"The run was not finished (status {clean(str(run['status']))}).", tone="doubtful")]


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
    for one in run.get("changed") or ():
        was, now = ("not there" if value is None else str(value) for value in (one["was"], one["now"]))
        found[f"resumed {one['resumed']}: {one['what']}"] = f"{one['what']} was {was}, then {now}"
    for place, failure in enumerate(run.get("failures") or (), 1):
        found[f"failure {place}"] = str(failure)
    return found


def _flat(name: str, value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {key: said for inner in value for key, said in _flat(f"{name}.{inner}", value[inner]).items()}
    if isinstance(value, list | tuple):
        value = ", ".join(str(item) for item in value)
    return {} if value in (None, "") else {name: str(value)}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
