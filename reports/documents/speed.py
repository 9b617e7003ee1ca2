"""A speed run: images/s with intervals by setting, what was not measured, where the time goes, peaks, exchanges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from reports.document import Block, Document, Note, Row, Section, Table, Tone, Verdict
from reports.documents import common, parity
from reports.documents.common import Run
from reports.format import briefly, clean, figure, flops, lines_of, number, plural, share, text
from reports.schema import Column, Detail, column, columns
from reports.statistics import VAGUE, Interval
from reports.summaries import layers
from reports.summaries import speed as summary
from reports.summaries.speed import is_emulated, is_measured, is_split
from reports.tables import records

if TYPE_CHECKING:
    from reports.figures.style import Drawing
    from reports.summaries.layers import Layers

STATUSES = {
    "parity-failed": "not equal to the reference",
    "does-not-fit": "does not fit",
    "unsupported": "unsupported",
    "missing": "missing",
    "crashed": "crashed",
    "timed-out": "timed out",
}
BAD = ("parity-failed", "crashed", "timed-out")
MAX_EQUALS = 3  # that the sentence names
MAX_PLACES = 3  # that one note names
MAX_BRIEF_FAILURES = 8
MAX_LAYERS = 3  # that a sentence names
EMULATED = "*, emulated: devices that share this machine's cores show the split is right, no speed-up is claimed"
METHOD = (
    "Step time is the geometric mean of the medians of the blocks in the steady state, with Student's 95 % interval of "
    "their logarithms; one block (n = 1) has none. Over stock is images/s of tuned over stock, paired within this "
    "run by blocks; it is significant where its interval leaves out 1. Peak is the share of the best figure that any "
    "framework reached in this run on this device and precision. Compiling and the first step were timed once."
)
PEAKS = "Measured in this run; the best of each device and precision is what every fraction is held against."
EXCHANGES = "Bytes that each device sends in one step, from the network's shapes alone."

SETTINGS = (
    Column("name", meaning="Framework and tuning.", label="framework", detail=Detail.BRIEF),
    Column("split_name", meaning="How the work is split, and over how many devices; * for emulated ones.",
           label="split", format="split", detail=Detail.BRIEF),
    column("speed", "batch_size", label="batch", detail=Detail.BRIEF),
    column("speed", "images_per_s", label="images/s", format="interval", detail=Detail.BRIEF),
    column("speed", "step_ms", label="step ms", format="step", detail=Detail.BRIEF, spare=3),
    Column("over_stock", "Float64", "images/s of tuned over those of stock, paired within this run.",
           format="gain", detail=Detail.BRIEF),
    Column("over_one", "Float64", "images/s of the split over those of one device.", label="over one device",
           brief_label="over one", format="gain", detail=Detail.BRIEF),
    column("speed", "fraction_of_peak", label="peak", format="share", detail=Detail.BRIEF, spare=1),
    column("speed", "peak_memory_mb", label="memory MB", brief_label="MB", detail=Detail.BRIEF, spare=2),
    column("speed", "joules_per_image", label="J/image", detail=Detail.BRIEF),
    column("speed", "stable", format="flag", detail=Detail.BRIEF),
    column("speed", "tflops", label="TFLOP/s"),
    column("speed", "compile_s", label="compile s"),
    column("speed", "first_step_s", label="first step s"),
    Column("loss", meaning="Loss of the first and of the last step."),
    Column("parity", meaning="Verdict on the very program that was timed; its worst error as a share of the limit."),
)  # fmt: skip
LAYERS = (
    *columns("layer", ("layer", "pass")),
    column("layer", "step_ms", label="ms", format="interval"),
    column("layer", "share", format="share"),
    column("layer", "gflops", label="GFLOP"),
    column("layer", "mbytes", label="MB"),
    column("layer", "tflops", label="TFLOP/s"),
    column("layer", "gb_per_s", label="GB/s"),
    column("layer", "roof_tflops", label="roof TFLOP/s"),
    column("layer", "fraction_of_roof", label="of the roof", format="share"),
    column("layer", "bound", label="bound by"),
    column("layer", "note"),
)
PEAK = (
    *columns("peak", ("probe", "framework", "device", "precision", "size")),
    column("peak", "step_ms", label="step ms"),
    column("peak", "step_ms_high", label="slowest round ms"),
    column("peak", "tflops", label="TFLOP/s"),
    column("peak", "gb_per_s", label="GB/s"),
    column("peak", "best", label="held against"),
)
EXCHANGE = (
    *columns("exchange", ("split", "devices", "batch_size", "precision", "where", "what")),
    column("exchange", "bytes", format="count"),
    column("exchange", "share", label="share of what is sent", format="share"),
)


def document(tables: Mapping[str, pd.DataFrame], run: Run) -> Document:
    """The document of a speed run."""
    found = summary.settings(tables["speed"], tables["sample"])
    failed = [row for row in found if not is_measured(row)]
    bad = len(failed) == len(found) or any(text(row, "status") in BAD for row in failed)
    return common.document(
        run,
        Verdict(_sentence(found, len(tables["sample"])), "bad" if bad else "good", "" if bad else "measured"),
        [
            *_panels(found, tables["peak"]),
            *_pictures(tables, run),
            _layers(layers.groups(tables["layer"])),
            _peaks(tables["peak"]),
            _exchange(tables["exchange"]),
            Section(title="Checks before the figures", detail=Detail.FULL, blocks=_checks(tables, run)),
        ],
        [Section(title="Settings without a figure", quiet=True, most_brief=MAX_BRIEF_FAILURES,
                 blocks=[_failure(row, run) for row in failed]),
         common.failures(run, [text(row, "reason") for row in failed])],
    )  # fmt: skip


def place(row: Row) -> str:
    """Everything that tells a setting from the others of its table: `torch tuned, data x2, batch 32`."""
    batch = text(row, "batch_size")
    return ", ".join(filter(None, [row["name"], split_name(row), f"batch {batch}" if batch else ""]))


def split_name(row: Row) -> str:
    """`data x2`, `data x2 emulated`, empty for one device."""
    if not is_split(row):
        return ""
    return f"{text(row, 'split')} x{text(row, 'devices')}{' emulated' if is_emulated(row) else ''}"


def _panels(found: Sequence[Row], peak: pd.DataFrame) -> list[Section]:
    made = [_panel(key, rows, peak) for key, rows in summary.panels(found).items()]
    return [replace(one, lead=METHOD) for one in made[:1]] + made[1:]  # how it was measured is said once


def _panel(key: Sequence[Any], rows: Sequence[Row], peak: pd.DataFrame) -> Section:
    """The settings of one network, precision, phase, device and input; synthetic input goes without saying."""
    title = ", ".join(str(part) for part in key if part not in (None, "", "synthetic"))
    held = _held_against(*summary.best_peaks(peak, key[3], key[1]))
    shown = [{**row, **_shown(row)} for row in rows]
    emulated = any(map(is_emulated, rows))
    blocks: list[Block] = [Note(text=held, tone="faint")] if held else []
    blocks.append(Table(columns=SETTINGS, rows=shown, tones=[_tone(row) for row in rows], signed=True, caption=title))
    blocks += [Note(text=EMULATED, tone="doubtful")] if emulated else []
    blocks += [Note(text=_sent(one)) for one in summary.exchanges(rows)]
    return Section(title=title, blocks=[*blocks, *_remarks(rows)])


def _shown(row: Row) -> Row:
    first, last, gauge = (number(row, name) for name in ("loss_first", "loss_last", "gauge"))
    return {
        "split_name": split_name(row),
        "images_per_s": row["images"],
        "step_ms": row["step"],
        "loss": "" if first is None or last is None else f"{figure(first)} to {figure(last)}",
        "parity": text(row, "verdict") + (f" ({figure(gauge)} of the limit)" if gauge is not None else ""),
    }


def _tone(row: Row) -> Tone:
    if is_emulated(row):
        return "faint"
    return "strong" if text(row, "tuning") == "tuned" else "plain"


def _held_against(work: Row | None, copy: Row | None) -> str:
    """`peak 487 GFLOP/s: convolution in torch; copy 18 GB/s`."""
    parts = [f"peak {flops(work['tflops'])}: {text(work, 'probe')} in {text(work, 'framework')}"] if work else []
    parts += [f"copy {figure(copy['gb_per_s'])} GB/s"] if copy else []
    return "; ".join(parts)


def _sent(exchange: Row) -> str:
    """What a split sends, and the least share of the step that takes."""
    bounds = dict.fromkeys(share(value) for value in exchange["shares"])
    least = f", at least {' to '.join(bounds)} of the step" if bounds else ""
    sent = f"{figure(exchange['bytes'] / 1e6)} MB"
    return f"{split_name(exchange)}, batch {text(exchange, 'batch_size')}: each device sends {sent} per step{least}"


def _remarks(rows: Sequence[Row]) -> list[Note]:
    """Each note of a run, and each doubt about an interval, once, with the settings it belongs to."""
    found: dict[str, list[str]] = {}
    doubt = f"the interval spans more than a factor of {VAGUE:g}: it tells nothing"
    for row in rows:
        for note in filter(None, (text(row, "note"), doubt if row["images"].vague else "")):
            found.setdefault(note, []).append(place(row))
    told = []
    for note, places in found.items():
        rest = len(places) - MAX_PLACES
        more = f" and {rest} more" if rest > 0 else ""
        told.append(Note(text=f"{'; '.join(places[:MAX_PLACES])}{more}: {note}", tone="doubtful"))
    return told


def _failure(row: Row, run: Run) -> Note:
    status = text(row, "status")
    where = ", ".join(filter(None, (text(row, name) for name in ("network", "precision", "phase", "device"))))
    devices = text(row, "devices") if is_split(row) else ""
    return Note(
        status=STATUSES.get(status, status or "no figure"),
        title=f"{place(row)} ({where})",
        text=lines_of(row, "reason").strip() or "no reason given",
        tone="bad" if status in BAD else "doubtful",
        again=common.again(
            run, network=text(row, "network"), frameworks=text(row, "framework"), tuning=text(row, "tuning"),
            batch_size=text(row, "batch_size"), precision=text(row, "precision"), device=text(row, "device"),
            devices=devices, split=text(row, "split") if devices else "", phase=text(row, "phase"),
            input=text(row, "input"),
        ),
    )  # fmt: skip


def _pictures(tables: Mapping[str, pd.DataFrame], run: Run) -> list[Section]:
    speed, sample, layer, peak = (tables[kind] for kind in ("speed", "sample", "layer", "peak"))

    def throughput() -> Drawing | None:
        from reports.figures import throughput

        return throughput.throughput(speed, sample)

    def devices() -> Drawing | None:
        from reports.figures import throughput

        return throughput.devices(speed, sample)

    def time_by_layer() -> Drawing | None:
        from reports.figures import time_by_layer

        return time_by_layer.figure(layer, run.get("layers") or ())

    def roofline() -> Drawing | None:
        from reports.figures import roofline

        return roofline.figure(layer, peak)

    return [
        common.picture("throughput", "Images/s by batch size and framework", throughput,
                       "Images per second of each framework and tuning on one device, with 95 % intervals"),
        common.picture("devices", "One device and several", devices,
                       "Images per second on one device and for each split over several, with 95 % intervals"),
        common.picture("time-by-layer", "Time by layer", time_by_layer,
                       "Milliseconds of each layer, forward and backward, for each framework and tuning"),
        common.picture("roofline", "Roofline", roofline,
                       "FLOP/s of each layer over its FLOP per byte, below the measured peak and bandwidth"),
    ]  # fmt: skip


def _layers(groups: Sequence[Layers]) -> Section:
    """What takes longest and what bounds it, in a sentence for each framework; a table of all layers in a report."""
    blocks: list[Block] = []
    for where in dict.fromkeys(one.place for one in groups):
        notes = [Note(text=f"{one.name}: {_bounds(one)}") for one in groups if one.place == where]
        blocks.append(Section(title=f"Where the time goes: {where}", blocks=notes))
    for one in groups:
        rows = [*one.rows, *(row for row in (one.rest, one.whole) if row is not None)]
        shown = [{**row, "step_ms": summary.bounded(row, row["step_ms"])} for row in rows]
        table = Table(columns=LAYERS, rows=shown, signed=True, caption=f"Layers of {one.name}, {one.place}")
        blocks.append(Section(title=f"{one.name}, {one.place}", detail=Detail.FULL, blocks=[table], closed=True))
    return Section(title="What bounds each layer", blocks=blocks, quiet=True)


def _bounds(one: Layers) -> str:
    named = [f"{layers.where(row)} {_part(part)}" for row, part in one.slowest(MAX_LAYERS)]
    parts = [f"most time in {', '.join(named)}"]
    for bound, (spent, held) in one.bounds.items():
        roof = "" if held is None else f", at {share(held)} of that roof"
        parts.append(f"{share(spent)} of it bound by {bound}{roof}")
    return "; ".join(parts)


def _part(part: Interval) -> str:
    """A layer's share of all layers; where its time is known badly, from what to what."""
    if part.low is None or part.high is None:
        return f"{share(part.value)} (no interval)"
    if part.low == part.high:
        return share(part.value)
    return f"{share(part.value)} ({share(part.low)} to {share(part.high)})"


