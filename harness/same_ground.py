"""Whether figures measured now may stand beside those that a run has already: the ground they both stand on.

What changes figures is refused. The rest, such as another kernel or another matplotlib, is told and kept in run.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness import environment
from harness.errors import UsageError
from harness.version import VERSION
from reports.render.terminal import say

# Packages that compute what a framework's figures tell; NumPy computes every framework's batches and references.
COMPUTING = {
    "torch": ("torch", "mkl", "nvidia-cublas", "nvidia-cublas-cu12", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13"),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "nvidia-cublas-cu12", "nvidia-cudnn-cu12"),
    "jax": ("jax", "jaxlib", "flax", "nvidia-cublas", "nvidia-cublas-cu12", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13"),
    "onnxruntime": ("onnxruntime",),
}
ALWAYS = ("numpy",)
# Of what a framework says of itself, in whatever interpreter it runs.
TOLD = ("version", "device", "compute_capability", "cuda", "cudnn", "jaxlib", "flax", "platform", "instruction_set")
KIND = ("cpu_kind", "physical_cores")  # of the machine
MEMORY, SYSTEM, DRIVER = "memory_gb", "os", "nvidia_driver"  # of the machine's facts


class Change(NamedTuple):
    """A fact that is not as it was."""

    name: str
    was: Any
    now: Any
    counts: bool  # whether figures depend on it

    def told(self) -> str:
        """As a person reads it."""
        return f"{self.name} was {_shown(self.was)}, here it is {_shown(self.now)}"


def check(path: Path, run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is not as it was when the run began, for `RunFolder.reopen`.

    Raises UsageError where figures depend on it.
    """
    found = changes(run, {"alexbench": VERSION, "environment": environment.describe()})
    for change in found:
        if change.counts:
            raise UsageError(f"--resume {path}: {change.told()}; start a new run with --out elsewhere")
    if found:
        kept = "; ".join(change.told() for change in found)
        say(f"--resume {path} goes on, and run.json keeps what is not as it was: {kept}", error=True)
    return [{"what": change.name, "was": change.was, "now": change.now} for change in found]


def changes(run: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Between what two run.json say of their ground. A fact that one of them has no word for is not compared."""
    old, new = _mapping(run.get("environment")), _mapping(now.get("environment"))
    found = [
        *_shortened("alexbench", run.get("alexbench"), now.get("alexbench")),
        *_shortened("Python", old.get("python"), new.get("python")),
        *(Change(name, old[name], new[name], True) for name in KIND if name in old and name in new),
        *_of_machine(_mapping(old.get("machine")), _mapping(new.get("machine")), _on_gpu(run)),
        *_of_packages(_mapping(old.get("packages")), _mapping(new.get("packages")), frameworks_of(run)),
        *_each("", _mapping(old.get("flags")), _mapping(new.get("flags"))),
        *_each("git ", _mapping(old.get("git")), _mapping(new.get("git"))),
    ]
    return [change for change in found if change.was != change.now]


def check_told(path: Path, run: Mapping[str, Any], told: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse another version of a framework, another GPU, CUDA or library: framework -> what it says of itself.

    It may lie in another interpreter, whose packages only it knows. Raises UsageError.
    """
    before, versions = _mapping(run.get("frameworks")), _mapping(run.get("versions"))
    for name, facts in told.items():
        known = {"version": versions.get(name), **_mapping(before.get(name))}
        for fact in TOLD:
            was, is_now = known.get(fact), facts.get(fact)
            if was is not None and is_now is not None and was != is_now:
                which = name if fact == "version" else f"{fact} of {name}"
                raise UsageError(f"--resume {path}: {which} was {was}, here it is {is_now}; start a new run")


def frameworks_of(run: Mapping[str, Any]) -> set[str]:
    """Those that the run has figures of, or is to have; of a run of all that are installed those that began."""
    asked = _mapping(run.get("arguments")).get("frameworks")
    began = _mapping(run.get("versions"))
    return set(asked) if isinstance(asked, list) and asked else set(began) or set(COMPUTING)


def _on_gpu(run: Mapping[str, Any]) -> bool:
    return str(_mapping(run.get("arguments")).get("device")).startswith("cuda")


def _shortened(name: str, was: Any, now: Any) -> list[Change]:
    """A version, whose last number changes no figure."""
    return [Change(name, was, now, _minor(was) != _minor(now))]


def _minor(version: Any) -> str:
    """CPython 3.11 of CPython 3.11.4."""
    return ".".join(str(version).split(".")[:2])


def _of_machine(was: Mapping[str, Any], now: Mapping[str, Any], on_gpu: bool) -> Iterable[Change]:
    for name in (name for name in was if name in now or name == DRIVER):
        counts = name != MEMORY and (name != DRIVER or on_gpu)
        if name == SYSTEM:  # "Linux 6.1.0-13-amd64": the kernel changes no figure, another system does
            counts = str(was[name]).split()[:1] != str(now[name]).split()[:1]
        yield Change(name, was[name], now.get(name), counts)


def _of_packages(was: Mapping[str, Any], now: Mapping[str, Any], frameworks: Iterable[str]) -> Iterable[Change]:
    counting = {*ALWAYS, *(package for name in frameworks for package in COMPUTING.get(name, ()))}
    for change in _each("", was, now):  # what was not there may only not have been asked for
        yield change._replace(counts=change.was is not None and change.name in counting)


def _each(prefix: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    return [Change(f"{prefix}{name}", was.get(name), now.get(name), False) for name in sorted({*was, *now})]


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _shown(value: Any) -> str:
    return "not there" if value is None else str(value)
