"""What the rows of a speed run amount to: settings side by side, tuned over stock, peaks, a sentence. No rendering."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reports import ratio, statistics
from reports.format import Row, briefly, figure, number, plural, positive, share, text
from reports.ratio import Blocks
from reports.schema import SETTING
from reports.statistics import VAGUE, Interval, Term

Key = tuple[Any, ...]

NAMES = tuple(SETTING)
PANEL = ("network", "precision", "phase", "device", "input")  # what one table and one picture have in common
MOST_EQUALS = 3  # that the sentence names
STATUSES = {
    "parity-failed": "not equal to the reference",
    "does-not-fit": "does not fit",
    "unsupported": "unsupported",
    "missing": "missing",
    "crashed": "crashed",
    "timed-out": "timed out",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One setting, with what its run allows to say about it."""

    row: Row
    over_stock: Interval | None = None  # images/s of tuned over stock, None for stock, emulated and unpaired rows
    over_one: Interval | None = None  # images/s of a split over one device, never for emulated devices
    blocks: Blocks = field(default_factory=dict)  # its samples
    gain: tuple[Term, ...] = ()  # of `over_stock`

    @property
    def name(self) -> str:
        """`torch tuned`."""
        return " ".join(filter(None, [text(self.row, "framework"), text(self.row, "tuning")]))

    @property
    def images(self) -> Interval | None:
        """images/s with its interval."""
        return images_interval(self.row, len(self.blocks) or None)

    @property
    def doubt(self) -> str:
        """What the run's own note may leave out: that the interval tells nothing."""
        found = self.images
        return f"the interval spans more than a factor of {VAGUE:g}: it tells nothing" if found and found.vague else ""

    @property
    def split(self) -> str:
        """`data x2`, `data x2 emulated`, empty for one device."""
        if not is_split(self.row):
            return ""
        emulated = " emulated" if is_emulated(self.row) else ""
        return f"{text(self.row, 'split')} x{text(self.row, 'devices')}{emulated}"

    @property
    def place(self) -> str:
        """Everything that tells this line from the others of its table."""
        batch = text(self.row, "batch_size")
        return ", ".join(filter(None, [self.name, self.split, f"batch {batch}" if batch else ""]))


@dataclass(frozen=True, slots=True)
class Panel:
    """The settings of one network, precision, phase, device and input."""

    key: Key
    lines: tuple[Line, ...]
    peak: str  # the peaks its figures are held against, empty where none was measured

    @property
    def title(self) -> str:
        """`paper, float32, train-step, cpu`; synthetic input goes without saying."""
        return ", ".join(str(part) for part in self.key if part not in (None, "", "synthetic"))


@dataclass(frozen=True, slots=True)
class Digest:
    """A speed run in short."""

    panels: tuple[Panel, ...]
    failures: tuple[Line, ...]
    sentence: str


def digest(tables: Mapping[str, Sequence[Row]]) -> Digest:
    """Sum up the tables of a speed run: kind -> rows."""
    rows = latest(tables.get("speed", ()))
    lines = _lines(rows, blocks_by_setting(tables.get("sample", ())))
    panels: dict[Key, list[Line]] = {}
    for line in lines:
        if is_measured(line.row):
            panels.setdefault(tuple(line.row.get(name) for name in PANEL), []).append(line)
    peaks = tables.get("peak", ())
    return Digest(
        panels=tuple(Panel(key, tuple(found), peak_line(peaks, key[3], key[1])) for key, found in panels.items()),
        failures=tuple(line for line in lines if not is_measured(line.row)),
        sentence=_sentence(lines),
    )


def setting(row: Row) -> Key:
    """What identifies a setting, in the order of NAMES."""
    return tuple(row.get(name) for name in NAMES)


def latest(rows: Sequence[Row]) -> list[Row]:
    """One row per setting: a resumed run may have measured one again, and the last one counts."""
    return list({setting(row): row for row in rows}.values())


def is_measured(row: Row) -> bool:
    """Whether the row is a figure one may quote."""
    return row.get("status") in (None, "measured") and positive(row, "images_per_s") is not None


