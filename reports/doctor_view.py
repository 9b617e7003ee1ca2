"""What `alexbench doctor` prints: frameworks first, then the machine, then the commands that mend what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports.render.terminal import Console

Found = Mapping[str, Any]


def show(diagnosis: Found, console: Console | None = None) -> None:
    """Print the diagnosis. Without a terminal it is plain text, 80 columns wide."""
    (console or Console()).print(view(diagnosis), highlight=False, crop=False)


def view(diagnosis: Found) -> RenderableType:
    """The diagnosis, `harness.doctor.Diagnosis.as_dict()` or the same from JSON."""
    title = Text(f"alexbench {diagnosis['version']} on Python {diagnosis['python']}", style="bold")
    frameworks = diagnosis["frameworks"]
    parts: list[RenderableType] = [title, Text(), _frameworks(frameworks), Text(), _machine(diagnosis)]
    remedies = _remedies(diagnosis)
    if remedies:
        parts += [Text(), Text("What is missing, and what mends it:", style="bold")]
        for why, command in remedies:
            parts.append(_indented(why, 2))
            if command:
                parts.append(Text(f"    {command}", style="bold cyan", no_wrap=True, overflow="ignore"))  # to be copied
    return Group(*parts, Text(), _sentence(diagnosis))


def _frameworks(frameworks: Sequence[Found]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("framework", "state", "version", "needed", "devices"):
        table.add_column(Text(heading), overflow="fold")
    for found in frameworks:
        state = Text(found["state"], style="green" if found["state"] == "works" else "bold red")
        cells = (found["version"] or "-", found["needed"] or "-", "\n".join(found["devices"]) or "-")
        table.add_row(Text(found["name"]), state, *(Text(cell) for cell in cells))
    return table


def _machine(diagnosis: Found) -> Table:
    machine = diagnosis["machine"]
    features = [name for name, has in diagnosis["cpu_features"].items() if has]
    memory = [f"{_gb(machine['memory_gb'])} GiB", f"{_gb(diagnosis['available_memory_gb'])} available"]
    facts = {
        "system": f"{machine['os']} ({machine['architecture']})",
        "processor": f"{machine['cpu']}, {machine['cores']} usable cores",
        "features": " ".join(features) or "not known",
        "memory": ", ".join(memory),
        "disk": f"{diagnosis['free_disk_gb']} GiB free here",
        "flags": "\n".join(f"{name}={value}" for name, value in diagnosis["flags"].items()) or "none set",
        "packages": ", ".join(f"{name} {version}" for name, version in diagnosis["packages"].items()) or "none",
    }
    for found in diagnosis["frameworks"]:
        said = [f"{name} {value}" for name, value in found["details"].items()]
        if found["no_cuda"]:
            said.append(f"no GPU: {found['no_cuda']}")
        if said:
            facts[found["name"]] = ", ".join(said)
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(Text(name, style="dim"), Text(value))
    return table


def _indented(line: str, columns: int) -> Padding:
    return Padding(Text(line), (0, 0, 0, columns), expand=False)


def _gb(value: float | None) -> str:
    return "?" if value is None else str(value)


def _remedies(diagnosis: Found) -> list[tuple[str, str]]:
    wanting = [(f"{found['name']}: {found['reason']}", found["remedy"]) for found in _wanting(diagnosis)]
    if diagnosis["missing_core"]:
        wanting.append((f"core: {', '.join(diagnosis['missing_core'])} not installed", diagnosis["core_remedy"]))
    return wanting


def _wanting(diagnosis: Found) -> list[Found]:
    return [found for found in diagnosis["frameworks"] if found["state"] != "works"]


def _sentence(diagnosis: Found) -> Text:
    missed = [found for found in _wanting(diagnosis) if not found.get("not_missed")]
    wanting = [f"{found['name']} {_verb(found['state'])}" for found in missed]
    if diagnosis["missing_core"]:
        wanting.append("the core is incomplete")
    if not diagnosis["frameworks"]:
        wanting.append("no framework is registered")
    return (
        Text(f"Not ready: {', '.join(wanting)}.", style="bold red") if wanting else Text("Ready.", style="bold green")
    )


def _verb(state: str) -> str:
    return f"does not work ({state})" if state == "broken" else f"is {state}"
