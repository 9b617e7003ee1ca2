"""A parity run on the terminal in ten seconds, and the same as Markdown for `report.md`.

Texts that come from outside (reasons, layer names) are printed as they are: never as rich's markup or as Markdown's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports import export_markdown, run_facts, self_test
from reports.render.terminal import Console
from reports.summaries.parity import (
    NOT_OBSERVED,
    Digest,
    Failure,
    Line,
    Row,
    digest,
    not_returned,
    plural,
    ratio_text,
    text,
    where,
)

STYLES = {"pass": "green", "fail": "bold red", "error": "bold red", "vacuous": "yellow", "not-observed": "yellow"}
MOST_FAILURES = 8  # on the terminal, where the summary has ten seconds; report.md has all of them
MOST_LINES = 4  # of a reason on the terminal: the end of a crashed worker's stderr can be long
MOST_ROWS = 50  # of rows that did not pass, in report.md; the tables have all of them

HEADER = ("level", "framework", "checks", "error / gauge", "error / baseline", "verdict")


def show(rows: Sequence[Row], console: Console | None = None, *, forward_only: Sequence[str] = ()) -> None:
    """Print the summary. Without a terminal it is plain text, 80 columns wide."""
    (console or Console()).print(summary(rows, forward_only), highlight=False)


def summary(rows: Sequence[Row], forward_only: Sequence[str] = ()) -> RenderableType:
    """The lines, the failures, the counts of what proves nothing, and the verdict as the last line.

    `forward_only` names the frameworks that have no gradients to compare.
    """
    found = digest(rows)
    parts: list[RenderableType] = [_lines(found.lines)] if found.lines else []
    parts += [part for failure in found.failures[:MOST_FAILURES] for part in _failure(failure)]
    if len(found.failures) > MOST_FAILURES:
        parts += [Text(), Text(f"{plural(len(found.failures) - MOST_FAILURES, 'more failure')} in report.md")]
    shortfall = _shortfall(found)
    if shortfall:
        parts += [Text(), Text(shortfall, style="yellow")]
    if forward_only:
        parts += [Text(), Text(_forward_only(forward_only))]
    style = "bold green" if found.sentence.startswith("Equal") else "bold red"
    return Group(*parts, Text(), Text(found.sentence, style=style))


def _forward_only(names: Sequence[str]) -> str:
    return f"Forward only, without gradients, loss and training: {', '.join(names)}."


def _cells(line: Line) -> tuple[str, ...]:
    ratios = (ratio_text(line.gauge_ratio), ratio_text(line.baseline_ratio))
    return (line.level, line.framework, str(line.checks), *ratios, line.verdict_text)


def _lines(lines: Sequence[Line]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in HEADER:
        table.add_column(Text(name), justify="right" if name in HEADER[2:5] else "left", overflow="fold")
    shown = ""
    for line in lines:
        cells = [Text(cell) for cell in _cells(line)]
        if line.level == shown:
            cells[0] = Text()  # said once per level: the eye finds the blocks
        cells[-1].stylize(STYLES.get(line.verdict, "bold red"))
        table.add_row(*cells)
        shown = line.level
    return table


def _failure(failure: Failure) -> list[RenderableType]:
    others = f" and {plural(failure.rows - 1, 'more check')}" if failure.rows > 1 else ""
    title = Text.assemble((failure.verdict, STYLES.get(failure.verdict, "bold red")), f"  {_place(failure)}{others}")
    lines = (failure.reason or "no reason given").splitlines()
    if len(lines) > MOST_LINES:  # of what a process printed, the end says why it ended
        lines = [lines[0], *lines[len(lines) - MOST_LINES + 1 :]]
    said = ["\n".join(lines)]
    if failure.cause:
        said.append(f"likely cause: {failure.cause}")
    return [Text(), title, *(Padding(Text(line), (0, 0, 0, 2), expand=False) for line in said)]


def _place(failure: Failure) -> str:
    return "  ".join(filter(None, [failure.level, failure.name, failure.layer]))


def _shortfall(found: Digest) -> str:
    counts = found.counts
    said = {"vacuous": "vacuous (proving nothing)", NOT_OBSERVED: "not observed"}
    if found.sentence.startswith("Equal"):  # which says itself of how much it speaks
        said.pop(NOT_OBSERVED)
    parts = [f"{counts[verdict]} {words}" for verdict, words in said.items() if counts[verdict]]
    parts += [plural(counts["error"], "error")] if counts["error"] else []
    return f"Also {', '.join(parts)}." if parts else ""


def markdown(rows: Sequence[Row], run: Mapping[str, Any], picture: str = "", self_test_rows: Sequence[Row] = ()) -> str:
    """The report of a run. `run` is what `run.json` holds; `picture` a file beside the report, empty for none."""
    sections = [f"# alexbench {run.get('command', 'parity')}"]
    if rows or not self_test_rows:
        sections.append(f"**{export_markdown.escaped(digest(rows).sentence)}**")
    if run.get("forward_only"):
        sections.append(export_markdown.escaped(_forward_only(run["forward_only"])))
    sections += [run_facts.opening(run), *body(rows, picture, self_test_rows)]
    sections += ["## The run", run_facts.markdown(run)]
    return "\n\n".join(filter(None, sections)) + "\n"


def body(rows: Sequence[Row], picture: str = "", self_test_rows: Sequence[Row] = ()) -> list[str]:
    """The report's sections between its opening and the run's facts."""
    found, sections = digest(rows), list[str]()
    if found.lines:
        sections += ["## Levels", export_markdown.table(HEADER, [_cells(line) for line in found.lines])]
        sections += [_shortfall(found)]
    if found.failures:
        sections += ["## Failures, first layer at fault", _failure_table(found.failures)]
    bad = [row for row in rows if row.get("verdict") not in ("pass", NOT_OBSERVED)]
    if bad:
        sections += ["## Checks that did not pass", _not_passed(bad)]
    sections += _not_returned(rows)
    if picture:
        alt = "Error against float64 after each layer, for each framework, with the rounding gauge"
        sections += ["## Error against float64, layer by layer", f"![{alt}]({picture})"]
    if self_test_rows:
        sections += ["## Self-test: planted faults", self_test.markdown(self_test_rows)]
    return sections


def _failure_table(failures: Sequence[Failure]) -> str:
    header = ("level", "framework", "layer", "checks", "reason", "likely cause")
    cells = [
        (failure.level, failure.name, failure.layer, str(failure.rows), failure.reason, failure.cause)
        for failure in failures
    ]
    return export_markdown.table(header, cells)


def _not_passed(bad: Sequence[Row]) -> str:
    header = ("level", "case", "tensor", "layer", "framework", "tuning", "verdict", "reason")
    cells = [[where(row) if name == "layer" else text(row, name) for name in header] for row in bad[:MOST_ROWS]]
    table = export_markdown.table(header, cells)
    left = len(bad) - MOST_ROWS
    return f"{table}\n\n{plural(left, 'more row')} in `parity.csv`." if left > 0 else table


def _not_returned(rows: Sequence[Row]) -> list[str]:
    """What was not there to be compared, level by level; no sections where all was."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((text(row, "level"), text(row, "framework")), []).append(row)
    cells = [[*key, ", ".join(names)] for key, group in groups.items() if (names := not_returned(group))]
    table = export_markdown.table(("level", "framework", "what"), cells)
    return ["## Not returned, so not compared", table] if cells else []