def _peaks(peak: pd.DataFrame) -> Section:
    rows = records(peak)
    table = Table(columns=PEAK, rows=rows, signed=True, caption="What each probe reached")
    return Section(title="Peaks", lead=PEAKS, detail=Detail.FULL, blocks=[table] if rows else [])


def _exchange(exchange: pd.DataFrame) -> Section:
    rows = records(exchange)
    table = Table(columns=EXCHANGE, rows=rows, caption="What each split exchanges, and where")
    title = "What a split exchanges"
    return Section(title=title, lead=EXCHANGES, detail=Detail.FULL, blocks=[table] if rows else [])


def _checks(tables: Mapping[str, pd.DataFrame], run: Run) -> list[Block]:
    """The sections of the checks that came before the figures, where the run holds any."""
    if not len(tables["parity"]):
        return []
    return [*parity.findings(tables, run), *parity.sections(tables, run)]


def _sentence(found: Sequence[Row], samples: int) -> str:
    """What was measured, the fastest, and what tuning gained."""
    if not found:
        begun = f"No setting was measured to its end; sample.csv has {plural(samples, 'sample')}."
        return begun if samples else "Nothing was measured."
    done = [row for row in found if is_measured(row)]
    unstable = sum(text(row, "stable") == "no" for row in done)
    parts = [
        f"{len(done)} of {plural(len(found), 'setting')} measured" + (f" ({unstable} not stable)" if unstable else "")
    ]
    failed = Counter(text(row, "status") for row in found if not is_measured(row))
    said = [f"{count} {STATUSES.get(status, clean(status) or 'without a figure')}" for status, count in failed.items()]
    parts += [", ".join(said)] if said else []
    return "; ".join([*parts, *_fastest(done), *_gain(done)]) + "."


