"""What `alexbench doctor` finds: the frameworks, the machine, and the commands that mend what is missing.

It needs nothing but Rich, because every other requirement may be what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.document import Document, Note, Row, Section, Table, Toned, Verdict
from reports.schema import Column, Detail

Found = Mapping[str, Any]

FRAMEWORKS = (
    Column("name", meaning="As --frameworks takes it.", label="framework", detail=Detail.BRIEF),
    Column("state", meaning="works, missing, too old or broken.", detail=Detail.BRIEF),
    Column("version", meaning="That is installed.", detail=Detail.BRIEF),
    Column("needed", meaning="As the project's extra says it.", detail=Detail.BRIEF),
    Column("devices", meaning="That it finds.", format="lines", detail=Detail.BRIEF),
)
MACHINE = (
    Column("name", label="part", meaning="Of the machine, or a framework.", detail=Detail.BRIEF),
    Column("found", format="lines", meaning="What is known of it.", detail=Detail.BRIEF),
)


def document(diagnosis: Found) -> Document:
    """The diagnosis, `harness.doctor.Diagnosis.as_dict()` or the same from JSON."""
    title = f"alexbench {diagnosis['version']} on Python {diagnosis['python']}"
    frameworks = Table(columns=FRAMEWORKS, rows=list(map(_framework, diagnosis["frameworks"])), keeps_empty=True,
                       caption="Frameworks, their versions and devices")  # fmt: skip
    machine = [{"name": Toned(name, "faint"), "found": said} for name, said in _machine(diagnosis).items()]
    return Document(
        title=title,
        verdict=_verdict(diagnosis),
        sections=(
            Section(title=title, quiet=True, blocks=[Note(text=title, tone="strong")]),
            Section(title="Frameworks", quiet=True, blocks=[frameworks]),
            Section(title="Machine", quiet=True,
                    blocks=[Table(columns=MACHINE, rows=machine, quiet=True, caption="The machine")]),
        ),
        findings=(Section(title="What is missing, and what mends it:", blocks=_remedies(diagnosis)),),
    )  # fmt: skip


def _framework(found: Found) -> Row:
    state = Toned(found["state"], "good" if found["state"] == "works" else "bad")
    known = {name: found[name] or "-" for name in ("name", "version", "needed")}
    return {**known, "state": state, "devices": "\n".join(found["devices"]) or "-"}


def _machine(diagnosis: Found) -> dict[str, str]:
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
        said += [f"no GPU: {found['no_cuda']}"] if found["no_cuda"] else []
        facts |= {found["name"]: ", ".join(said)} if said else {}
    return facts


def _gb(value: float | None) -> str:
    return "?" if value is None else str(value)


def _remedies(diagnosis: Found) -> list[Note]:
    notes = [Note(text=f"{found['name']}: {found['reason']}", command=found["remedy"]) for found in _wanting(diagnosis)]
    core = ", ".join(diagnosis["missing_core"])
    return [*notes, *([Note(text=f"core: {core} not installed", command=diagnosis["core_remedy"])] if core else [])]


def _wanting(diagnosis: Found) -> Sequence[Found]:
    return [found for found in diagnosis["frameworks"] if found["state"] != "works"]


def _verdict(diagnosis: Found) -> Verdict:
    missed = [found for found in _wanting(diagnosis) if not found.get("not_missed")]
    wanting = [f"{found['name']} {_verb(found['state'])}" for found in missed]
    wanting += ["the core is incomplete"] if diagnosis["missing_core"] else []
    wanting += ["no framework is registered"] if not diagnosis["frameworks"] else []
    return Verdict(f"Not ready: {', '.join(wanting)}.", "bad") if wanting else Verdict("Ready.", "good")


def _verb(state: str) -> str:
    return f"does not work ({state})" if state == "broken" else f"is {state}"
