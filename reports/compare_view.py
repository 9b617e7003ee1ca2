"""A comparison of two runs for eyes, as CSV, as JSON and as Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reports import export_markdown
from reports.format import Row, briefly, clean, figure, for_spreadsheet, interval, number, plural, text
from reports.render.terminal import Console
from reports.statistics import Interval
from reports.summaries.compare import COLUMNS, Comparison, Pair, setting_parts
from reports.summaries.speed import NAMES

FORMATS = ("table", "csv", "json", "markdown")
STYLES = {"faster": "green", "slower": "bold red"}
PLAIN_WIDTH = 100  # columns of a table that is written to a file
WIDE = 96  # columns from which on intervals are written with both ends
INTERVAL = "The interval holds what varied within the two runs; what differs from day to day is not in it."

Broken = Mapping[str, Sequence[Pair]]  # rule -> the pairs that break it


def render(comparison: Comparison, broken: Broken, form: str) -> str:
    """The comparison in one of FORMATS, ending in a line break; `table` is plain text without a terminal's colours."""
    if form == "csv":
        return _csv(comparison)
    if form == "json":
        return json.dumps(_data(comparison, broken), indent=2, allow_nan=False) + "\n"
    if form == "markdown":
        return _markdown(comparison, broken)
    file = io.StringIO()
    Console(file=file, width=PLAIN_WIDTH, color_system=None).print(
        table(comparison, broken, PLAIN_WIDTH), highlight=False
    )
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def show(comparison: Comparison, broken: Broken, console: Console | None = None) -> None:
    """Print the comparison for eyes."""
    console = console or Console()
    console.print(table(comparison, broken, console.width), highlight=False)


def table(comparison: Comparison, broken: Broken, width: int = 80) -> RenderableType:
    """Warnings first, since they say how to read the rest; then the settings, the mean, what is in one run only."""
    parts: list[RenderableType] = [Text(f"A  {clean(comparison.a)}"), Text(f"B  {clean(comparison.b)}")]
    parts += [Text(f"warning: {said}", style="yellow") for said in warnings(comparison)]
    if comparison.pairs:
        common = _common(comparison.pairs)
        parts += [Text(), Text(", ".join(common), style="bold")] if common else [Text()]
        parts.append(_pairs(comparison.pairs, common, width))
    parts += [Text(said) for said in _only(comparison)]
    parts += [Text(said, style="bold red") for said in broken_lines(broken)]
    parts += [Text(), Text(sentence(comparison), style="bold")]
    return Group(*parts)


def sentence(comparison: Comparison) -> str:
    """The geometric mean over all pairs."""
    mean, count = comparison.mean, len(comparison.pairs)
    if mean is None:
        return "The runs have no measured setting in common."
    of = f"{plural(count, 'setting')} in both runs"
    if not mean.known:
        return f"B over A, geometric mean: {mean.value:.3f}x, without an interval ({of})."
    verdict = "" if mean.significant else ", not significant"
    return f"B over A, geometric mean: {_ratio(mean)}{verdict} ({of})."


def warnings(comparison: Comparison) -> list[str]:
    """What differs around the runs, and each doubt about a pair, once with its count."""
    doubts: dict[str, list[str]] = {}
    for pair in comparison.pairs:
        for doubt in pair.doubts:
            doubts.setdefault(doubt, []).append(pair.name)
    told = []
    for doubt, names in doubts.items():
        rest = f" and {len(names) - 1} more" if len(names) > 1 else ""
        told.append(f"{doubt}: {names[0]}{rest}")
    return [*comparison.warnings, *told]


def broken_lines(broken: Broken) -> list[str]:
    """A line for each pair that breaks a rule."""
    return [
        f"--fail-if {rule!r} is met: {pair.name}: {pair.ratios[_column(rule)]:.3f}x"
        for rule, pairs in broken.items()
        for pair in pairs
    ]


def _column(rule: str) -> str:
    return rule.partition("<")[0].partition(">")[0]


def _common(pairs: Sequence[Pair]) -> list[str]:
    """What all settings share, to be said once; who computed is said on every line."""
    if len(pairs) < 2:
        return []
    shared = [set(setting_parts(pair.a)[1:]) for pair in pairs]
    return [part for part in setting_parts(pairs[0].a)[1:] if all(part in parts for parts in shared)]


