"""A speed run as `report.md`: each figure with its interval and signature, what bounds each layer, the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reports import export_markdown, run_facts
from reports.export_markdown import escaped
from reports.format import Row, claimed, figure, interval, number, share, text
from reports.speed_summary import exchanges, notes
from reports.summaries import layers as speed_layers
from reports.summaries.layers import Layers
from reports.summaries.speed import STATUSES, Line, Panel, bounded, digest, flops, is_emulated

EMULATED = (
    "Rows marked *emulated* ran on devices that share this machine's cores: they show that the split computes the "
    "right thing, and no speed-up is claimed from them."
)
METHOD = (
    "Step time is the geometric mean of the medians of the blocks in the steady state, with Student's 95 % interval of "
    "their logarithms; one block (n = 1) has none. `over stock` is images/s of tuned over stock, paired within this "
    "run by blocks; it is significant where its interval leaves out 1. `peak` is the share of the best figure that any "
    "framework reached in this run on this device and precision. Compiling and the first step were timed once."
)


def markdown(
    tables: Mapping[str, Sequence[Row]],
    run: Mapping[str, Any],
    pictures: Mapping[str, str] | None = None,
    more: Sequence[str] = (),
) -> str:
    """The report of a speed run. `tables` is kind -> rows, `run` what `run.json` holds, `pictures` file name -> title.

    `more` are sections that stand before the run's own facts.
    """
    found = digest(tables)
    sections = [f"# alexbench {run.get('command', 'speed')}", f"**{escaped(found.sentence)}**", run_facts.opening(run)]
    sections += [METHOD] if found.panels else []
    for panel in found.panels:
        sections += _panel(panel)
    if found.failures:
        sections += ["## Settings without a figure", _failures(found.failures)]
    sections += export_markdown.pictures(pictures or {})
    sections += _layers(speed_layers.groups(tables.get("layer", ())))
    sections += _peaks(tables.get("peak", ())) + _exchange(tables.get("exchange", ()))
    sections += [*more, "## The run", run_facts.markdown(run)]
    return "\n\n".join(filter(None, sections)) + "\n"


def _panel(panel: Panel) -> list[str]:
    columns: dict[str, Callable[[Line], str]] = {
        "framework": lambda line: text(line.row, "framework"),
        "tuning": lambda line: text(line.row, "tuning"),
        "batch": lambda line: text(line.row, "batch_size"),
        "split": lambda line: line.split,
        "images/s": lambda line: interval(line.images, figure),
        "step ms": lambda line: _step(line.row, line.members),
        "over stock": lambda line: claimed(line.over_stock, figure),
        "over one device": lambda line: claimed(line.over_one, figure),
        "TFLOP/s": lambda line: _figure(line.row, "tflops"),
        "peak": lambda line: share(number(line.row, "fraction_of_peak")),
        "memory MB": lambda line: _figure(line.row, "peak_memory_mb"),
        "J/image": lambda line: _figure(line.row, "joules_per_image"),
        "compile s": lambda line: _figure(line.row, "compile_s"),
        "first step s": lambda line: _figure(line.row, "first_step_s"),
        "loss": lambda line: _loss(line.row),
        "stable": lambda line: text(line.row, "stable"),
        "parity": lambda line: _parity(line.row),
    }
    lines = list(panel.lines)
    cells = {name: [cell(line) for line in lines] for name, cell in columns.items()}
    sections = [
        f"## {escaped(panel.title)}",
        panel.peak and escaped(f"{panel.peak[0].upper()}{panel.peak[1:]}."),
    ]
    sections += [export_markdown.signed(cells, [line.row for line in lines])]
    sections += [EMULATED] if any(is_emulated(line.row) for line in lines) else []
    remarks = [*exchanges(lines), *notes(lines)]
    return [*sections, "\n".join(f"- {escaped(said)}" for said in remarks)]


def _failures(lines: Sequence[Line]) -> str:
    header = ("setting", "network", "precision", "phase", "device", "what happened", "reason")
    names = header[1:5]
    cells = [
        (line.place, *(text(line.row, name) for name in names), _status(line.row), text(line.row, "reason"))
        for line in lines
    ]
    return export_markdown.table(header, cells)


def _status(row: Row) -> str:
    status = text(row, "status")
    return STATUSES.get(status, status or "no figure")


def _layers(groups: Sequence[Layers]) -> list[str]:
    if not groups:
        return []
    said = "\n".join(f"- {escaped(f'{one.name} ({one.place}): {one.sentence}')}" for one in groups)
    return ["## What bounds each layer", said, *(part for one in groups for part in _layer_table(one))]


def _layer_table(one: Layers) -> list[str]:
    rows = [*one.rows, *(row for row in (one.rest, one.whole) if row is not None)]
    columns: dict[str, Callable[[Row], str]] = {
        "layer": lambda row: text(row, "layer"),
        "pass": lambda row: text(row, "pass"),
        "ms": _layer_step,
        "share": lambda row: share(number(row, "share")),
        "GFLOP": lambda row: _figure(row, "gflops"),
        "MB": lambda row: _figure(row, "mbytes"),
        "TFLOP/s": lambda row: _figure(row, "tflops"),
        "GB/s": lambda row: _figure(row, "gb_per_s"),
        "roof TFLOP/s": lambda row: _figure(row, "roof_tflops"),
        "of the roof": lambda row: share(number(row, "fraction_of_roof")),
        "bound by": lambda row: text(row, "bound"),
    }
    cells = {name: [cell(row) for row in rows] for name, cell in columns.items()}
    kept = {name: column for name, column in cells.items() if any(column)}
    signatures, numbers = export_markdown.numbered(rows)
    kept |= {"signature": numbers} if signatures else {}
    title = f"### {escaped(f'{one.name}, {one.place}')}"
    return [title, export_markdown.table(list(kept), export_markdown.transposed(kept)), signatures]


def _peaks(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    header = ("probe", "framework", "device", "precision", "size", "step ms", "reached", "held against", "signature")
    signatures, numbers = export_markdown.numbered(rows)
    cells = [
        [*(text(row, name) for name in header[:5]), _rounds(row), _reached(row), text(row, "best"), place]
        for row, place in zip(rows, numbers, strict=True)
    ]
    said = "Measured in this run; the best of each device and precision is what every fraction is held against."
    return ["## Peaks", said, export_markdown.table(header, cells), signatures]


def _reached(row: Row) -> str:
    tflops, copied = number(row, "tflops"), number(row, "gb_per_s")
    if text(row, "probe") == "copy" and copied is not None:
        return f"{figure(copied)} GB/s"
    return "" if tflops is None else flops(tflops)


def _exchange(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    header = ("split", "devices", "batch_size", "precision", "where", "what")
    cells = [
        [*(text(row, name) for name in header), _figure(row, "bytes"), share(number(row, "share"))] for row in rows
    ]
    said = "Bytes that each device sends in one step, from the network's shapes alone."
    return [
        "## What a split exchanges",
        said,
        export_markdown.table((*header, "bytes", "share of what is sent"), cells),
    ]


def _step(row: Row, blocks: int | None = None) -> str:
    value = number(row, "step_ms")
    if value is None:
        return ""
    return interval(bounded(row, value, blocks), figure)


def _layer_step(row: Row) -> str:
    """Of a pass that is not told apart from 0, that it is not."""
    value, note = number(row, "step_ms"), text(row, "note")
    return f"{figure(value)} ({note})" if value is not None and note else _step(row)


def _rounds(row: Row) -> str:
    """A peak is the best that was reached, not a mean: beside its fastest round stands the slowest."""
    value, high = number(row, "step_ms"), number(row, "step_ms_high")
    if value is None:
        return ""
    return f"{figure(value)} ({'one round' if high is None else f'slowest round {figure(high)}'})"


def _figure(row: Row, name: str) -> str:
    value = number(row, name)
    return "" if value is None else figure(value)


def _loss(row: Row) -> str:
    first, last = number(row, "loss_first"), number(row, "loss_last")
    return "" if first is None or last is None else f"{figure(first)} to {figure(last)}"


def _parity(row: Row) -> str:
    gauge = number(row, "gauge")
    return text(row, "verdict") + (f" ({figure(gauge)} of the limit)" if gauge is not None else "")
