"""What `run.json` says, as a report holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports import export_markdown
from reports.format import clean, plural


def opening(run: Mapping[str, Any]) -> str:
    """What a reader must know before any figure: the machine it was measured on, and whether the run broke off."""
    return "\n\n".join(filter(None, [machine(run), unfinished(run)]))


def machine(run: Mapping[str, Any]) -> str:
    """A line for the machine: processor, its kind, cores; nothing where `run` does not say."""
    ground = _mapping(run.get("environment"))
    known = _mapping(ground.get("machine"))
    usable, physical = known.get("cores"), ground.get("physical_cores")
    parts = [
        known.get("cpu"),
        ground.get("cpu_kind"),
        f"{plural(usable, 'core')} usable" if isinstance(usable, int) else "",
        plural(physical, "physical core") if isinstance(physical, int) else "",
    ]
    found = ", ".join(clean(str(part)) for part in parts if part)
    return f"Machine: {export_markdown.escaped(found)}." if found else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def unfinished(run: Mapping[str, Any]) -> str:
    """A line for a run that broke off, else nothing."""
    if run.get("status") in (None, "complete"):
        return ""
    status = export_markdown.code(str(run["status"]))
    return f"The run was not finished (status {status}): what it measured until then is below."


def markdown(run: Mapping[str, Any]) -> str:
    """Signature, arguments, environment and failures."""
    shown = ("status", "started", "finished", "arguments", "timings", "environment")
    cells = [pair for name in shown if name in run for pair in _flat(name, run[name])]
    cells += [(f"resumed {one['resumed']}", _changed(one)) for one in run.get("changed") or ()]
    cells += [("failure", str(failure)) for failure in run.get("failures") or ()]
    parts = [f"Signature: {export_markdown.code(str(run['signature']))}" if run.get("signature") else ""]
    parts.append(export_markdown.table(("fact", "value"), cells) if cells else "")
    return "\n\n".join(filter(None, parts))


def _changed(one: Mapping[str, Any]) -> str:
    """What was not as it was when the run went on, and changes no figure."""
    was, now = ("not there" if value is None else str(value) for value in (one["was"], one["now"]))
    return f"{one['what']} was {was}, then {now}"


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [pair for key, inner in value.items() for pair in _flat(f"{name}.{key}", inner)]
    if isinstance(value, list | tuple):
        value = ", ".join(str(item) for item in value)
    return [] if value in (None, "") else [(name, str(value))]
