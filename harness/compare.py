"""`alexbench compare`: read two run folders, hold them against each other, and say by the exit code what came out.

A folder may come from anywhere (see `harness.run_reading`), and whatever is wrong with it is one line.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import run_claim, run_reading
from harness.errors import CannotMeasure, UsageError
from reports import atomic, tables
from reports.documents.compare import as_csv, as_json, broken_lines, document
from reports.render import markdown, terminal
from reports.render.terminal import say
from reports.summaries.compare import Broken, Comparison, Rule, broken, compare, judged, parse_rule
from reports.summaries.environments import RunTables

ALL_HELD, WANTING = 0, 1
KINDS = ("speed", "sample")
PLAIN_WIDTH = 100  # columns of a table that is written to a file


def run(a: Path, b: Path, rules: Sequence[str] = (), form: str = "table", out: Path | None = None) -> int:
    """Compare, show or write, and return the exit code. Raises UsageError, CannotMeasure."""
    parsed = [_rule(given) for given in rules]
    if _same(a, b):
        raise UsageError(f"{a} and {b} are the same folder: give two runs")
    if out is not None:
        run_claim.check_file(out)
    found = compare(read(a), read(b))
    met = {str(rule): pairs for rule in parsed if (pairs := broken(rule, found))}
    _tell(found, met, form, out)
    if not found.pairs:
        raise CannotMeasure(f"{a} and {b} have no measured setting in common: nothing was compared")
    if met:
        count = sum(len(pairs) for pairs in met.values())
        say(f"alexbench: --fail-if is met {count} {'time' if count == 1 else 'times'}:", error=True)
        say("\n".join(f"  {line}" for line in broken_lines(met)), error=True)
        return WANTING
    for rule in parsed:
        if not judged(rule, found):
            raise CannotMeasure(f"--fail-if '{rule}': no setting has {rule.column} in both runs, so nothing was judged")
    return ALL_HELD


def read(path: Path) -> RunTables:
    """A run of `speed`, finished or broken off; it is left as it is.

    Raises UsageError where the folder holds no such run, CannotMeasure where that has no rows.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder: give the folder of a run of alexbench speed")
    facts = run_reading.facts(path)
    command = facts.get("command")
    if command != "speed":
        raise UsageError(f"{path} is a run of {command!r}: compare reads runs of 'speed'")
    _, found = run_reading.read(path, KINDS)
    found = {kind: found.get(kind, tables.frame(kind, ())) for kind in KINDS}
    if found["speed"].empty:
        raise CannotMeasure(f"{path} has no rows of speed: nothing was measured there")
    return RunTables(str(path), facts, found)


def _rule(given: str) -> Rule:
    try:
        return parse_rule(given)
    except ValueError as error:
        raise UsageError(f"--fail-if {error}") from None


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False  # one of them is not there: reading says so


def _tell(found: Comparison, met: Broken, form: str, out: Path | None) -> None:
    if out is not None:
        try:
            atomic.write_bytes(written(found, met, form).encode("utf-8", errors="replace"), out)
        except OSError as error:
            raise UsageError(f"cannot write {out}: {error.strerror or error}") from None
    elif form == "table":
        terminal.show(document(found, met))
    else:
        sys.stdout.write(written(found, met, form))


def written(found: Comparison, met: Broken, form: str) -> str:
    """The comparison as table, csv, json or markdown; a table is plain text without a terminal's colours."""
    if form == "csv":
        return as_csv(found)
    if form == "json":
        return as_json(found, met)
    if form == "markdown":
        return markdown.text(document(found, met))
    file = io.StringIO()
    terminal.show(document(found, met), terminal.Console(file=file, width=PLAIN_WIDTH, color_system=None))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
