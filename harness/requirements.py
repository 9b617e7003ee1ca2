"""What the project and its extras ask for, and the command that installs it. pyproject.toml is where it is said."""

from __future__ import annotations

import contextlib
import sys
import tomllib
from importlib import metadata

from packaging.requirements import Requirement

from harness.environment import CHECKOUT

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
    """The command that installs the project with an extra, for a checkout or for an installed package."""
    bracket = f"[{extra}]" if extra else ""
    if (CHECKOUT / "pyproject.toml").is_file():
        return f"{pip(python)} install -e '.{bracket}'"
    return f"{pip(python)} install 'alexbench{bracket}'"


def pip(python: str) -> str:
    """`pip` as a command of this interpreter or of another one."""
    return "pip" if python == sys.executable else f"{python} -m pip"