def _fastest(done: Sequence[Row]) -> list[str]:
    """Who is, where that is more than chance: those that may be as fast share the place."""
    race = summary.race(done)
    if not race:
        return []
    (best, _), *others = race
    if not any(held is not None and held.known for _, held in others):
        return ["fastest: not judged, for want of intervals"]
    equals = [place(row) for row, held in others if held is None or not held.significant]
    if equals:
        named = [place(best), *equals]
        more = [f"{len(named) - MAX_EQUALS} more"] if len(named) > MAX_EQUALS else []
        return [f"fastest, the difference not significant: {' or '.join([*named[:MAX_EQUALS], *more])}"]
    peak = share(number(best, "fraction_of_peak"))
    at = f"{briefly(best['images'], figure)} images/s" + (f", {peak} of the peak" if peak else "")
    return [f"fastest: {place(best)} ({at})"]


def _gain(done: Sequence[Row]) -> list[str]:
    told = []
    for framework, mean in summary.gains(done).items():
        doubt = mean is not None and mean.known and not mean.significant
        told.append(f"{framework} {figure(mean.value)}x (not significant)" if mean and doubt
                    else f"{framework} {briefly(mean, figure, 'x')}")  # fmt: skip
    return [f"tuned over stock: {', '.join(told)}"] if told else []
