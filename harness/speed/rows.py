"""Rows of the tables of a speed run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import environment
from harness.speed.matrix import SETTING_COLUMNS, Setting
from impls import catalog, costs, derive, split
from reports import schema
from reports.statistics import Interval

Row = dict[str, Any]

KEPT = ("measured", "does-not-fit", "unsupported", "parity-failed")  # statuses that --resume takes as they are

SPEED_COLUMNS = tuple(schema.dtypes("speed"))


@dataclass(frozen=True, slots=True)
class Who:
    """One framework in one tuning."""

    framework: str
    tuning: str

    @property
    def label(self) -> str:
        """As a person reads it."""
        return f"{self.framework}/{self.tuning}"


def key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a setting is identified by."""
    return tuple(row.get(name) for name in SETTING_COLUMNS)


def key(who: Who, setting: Setting) -> tuple[Any, ...]:
    """The same of a setting that has no row yet."""
    return key_of({"framework": who.framework, "tuning": who.tuning, **setting.columns()})


def left(
    settings: Sequence[Setting], whos: Sequence[Who], rows: Sequence[Mapping[str, Any]]
) -> dict[Setting, list[Who]]:
    """Setting -> who has no row for it yet, in the order in which they are measured."""
    done = {key_of(row) for row in rows}
    return {setting: [who for who in whos if key(who, setting) not in done] for setting in dict.fromkeys(settings)}


def signature(who: Who, setting: Setting, version: str, weights_hash: str, seed: int) -> str:
    """What must stand beside a figure."""
    return environment.signature(
        network=setting.network,
        weights=weights_hash[:12] or None,
        seed=seed,
        framework=f"{who.framework}-{version}" if version else who.framework,
        device=setting.device,
        precision=setting.precision,
        devices=setting.devices,
        split=setting.split,
        batch=setting.batch_size,
        input=setting.input,
        phase=setting.phase,
        tuning=who.tuning,
    )


def speed_row(who: Who, setting: Setting, **found: Any) -> Row:
    """A row with every column; what is not given was not measured."""
    emulated = "yes" if setting.emulated else "no"
    given = {"framework": who.framework, "tuning": who.tuning, **setting.columns(), "emulated": emulated, **found}
    unknown = set(given) - set(SPEED_COLUMNS)
    if unknown:
        raise KeyError(f"no such column: {', '.join(sorted(unknown))}")
    return {name: given.get(name) for name in SPEED_COLUMNS}


def step_ms(seconds: Interval) -> dict[str, float | None]:
    """A time in the columns it has in every table."""
    low, high = (None if bound is None else bound * 1e3 for bound in (seconds.low, seconds.high))
    return {"step_ms": seconds.value * 1e3, "step_ms_low": low, "step_ms_high": high}


def step_flops(setting: Setting) -> int:
    """Algorithmic floating-point operations of one step."""
    network = catalog.get(setting.network)
    if setting.phase == "forward":
        return 2 * derive.multiply_adds(network) * setting.batch_size
    return derive.training_flops(network) * setting.batch_size


def exchange_rows(setting: Setting) -> list[Row]:
    """What one device sends in a training step; nothing on one device."""
    if setting.split == "none":
        return []
    plan = split.plan(catalog.get(setting.network), setting.split, setting.devices)
    traffic = split.traffic(plan, setting.batch_size, costs.BYTES[setting.precision])
    total = sum(row.sent for row in traffic) or 1
    where = {name: getattr(setting, name) for name in ("network", "split", "devices", "batch_size", "precision")}
    return [
        {**where, "where": row.where, "what": row.what, "bytes": row.sent, "share": row.sent / total} for row in traffic
    ]