def is_split(row: Row) -> bool:
    """Whether the row is about several devices."""
    return (number(row, "devices") or 1) > 1 or text(row, "split") not in ("", "none")


def is_emulated(row: Row) -> bool:
    """Whether its devices share one machine's cores: its time proves nothing about several devices."""
    return text(row, "emulated") == "yes"


def blocks_by_setting(samples: Sequence[Row]) -> dict[Key, Blocks]:
    """Setting -> block -> milliseconds per step of its samples in the steady state.

    Of samples with the same block and index the last one counts: a resumed run may have measured a setting again.
    """
    found: dict[Key, dict[int, dict[Any, float]]] = {}
    for row in samples:
        seconds, steps = positive(row, "seconds"), positive(row, "steps")
        if seconds is not None and steps is not None and row.get("warm") != "no":
            block = found.setdefault(setting(row), {}).setdefault(int(number(row, "block") or 0), {})
            block[row.get("index", len(block))] = 1e3 * seconds / steps
    return {key: {place: [*one.values()] for place, one in blocks.items()} for key, blocks in found.items()}


def images_interval(row: Row, blocks: int | None = None) -> Interval | None:
    """images/s with the interval that its step time has; `blocks` it was measured in, where that is known.

    Earlier versions wrote a step time down to 0 where the interval was wide: then images/s have no upper end.
    """
    value, step = positive(row, "images_per_s"), positive(row, "step_ms")
    if value is None:
        return None
    found = None if step is None else bounded(row, step, blocks)
    if step is None or found is None or found.low is None or found.high is None:
        return Interval(value, blocks=blocks)
    return Interval(value, value * step / found.high, value * step / found.low if found.low > 0 else math.inf, blocks)


def bounded(row: Row, step_ms: float, blocks: int | None = None) -> Interval:
    """A step time with the bounds that its row has; those of a single sample, which are no interval, left out."""
    low, high = number(row, "step_ms_low"), number(row, "step_ms_high")
    if low is None or high is None or not (low <= step_ms <= high and step_ms < 1e30 > high):
        return Interval(step_ms, blocks=blocks)
    if low == high and (blocks or 1) < 2:
        return Interval(step_ms, blocks=blocks)
    return Interval(step_ms, low, high, blocks)


def peak_line(peaks: Sequence[Row], device: Any, precision: Any) -> str:
    """`peak 487 GFLOP/s: convolution in torch; copy 18 GB/s`."""
    best = [row for row in peaks if row.get("best") == "yes" and row.get("device") == device]
    work = [row for row in best if positive(row, "tflops") and row.get("precision") in (None, precision)]
    copies = [row for row in best if positive(row, "gb_per_s") and text(row, "probe") == "copy"]
    copies = [row for row in copies if row.get("precision") == precision] or copies
    parts = [f"peak {flops(row['tflops'])}: {text(row, 'probe')} in {text(row, 'framework')}" for row in work[:1]]
    parts += [f"copy {figure(row['gb_per_s'])} GB/s" for row in copies[:1]]
    return "; ".join(parts)


def flops(tflops: float) -> str:
    """TFLOP/s, or GFLOP/s below one."""
    return f"{figure(tflops)} TFLOP/s" if tflops >= 1 else f"{figure(1e3 * tflops)} GFLOP/s"


def _lines(rows: Sequence[Row], blocks: Mapping[Key, Blocks]) -> list[Line]:
    measured = {setting(row): row for row in rows if is_measured(row)}

    def over(row: Row, **changes: Any) -> tuple[Interval | None, tuple[Term, ...]]:
        other = measured.get(tuple(changes.get(name, row.get(name)) for name in NAMES))
        if other is None or not is_measured(row) or is_emulated(row) or is_emulated(other):
            return None, ()
        return _over(row, other, blocks)

    lines = []
    for row in rows:
        over_stock, gain = over(row, tuning="stock") if text(row, "tuning") == "tuned" else (None, ())
        over_one, _ = over(row, devices=1, split="none") if is_split(row) else (None, ())
        lines.append(Line(row, over_stock, over_one, blocks.get(setting(row), {}), gain))
    return sorted(lines, key=lambda line: _order(line.row))


