"""What the project and its extras ask for, and the command that installs it. pyproject.toml is where it is said."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from harness.environment import CHECKOUT
from impls import registry

PROJECT = "alexbench"


def wanted(extra: str) -> dict[str, bool]:
    """What an extra asks for ("" for the project itself), as `name>=version`, and whether this Python has it."""
    return {f"{needed.name}{needed.specifier}": _met(needed) for needed in of_extra(extra)}


def _met(needed: Requirement) -> bool:
    try:
        return needed.specifier.contains(metadata.version(needed.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def _lines() -> list[str]:
    """All requirements in the form an installed package lists them; from pyproject.toml in a checkout."""
    try:
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.requires(PROJECT) or []
        return []
    lines = list(project.get("dependencies", []))
    for extra, asked in project.get("optional-dependencies", {}).items():
        for line in asked:
            base, separator, marker = line.partition(";")
            condition = f"({marker.strip()}) and " if separator else ""
            lines.append(f'{base.strip()}; {condition}extra == "{extra}"')
    return lines


def of_extra(extra: str) -> list[Requirement]:
    """The requirements of one extra alone ("" for the project itself) that apply on this machine."""
    found = []
    for requirement in map(Requirement, _lines()):
        marker = requirement.marker
        core = marker is None or marker.evaluate({"extra": ""})
        if core if not extra else not core and marker is not None and marker.evaluate({"extra": extra}):
            found.append(requirement)
    return found


def install_command(extra: str, python: str = sys.executable) -> str:
    """The command that installs the project with an extra, as a checkout or a package, typed in whatever folder."""
    bracket = f"[{extra}]" if extra else ""
    if (CHECKOUT / "pyproject.toml").is_file():
        return f"{pip(python)} install -e {shlex.quote(f'{CHECKOUT}{bracket}')}"
    return f"{pip(python)} install {shlex.quote(f'{PROJECT}{bracket}')}"


def why_missing(event: Mapping[str, Any], target: str, python: str) -> str:
    """Why a worker could not import what runs `target`, with the command that mends a framework of this project."""
    name = registry.framework_of(target)
    if not name:
        return str(event["reason"])
    return f"{event['reason']}: {(repair_command if is_broken(event) else install_command)(name, python)}"


def is_broken(event: Mapping[str, Any]) -> bool:
    """Whether what a worker misses is there, and cannot be imported."""
    return bool(event.get("broken"))


def repair_command(extra: str, python: str = sys.executable) -> str:
    """The command for what is there in the right version and does not run, and so would pass for installed."""
    asked = " ".join(shlex.quote(text) for text in wanted(extra))
    return f"{pip(python)} install --force-reinstall {asked or extra}"


def pip(python: str = sys.executable) -> str:
    """`pip` as a command that installs where this interpreter looks."""
    place = Path(python).absolute() if os.sep in python else python  # links are kept: they make a virtual environment
    return f"{shlex.quote(str(place))} -m pip"
