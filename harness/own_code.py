"""The user's own code that a run is of: which file it is, its hash, and where that is asked for, a copy of it.

Nothing is run to find it: a module's file is looked up as an import would, without importing its packages.
"""

from __future__ import annotations

import contextlib
import hashlib
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from harness.errors import CannotMeasure, UsageError
from harness.run_files import IMPL

MAX_KEPT_BYTES = 1 << 20


@dataclass(frozen=True)
class OwnCode:
    """What run.json says of it, and what is to be kept: name in the folder -> content."""

    facts: dict[str, dict[str, str | None]] = field(default_factory=dict)  # target -> file, sha256, and kept
    copies: dict[str, bytes] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """For run.json; nothing where there is no such code."""
        return {"impl": self.facts} if self.facts else {}

    def keep(self, folder: Path) -> None:
        """Write the copies into a run's folder. Raises CannotMeasure."""
        try:
            for name, content in self.copies.items():
                (folder / IMPL).mkdir(exist_ok=True)
                (folder / IMPL / name).write_bytes(content)
        except OSError as error:
            raise CannotMeasure(f"cannot write {folder / IMPL}: {error.strerror or error}") from None


def read(targets: Mapping[str, str], *, keep: bool) -> OwnCode:
    """Target as it was given -> its module, `./mine.py` or `package.module`.

    Raises UsageError for what is to be kept and cannot be.
    """
    found = OwnCode()
    for target, module in targets.items():
        path = Path(module) if module.endswith(".py") else _file_of(module)
        facts: dict[str, str | None] = {"file": path.name if path else None, "sha256": None}
        try:
            content = _content(path) if keep else None
            facts["sha256"] = _hash_of(path) if content is None else hashlib.sha256(content).hexdigest()
        except OSError as error:
            if keep:
                raise UsageError(f"--keep-impl: cannot read the file of {target}: {error.strerror or error}") from None
        if path is not None and content is not None:
            facts["kept"] = f"{IMPL}/{_named(path.name, content, found.copies)}"
        found.facts[target] = facts
    return found


def _hash_of(path: Path | None) -> str | None:
    """None where there is no file to read, which whoever runs it will say. Raises OSError."""
    if path is None or not _is_file(path):
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(path: Path | None) -> bytes:
    """What is to be kept. Raises UsageError, OSError."""
    if path is None or not _is_file(path):
        raise UsageError(f"--keep-impl: {path or 'the module'} is no file that is found here: leave --keep-impl out")
    with path.open("rb") as file:
        content = file.read(MAX_KEPT_BYTES + 1)
    if len(content) > MAX_KEPT_BYTES:
        raise UsageError(f"--keep-impl: {path} has more than {MAX_KEPT_BYTES} bytes: leave --keep-impl out")
    return content


def _named(name: str, content: bytes, copies: dict[str, bytes]) -> str:
    """The name that a copy has, put among the others; another folder's file may have the same name."""
    if copies.get(name, content) != content:
        name = f"{hashlib.sha256(content).hexdigest()[:12]}-{name}"
    copies[name] = content
    return name


def _is_file(path: Path) -> bool:
    """Before it is opened: a pipe would wait for ever."""
    with contextlib.suppress(OSError, ValueError):
        return stat.S_ISREG(path.stat().st_mode)
    return False


def _file_of(module: str) -> Path | None:
    """Where a worker of this interpreter would import it from; None where that is not known."""
    parts, places = module.split("."), None
    for count in range(1, len(parts)):
        package = _spec(".".join(parts[:count]), places)
        places = list((package and package.submodule_search_locations) or ())
    found = _spec(module, places)
    return Path(found.origin) if found is not None and found.has_location and found.origin else None


def _spec(name: str, places: Sequence[str] | None) -> ModuleSpec | None:
    """As `import` finds it, in the working folder last."""
    for finder in sys.meta_path:
        # A namespace within another asks for that one, which is not imported: KeyError.
        with contextlib.suppress(ImportError, KeyError, ValueError, OSError):
            if (found := finder.find_spec(name, places)) is not None:
                return found
    return PathFinder.find_spec(name, [str(Path.cwd())]) if places is None else None
