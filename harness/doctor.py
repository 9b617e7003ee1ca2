"""What `alexbench doctor` finds: each framework's state, the machine, and the command that mends what is missing.

A framework is asked in a worker process of its own, so that a crash or a hang costs an answer and nothing else.
"""

from __future__ import annotations

import platform
import queue
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness import environment, launch, requirements
from harness.version import VERSION
from impls import registry

TIMEOUT_S = 60.0
MOST_DEVICES = 16

State = Literal["works", "missing", "too old", "broken"]


@dataclass(frozen=True, slots=True)
class FrameworkState:
    """One framework as this machine has it."""

    name: str
    state: State
    version: str = ""
    needed: str = ""  # as the project's extra writes it: "torch>=2.11"
    devices: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)  # what else the framework says of itself
    reason: str = ""
    remedy: str = ""  # the command that mends it
    not_missed: bool = False  # not installed, and an addition to the others: forward only
    no_cuda: str = ""  # what the framework says where it works and finds no NVIDIA GPU


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything `alexbench doctor` has to say."""

    version: str
    python: str
    frameworks: tuple[FrameworkState, ...]
    missing_core: tuple[str, ...]  # requirements of the project itself that are not met
    core_remedy: str
    machine: Mapping[str, object]
    cpu_features: Mapping[str, bool]
    available_memory_gb: float | None
    free_disk_gb: float
    flags: Mapping[str, str]
    packages: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """0 where everything works, 3 where something is missed or broken."""
        broken = any(found.state != "works" and not found.not_missed for found in self.frameworks)
        return 3 if broken or self.missing_core or not self.frameworks else 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `reports.documents.doctor` and for JSON."""
        return asdict(self)


def diagnose(pythons: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> Diagnosis:
    """Look at the machine and ask every registered framework, all at once.

    `pythons` names the interpreter of a framework that lives in another virtual environment.
    """
    frameworks = tuple(examine(registry.frameworks(forward_only=True), pythons or {}, timeout_s))
    missing_core = tuple(text for text, satisfied in requirements.wanted("").items() if not satisfied)
    return Diagnosis(
        version=VERSION,
        python=platform.python_version(),
        frameworks=frameworks,
        missing_core=missing_core,
        core_remedy=requirements.install_command("") if missing_core else "",
        machine=environment.machine(),
        cpu_features=environment.cpu_features(),
        available_memory_gb=environment.available_memory_gb(),
        free_disk_gb=round(shutil.disk_usage(".").free / 2**30, 1),
        flags=environment.flags(),
        packages=environment.packages(),
    )


def run(pythons: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> int:
    """The command: look, print, and return the exit code."""
    from reports.documents import doctor  # here, because rich is one of the things that may be missing
    from reports.render import terminal

    diagnosis = diagnose(pythons, timeout_s)
    terminal.show(doctor.document(diagnosis.as_dict()))
    return diagnosis.exit_code


def examine(
    targets: Mapping[str, str], pythons: Mapping[str, str], timeout_s: float = TIMEOUT_S
) -> Iterator[FrameworkState]:
    """The state of each framework of `targets` (name -> "module:attribute"). Nothing a framework does raises here."""
    here = [name for name in targets if name not in pythons]
    gone = {name: ", ".join(modules) for name in here if (modules := registry.missing_modules(name))}
    # device="cuda" hides no GPU from the worker, as device="cpu" would.
    specs = [
        launch.WorkerSpec(
            label=name,
            target=target,
            python=pythons.get(name, sys.executable),
            device="cuda",
            silence_limit_s=timeout_s,
        )
        for name, target in targets.items()
        if name not in gone
    ]
    answers = _ask(specs)
    for name in targets:
        answer = answers.get(name) or _Answer(reason=f"not installed: {gone[name]}", missing=True)
        yield _state(name, answer, pythons.get(name, sys.executable))


def _state(name: str, answer: _Answer, python: str) -> FrameworkState:
    facts = answer.facts.get("cpu", {})
    version = facts.get("version", "")
    state, reason = _verdict(name, answer, version)
    return FrameworkState(
        name,
        state,
        version=version,
        needed=", ".join(requirements.wanted(name)),
        devices=tuple(_device(asked, said.get("device", "")) for asked, said in answer.facts.items()),
        details={key: value for key, value in facts.items() if key not in {"version", "device"}},
        reason=reason,
        remedy=_remedy(name, state, python),
        not_missed=state == "missing" and name in registry.FORWARD_ONLY,
        no_cuda=answer.reason if list(answer.facts) == ["cpu"] else "",
    )


def _verdict(name: str, answer: _Answer, version: str) -> tuple[State, str]:
    if "cpu" not in answer.facts:
        return ("missing" if answer.missing else "broken"), answer.reason
    for needed in requirements.of_extra(name):
        if needed.name.startswith(name) and version and not needed.specifier.contains(version, prereleases=True):
            return "too old", f"{version} found, {needed.name}{needed.specifier} needed"
    return "works", ""


def _remedy(name: str, state: State, python: str) -> str:
    """The command that mends it; none where it works, or where the framework is not of this project."""
    if state == "works" or name not in {**registry.BUILT_IN, **registry.FORWARD_ONLY}:
        return ""
    return (requirements.repair_command if state == "broken" else requirements.install_command)(name, python)


def _device(asked: str, called: str) -> str:
    return asked if called in {"", asked} else f"{asked} ({called})"


@dataclass(slots=True)
class _Answer:
    facts: dict[str, dict[str, str]] = field(default_factory=dict)  # device -> what describe(device) said
    reason: str = ""  # why there is no answer, or no further one
    missing: bool = False


def _ask(specs: list[launch.WorkerSpec]) -> dict[str, _Answer]:
    """`describe` every device of every framework, all at once, each up to the first device that is not there."""
    answers = {spec.label: _Answer() for spec in specs}
    events: queue.Queue[launch.Event] = queue.Queue()
    workers: dict[str, launch.Worker] = {}
    with tempfile.TemporaryDirectory(prefix="alexbench-doctor-") as logs:
        try:
            for spec in specs:
                try:
                    workers[spec.label] = _start(spec, events, Path(logs))
                except OSError as error:
                    answers[spec.label].reason = f"{spec.python} cannot be started: {error.strerror or error}"
            waiting = set(workers)
            while waiting:
                event = events.get()
                label = event["worker"]
                if label in waiting and _is_last(event, answers[label]):
                    waiting.remove(label)
        finally:
            for worker in workers.values():
                worker.kill()
    return answers


def _start(spec: launch.WorkerSpec, events: queue.Queue[launch.Event], logs: Path) -> launch.Worker:
    worker = launch.Worker(spec, events, logs)
    for device in ("cpu", *(f"cuda:{number}" for number in range(MOST_DEVICES))):
        worker.send({"id": device, "do": "describe", "device": device})
    worker.finish()
    return worker


def _is_last(event: launch.Event, answer: _Answer) -> bool:
    """Take in one event; whether it is the last that matters of its worker."""
    kind = event["event"]
    if kind == "done":
        answer.facts[event["task"]] = {key: str(value) for key, value in event["facts"].items()}
    elif kind == "failed":
        answer.reason = str(event["message"])
    elif kind in {"missing", "died", "load-failed"}:
        last = str(event.get("stderr", "")).strip().splitlines()[-1:]
        answer.reason = ": ".join([str(event["reason"]), *last])
        answer.missing = kind == "missing" and not requirements.is_broken(event)
    return kind in {"failed", "load-failed", "missing", "died", "finished"}
