"""Going on with a sweep that broke off: the same arguments, the same ground, and the rows that stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from harness import option_record
from harness.errors import UsageError
from harness.run_folder import RunFolder
from harness.speed.options import SpeedOptions
from harness.speed.rows import KEPT, Row, key_of

NOT_THE_SWEEPS = ("out", "overwrite", "verbose", "timeout_s", "dry_run")  # may differ from the first part's
PATHS = ("out", "weights")
PAIRS = ("pythons",)


def arguments(options: SpeedOptions) -> dict[str, Any]:
    """The options as run.json keeps them, and as `options_of` reads them."""
    found: dict[str, Any] = {}
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name in PAIRS:
            value = [list(pair) for pair in value]
        found[field.name] = str(value.resolve()) if isinstance(value, Path) and field.name == "weights" else value
        if isinstance(found[field.name], Path):
            found[field.name] = str(found[field.name])
    return found


def options_of(path: Path, run: Mapping[str, Any], given: SpeedOptions) -> SpeedOptions:
    """The first part's options, with what may differ from those given now. Raises UsageError."""
    if run.get("command") != "speed":
        raise UsageError(f"--resume {path}: that is a run of {run.get('command')!r}, not of 'speed'")
    kept = run.get("arguments")
    if not isinstance(kept, dict):
        raise UsageError(f"--resume {path}: its run.json has no arguments")
    try:
        names = [field.name for field in fields(SpeedOptions) if field.name not in NOT_THE_SWEEPS]
        options = option_record.checked(SpeedOptions(**{name: _restored(name, kept[name]) for name in names}))
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"--resume {path}: its run.json was written by another version of alexbench") from None
    return replace(options, **{name: getattr(given, name) for name in NOT_THE_SWEEPS})


def _restored(name: str, value: Any) -> Any:
    if name in PATHS:
        return None if value is None else Path(value)
    if isinstance(value, list):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return value


def check_weights(path: Path, run: Mapping[str, Any], hashes: Mapping[str, str]) -> None:
    """Refuse other weights. Raises UsageError."""
    before = run.get("weights")
    for network, found in hashes.items():
        known = before.get(network) if isinstance(before, dict) else None
        if known not in (None, found):
            raise UsageError(
                f"--resume {path}: the weights of {network!r} were {str(known)[:12]}, here they are {found[:12]};"
                " give the same file or start a new run"
            )


def that_stand(rows: Sequence[Row]) -> list[Row]:
    """Rows of the table `speed` that need no second measurement."""
    return [row for row in rows if row.get("status") in KEPT]


def keep_what_stands(folder: RunFolder) -> dict[str, list[Row]]:
    """Rows that need no second measurement, by kind; the folder has these and no others afterwards."""
    speed = that_stand(folder.rows("speed"))
    whole = {key_of(row) for row in speed}
    layers = {_layer_key(row) for row in speed}
    stands: dict[str, list[Row]] = {
        "speed": speed,
        "sample": [row for row in folder.rows("sample") if key_of(row) in whole],
        "layer": [row for row in folder.rows("layer") if _layer_key(row) in layers],
        "peak": folder.rows("peak"),
        "exchange": _once(folder.rows("exchange")),
    }
    for kind, rows in stands.items():
        folder.keep_only(kind, rows)
    return {kind: rows for kind, rows in stands.items() if rows}


def _layer_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("framework", "tuning", "network", "device", "precision", "batch_size"))


def _once(rows: Sequence[Row]) -> list[Row]:
    return list({tuple(row.items()): row for row in rows}.values())