def _pairs(pairs: Sequence[Pair], common: Sequence[str], width: int) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2 if width >= WIDE else 1, 0, 0), header_style="dim")
    for name in ("setting", "A images/s", "B images/s", "B over A", ""):
        made.add_column(Text(name), justify="left" if name in ("setting", "") else "right", overflow="fold")
    for pair in pairs:
        style = STYLES.get(pair.verdict.rpartition(" ")[2], "")
        name = ", ".join(part for part in setting_parts(pair.a) if part not in common)
        figures = (figure(row["images_per_s"]) for row in (pair.a, pair.b))
        held = _ratio(pair.speed) if width >= WIDE else briefly(pair.speed, _three, "x")
        made.add_row(Text(name), *map(Text, figures), Text(held), Text(pair.verdict, style=style))
    return made


def _ratio(found: Interval) -> str:
    return interval(found, _three, "x")


def _three(value: float) -> str:
    return f"{value:.3f}"


def _only(comparison: Comparison) -> list[str]:
    return [f"only in {run}: {name}" for run, names in comparison.only.items() for name in names]


def _row(pair: Pair) -> dict[str, Any]:
    """A pair as plain values; numbers as they are, None where there is none."""
    row: dict[str, Any] = {name: _value(pair.a, name) for name in NAMES}
    row |= {"images_per_s_a": number(pair.a, "images_per_s"), "images_per_s_b": number(pair.b, "images_per_s")}
    row |= {"ratio": pair.speed.value, "ratio_low": pair.speed.low, "ratio_high": pair.speed.high}
    row |= {"verdict": pair.verdict}
    row |= {f"{column}_ratio": pair.ratios.get(column) for column in COLUMNS[1:]}
    row |= {"stable_a": text(pair.a, "stable") or None, "stable_b": text(pair.b, "stable") or None}
    row |= {"emulated": "yes" if "emulated devices" in pair.doubts else "no"}
    return row | {"signature_a": _value(pair.a, "signature"), "signature_b": _value(pair.b, "signature")}


def _value(row: Row, name: str) -> Any:
    value = row.get(name)
    return clean(value) if isinstance(value, str) else value


def _csv(comparison: Comparison) -> str:
    file = io.StringIO()
    header = [*NAMES, "images_per_s_a", "images_per_s_b", "ratio", "ratio_low", "ratio_high", "verdict"]
    header += [f"{column}_ratio" for column in COLUMNS[1:]]
    header += ["stable_a", "stable_b", "emulated", "signature_a", "signature_b"]
    writer = csv.DictWriter(file, header, lineterminator="\n")
    writer.writeheader()
    for pair in comparison.pairs:
        cells = {name: for_spreadsheet(cell) if isinstance(cell, str) else cell for name, cell in _row(pair).items()}
        writer.writerow(cells)
    return file.getvalue()


def _data(comparison: Comparison, broken: Broken) -> dict[str, Any]:
    mean = comparison.mean
    return {
        "a": clean(comparison.a),
        "b": clean(comparison.b),
        "pairs": [_row(pair) for pair in comparison.pairs],
        "geometric_mean": None if mean is None else {"ratio": mean.value, "low": mean.low, "high": mean.high},
        "only_a": list(comparison.only["A"]),
        "only_b": list(comparison.only["B"]),
        "warnings": warnings(comparison),
        "broken": [
            {"rule": rule, "setting": pair.name, "ratio": pair.ratios[_column(rule)]}
            for rule, pairs in broken.items()
            for pair in pairs
        ],
    }


def _markdown(comparison: Comparison, broken: Broken) -> str:
    header = ("setting", "A images/s", "B images/s", "B over A", "verdict")
    cells = [
        (pair.name, figure(pair.a["images_per_s"]), figure(pair.b["images_per_s"]), _ratio(pair.speed), pair.verdict)
        for pair in comparison.pairs
    ]
    sections = [
        "# alexbench compare",
        export_markdown.table(("run", "folder"), [("A", clean(comparison.a)), ("B", clean(comparison.b))]),
    ]
    sections += [f"**{sentence(comparison)}** {INTERVAL}" if comparison.mean else f"**{sentence(comparison)}**"]
    told = [("warning", said) for said in warnings(comparison)] + [("broken", said) for said in broken_lines(broken)]
    told += [(f"only in {run}", name) for run, names in comparison.only.items() for name in names]
    sections += [export_markdown.table(header, cells)] if cells else []
    sections += [export_markdown.table(("", "what"), told)] if told else []
    return "\n\n".join(sections) + "\n"
