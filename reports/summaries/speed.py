"""What the rows of a speed run amount to: settings with their intervals, tuned over stock, who is fastest, peaks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reports import statistics
from reports.format import Row, number, positive, text
from reports.schema import SETTING
from reports.statistics import Interval, Processes, Term
from reports.tables import records

Key = tuple[Any, ...]

NAMES = tuple(column.name for column in SETTING)
PANEL = ("network", "precision", "phase", "device", "input")  # what one table and one picture have in common


def settings(speed: pd.DataFrame, sample: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `speed`, one per setting and in a reader's order, with what the run allows to say of each.

    Further keys: name (`torch tuned`), images and step (Intervals, None where nothing was measured), over_stock
    (images/s of tuned over stock, None for stock, emulated and unpaired rows), over_one (of a split over one device,
    never for emulated devices), gain (the Terms of over_stock) and processes (its samples).
    """
    rows = latest(speed)
    samples = samples_by_setting(sample)
    measured = {setting(row): row for row in rows if is_measured(row)}
    found = []
    for row in sorted(rows, key=order):
        step = positive(row, "step_ms")
        stock = _other(row, measured, tuning="stock") if text(row, "tuning") == "tuned" else None
        one = _other(row, measured, devices=1, split="none") if is_split(row) else None
        over_stock, gain = over(row, stock, samples) if stock else (None, ())
        further = {
            "name": " ".join(filter(None, who(row))),
            "images": images_of(row, samples),
            "step": None if step is None else bounded(row, step, _members(row, samples)),
            "over_stock": over_stock,
            "over_one": over(row, one, samples)[0] if one else None,
            "gain": gain,
            "processes": samples.get(setting(row), {}),
        }
        found.append({**row, **further})
    return found


def panels(given: Sequence[Row]) -> dict[Key, list[Row]]:
    """The measured ones of `settings`, by what one table has in common (in the order of PANEL)."""
    found: dict[Key, list[Row]] = {}
    for row in given:
        if is_measured(row):
            found.setdefault(tuple(row.get(name) for name in PANEL), []).append(row)
    return found


def race(given: Sequence[Row]) -> list[tuple[Row, Interval | None]]:
    """The training steps of one network, the fastest first, each with the fastest's images/s over its own.

    Empty where there is no race: forward alone is no training, emulated devices prove nothing, two networks differ.
    """
    real = [row for row in given if is_measured(row) and not is_emulated(row)]
    trained = [row for row in real if text(row, "phase") == "train-step"] or real
    if len(trained) < 2 or len({text(row, "network") for row in trained}) > 1:
        return []
    best, *others = sorted(trained, key=lambda row: -row["images_per_s"])
    samples = {setting(row): row["processes"] for row in trained}
    return [(best, None), *((row, over(best, row, samples)[0]) for row in others)]


def gains(given: Sequence[Row]) -> dict[str, Interval | None]:
    """Framework -> the geometric mean of tuned over stock, over its settings: a range would hide how it was chosen."""
    found: dict[str, list[Row]] = {}
    for row in given:
        if row["over_stock"] is not None:
            found.setdefault(text(row, "framework"), []).append(row)
    return {
        framework: statistics.geometric_mean([row["over_stock"].value for row in rows], [row["gain"] for row in rows])
        for framework, rows in sorted(found.items())
    }


def exchanges(given: Sequence[Row]) -> list[dict[str, Any]]:
    """What each split sends: split, devices, emulated, batch_size, bytes, and shares of the step (least and most)."""
    found: dict[Key, list[Row]] = {}
    for row in given:
        if is_measured(row) and is_split(row) and number(row, "bytes_exchanged") is not None:
            found.setdefault(tuple(row.get(n) for n in ("split", "devices", "emulated", "batch_size")), []).append(row)
    told = []
    for rows in found.values():
        shares = sorted(value for row in rows if (value := number(row, "exchange_share")) is not None)
        sent = max(number(row, "bytes_exchanged") or 0.0 for row in rows)
        told.append({**rows[0], "bytes": sent, "shares": (shares[0], shares[-1]) if shares else ()})
    return told


def best_peaks(peak: pd.DataFrame, device: Any, precision: Any) -> tuple[Row | None, Row | None]:
    """The peak and the copy that figures of this device and precision are held against; None where not measured."""
    best = [row for row in records(peak) if row.get("best") == "yes" and row.get("device") == device]
    work = [row for row in best if positive(row, "tflops") and row.get("precision") in (None, precision)]
    copies = [row for row in best if positive(row, "gb_per_s") and text(row, "probe") == "copy"]
    copies = [row for row in copies if row.get("precision") == precision] or copies
    return next(iter(work), None), next(iter(copies), None)


