"""Going on with a run of `paper` that broke off: the same arguments, versions and data; finished trainings stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from harness import option_record, same_ground
from harness.errors import UsageError
from harness.paper.options import PaperOptions
from harness.run_folder import facts_of

MAY_DIFFER = ("out", "overwrite", "verbose", "timeout_s")
PATHS = ("runs", "weights")


def arguments(options: PaperOptions) -> dict[str, Any]:
    """The options as run.json keeps them, and as `options_of` reads them."""
    found = {field.name: getattr(options, field.name) for field in fields(options)}
    found |= {name: [str(path.resolve()) for path in found[name]] for name in PATHS}
    found["pythons"] = [list(pair) for pair in options.pythons]
    found["out"] = None if options.out is None else str(options.out)
    return found


def options_of(path: Path, given: PaperOptions) -> tuple[PaperOptions, Mapping[str, Any]]:
    """The first part's options and facts. Raises UsageError."""
    run = facts_of(path)
    if run.get("command") != "paper":
        raise UsageError(f"--resume {path}: that is a run of {run.get('command')!r}, not of 'paper'")
    kept = run.get("arguments")
    if not isinstance(kept, dict):
        raise UsageError(f"--resume {path}: its run.json has no arguments")
    try:
        names = [field.name for field in fields(PaperOptions) if field.name not in MAY_DIFFER]
        options = option_record.checked(PaperOptions(**{name: _restored(name, kept[name]) for name in names}))
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"--resume {path}: its run.json was written by another version of alexbench") from None
    return replace(options, **{name: getattr(given, name) for name in MAY_DIFFER}), run


def _restored(name: str, value: Any) -> Any:
    if name in PATHS:
        return tuple(Path(item) for item in value)
    if isinstance(value, list):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return value


def check(path: Path, run: Mapping[str, Any], data_hash: str) -> list[dict[str, Any]]:
    """Refuse other ground and other data; returns what else has changed. Raises UsageError."""
    changed = same_ground.check(path, run)
    before = run.get("data_hash")
    if before not in (None, data_hash):
        raise UsageError(
            f"--resume {path}: the data's hash was {str(before)[:12]}, here it is {data_hash[:12]}; start a new run"
        )
    return changed