def _over(row: Row, other: Row, blocks: Mapping[Key, Blocks]) -> tuple[Interval | None, tuple[Term, ...]]:
    """images/s of one measured row over another's, and what its interval was made of."""
    together = all(row.get(name) == other.get(name) for name in NAMES if name not in ("framework", "tuning"))
    hold = ratio.paired if together else ratio.apart  # what is measured together is measured in turn
    over, under = blocks.get(setting(other), {}), blocks.get(setting(row), {})
    terms, value = tuple(hold(over, under)), row["images_per_s"] / other["images_per_s"]
    return statistics.interval(terms, value) if terms else Interval(
        value, blocks=min(len(over), len(under)) or None
    ), terms


def _order(row: Row) -> Key:
    numbers = (number(row, "batch_size") or 0, number(row, "devices") or 1)
    return (*(text(row, name) for name in PANEL), *numbers, text(row, "split"), *_who(row))


def _who(row: Row) -> tuple[str, str]:
    return text(row, "framework"), text(row, "tuning")


def _sentence(lines: Sequence[Line]) -> str:
    """What was measured, the fastest, and what tuning gained."""
    if not lines:
        return "Nothing was measured."
    done = [line for line in lines if is_measured(line.row)]
    parts = [f"{len(done)} of {plural(len(lines), 'setting')} measured"]
    unstable = sum(text(line.row, "stable") == "no" for line in done)
    parts[0] += f" ({unstable} not stable)" if unstable else ""
    failed = Counter(text(line.row, "status") for line in lines if line not in done)
    said = [f"{count} {STATUSES.get(status, status or 'without a figure')}" for status, count in failed.items()]
    parts += [", ".join(said)] if said else []
    parts += _fastest(done) + _gain(done)
    return "; ".join(parts) + "."


def _fastest(lines: Sequence[Line]) -> list[str]:
    """Who is, where that is more than chance: those that may be as fast share the place."""
    real = [line for line in lines if not is_emulated(line.row)]
    # Forward alone is no training, and two networks are no race.
    trained = [line for line in real if text(line.row, "phase") == "train-step"] or real
    if len(trained) < 2 or len({text(line.row, "network") for line in trained}) > 1:
        return []
    best, *others = sorted(trained, key=lambda line: -line.row["images_per_s"])
    blocks = {setting(line.row): line.blocks for line in trained}
    held = [(line, _over(best.row, line.row, blocks)[0]) for line in others]
    if not any(found is not None and found.known for _, found in held):
        return ["fastest: not judged, for want of intervals"]
    equals = [line.place for line, found in held if found is None or not found.significant]
    if equals:
        named = [best.place, *equals]
        more = [f"{len(named) - MOST_EQUALS} more"] if len(named) > MOST_EQUALS else []
        return [f"fastest, the difference not significant: {' or '.join([*named[:MOST_EQUALS], *more])}"]
    peak = share(number(best.row, "fraction_of_peak"))
    at = f"{briefly(best.images, figure)} images/s" + (f", {peak} of the peak" if peak else "")
    return [f"fastest: {best.place} ({at})"]


def _gain(lines: Sequence[Line]) -> list[str]:
    """The geometric mean over a framework's settings: a range would hide how it was chosen."""
    gains: dict[str, list[Line]] = {}
    for line in lines:
        if line.over_stock is not None:
            gains.setdefault(text(line.row, "framework"), []).append(line)
    told = []
    for framework, found in sorted(gains.items()):
        values = [line.over_stock.value for line in found if line.over_stock is not None]
        mean = ratio.geometric_mean(values, [line.gain for line in found])
        doubt = mean is not None and mean.known and not mean.significant
        said = f"{figure(mean.value)}x (not significant)" if mean and doubt else briefly(mean, figure, "x")
        told.append(f"{framework} {said}")
    return [f"tuned over stock: {', '.join(told)}"] if told else []