def setting(row: Row) -> Key:
    """What identifies a setting, in the order of NAMES."""
    return tuple(row.get(name) for name in NAMES)


def who(row: Row) -> tuple[str, str]:
    """Framework and tuning."""
    return text(row, "framework"), text(row, "tuning")


def latest(speed: pd.DataFrame) -> list[Row]:
    """One row per setting: a resumed run may have measured one again, and the last one counts."""
    return list({setting(row): row for row in records(speed)}.values())


def is_measured(row: Row) -> bool:
    """Whether the row is a figure one may quote."""
    return row.get("status") in (None, "measured") and positive(row, "images_per_s") is not None


def is_split(row: Row) -> bool:
    """Whether the row is about several devices."""
    return (number(row, "devices") or 1) > 1 or text(row, "split") not in ("", "none")


def is_emulated(row: Row) -> bool:
    """Whether its devices share one machine's cores: its time proves nothing about several devices."""
    return text(row, "emulated") == "yes"


def samples_by_setting(sample: pd.DataFrame) -> dict[Key, Processes]:
    """Setting -> process -> block -> milliseconds per step of its samples in the steady state.

    Of samples with the same block and index the last one counts: a resumed run may have measured a setting again.
    """
    found: dict[Key, dict[int, dict[int, dict[Any, float]]]] = {}
    for row in records(sample):
        seconds, steps = positive(row, "seconds"), positive(row, "steps")
        if seconds is not None and steps is not None and row.get("warm") != "no":
            process = found.setdefault(setting(row), {}).setdefault(int(number(row, "process") or 1), {})
            block = process.setdefault(int(number(row, "block") or 0), {})
            block[row.get("index", len(block))] = 1e3 * seconds / steps
    return {
        key: {
            process: {place: [*block.values()] for place, block in blocks.items()}
            for process, blocks in processes.items()
        }
        for key, processes in found.items()
    }


def images_of(row: Row, samples: Mapping[Key, Processes]) -> Interval | None:
    """images/s of a row with its interval, and in how many blocks or processes it was measured, as `samples` say."""
    return images_interval(row, _members(row, samples))


def _members(row: Row, samples: Mapping[Key, Processes]) -> int | None:
    return len(statistics.members(samples.get(setting(row), {}))) or None


def images_interval(row: Row, members: int | None = None) -> Interval | None:
    """images/s with the interval that its step time has; `members` are the blocks or processes it was measured in.

    Earlier versions wrote a step time down to 0 where the interval was wide: then images/s have no upper end.
    """
    value, step = positive(row, "images_per_s"), positive(row, "step_ms")
    if value is None:
        return None
    found = None if step is None else bounded(row, step, members)
    if step is None or found is None or found.low is None or found.high is None:
        return Interval(value, blocks=members)
    return Interval(value, value * step / found.high, value * step / found.low if found.low > 0 else math.inf, members)


def bounded(row: Row, step_ms: float, members: int | None = None) -> Interval:
    """A step time with the bounds that its row has; those of a single sample, which are no interval, left out."""
    low, high = number(row, "step_ms_low"), number(row, "step_ms_high")
    if low is None or high is None or not (low <= step_ms <= high and step_ms < 1e30 > high):
        return Interval(step_ms, blocks=members)
    if low == high and (members or 1) < 2:
        return Interval(step_ms, blocks=members)
    return Interval(step_ms, low, high, members)


def over(row: Row, other: Row, samples: Mapping[Key, Processes]) -> tuple[Interval, tuple[Term, ...]]:
    """images/s of one measured row over another's, and what its interval was made of."""
    together = all(row.get(name) == other.get(name) for name in NAMES if name not in ("framework", "tuning"))
    hold = statistics.paired if together else statistics.apart  # what is measured together is measured in turn
    first, second = samples.get(setting(other), {}), samples.get(setting(row), {})
    terms, value = tuple(hold(first, second)), row["images_per_s"] / other["images_per_s"]
    found = statistics.interval(terms, value) if terms else None
    return found or Interval(value, blocks=min(len(statistics.members(one)) for one in (first, second)) or None), terms


def _other(row: Row, measured: Mapping[Key, Row], **changes: Any) -> Row | None:
    """The measured row that differs in this only; None where there is none, or either ran on emulated devices."""
    other = measured.get(tuple(changes.get(name, row.get(name)) for name in NAMES))
    return None if other is None or not is_measured(row) or is_emulated(row) or is_emulated(other) else other


def order(row: Row) -> Key:
    """A reader's: what one table has in common, then sizes, then who."""
    numbers = (number(row, "batch_size") or 0, number(row, "devices") or 1)
    return (*(text(row, name) for name in PANEL), *numbers, text(row, "split"), *who(row))
