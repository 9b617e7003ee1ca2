"""A parity run: error against rounding by level and framework, what failed first and why, error layer by layer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from reports.document import Document, Note, Row, Section, Table, Tone, Toned, Verdict
from reports.documents import common, self_test
from reports.documents.common import Run
from reports.format import enumerated, plural, text
from reports.schema import Column, Detail, column, columns
from reports.summaries import parity as summary
from reports.summaries.parity import NOT_OBSERVED, VERDICTS
from reports.tables import records

if TYPE_CHECKING:
    from reports.figures.style import Drawing

TONES: dict[str, Tone] = {
    "pass": "good", "fail": "bad", "error": "bad", "vacuous": "doubtful", NOT_OBSERVED: "doubtful",
}  # fmt: skip
MAX_BRIEF_FAILURES = 8
MAX_ROWS = 50  # of rows that did not pass
LEVELS = (
    *columns("parity", ("level", "framework"), detail=Detail.BRIEF),
    Column("checks", "Int64", "How many rows of the table parity were compared.", detail=Detail.BRIEF),
    column("parity", "gauge_ratio", label="error / gauge", format="ratio", detail=Detail.BRIEF),
    column("parity", "baseline_ratio", label="error / baseline", format="ratio", detail=Detail.BRIEF),
    column("parity", "verdict", detail=Detail.BRIEF),
)
NOT_PASSED = columns("parity", ("level", "case", "tensor", "layer", "framework", "tuning", "verdict", "reason"))
NOT_RETURNED = (*columns("parity", ("level", "framework")), Column("what"))
ALT = "Error against float64 after each layer, for each framework, with the rounding gauge"


def document(tables: Mapping[str, pd.DataFrame], run: Run) -> Document:
    """The document of a parity run."""
    return common.document(
        run, verdict(tables["parity"]), sections(tables, run), findings(tables, run), caveats(tables, run)
    )


def verdict(parity: pd.DataFrame) -> Verdict:
    """Whether all are equal, or how many checks failed and where first."""
    sentence = _sentence(parity)
    return Verdict(sentence, "good" if sentence.startswith("Equal") else "bad")


def sections(tables: Mapping[str, pd.DataFrame], run: Run) -> list[Section]:
    """Levels, what did not pass, what was not returned, the picture; the self-test where one was made."""
    parity = tables["parity"]
    return [
        Section(title="Levels", quiet=True, blocks=[_levels(parity)] if len(parity) else []),
        Section(title="Checks that did not pass", detail=Detail.FULL, blocks=_not_passed(parity)),
        Section(title="Not returned, so not compared", detail=Detail.FULL, blocks=_not_returned(parity)),
        common.picture("error-by-layer", "Error against float64, layer by layer", lambda: _draw(parity, run), ALT),
        *self_test.sections(tables["self-test"]),
    ]


def findings(tables: Mapping[str, pd.DataFrame], run: Run) -> list[Section]:
    """Each failure by its first layer at fault, with the likely cause and the command that shows it again."""
    failures = summary.failures(tables["parity"])
    blocks = [_failure(failure, run) for failure in failures]
    title = "Failures, first layer at fault"
    told = [row["reason"] for row in failures]
    return [
        Section(title=title, blocks=blocks, quiet=True, spaced=True, most_brief=MAX_BRIEF_FAILURES),
        common.failures(run, told),
    ]


def caveats(tables: Mapping[str, pd.DataFrame], run: Run) -> list[Note]:
    """What proves nothing, and frameworks that have no gradients."""
    counts = summary.verdicts(tables["parity"])
    said = {"vacuous": "vacuous (proving nothing)", NOT_OBSERVED: "not observed"}
    if _sentence(tables["parity"]).startswith("Equal"):  # which says itself of how much it speaks
        said.pop(NOT_OBSERVED)
    parts = [f"{counts[verdict]} {words}" for verdict, words in said.items() if counts[verdict]]
    parts += [plural(counts["error"], "error")] if counts["error"] else []
    notes = [Note(text=f"Also {', '.join(parts)}.", tone="doubtful")] if parts else []
    names = ", ".join(run.get("forward_only") or ())
    return [*notes, *([Note(text=f"Forward only, without gradients, loss and training: {names}.")] if names else [])]


def _draw(parity: pd.DataFrame, run: Run) -> Drawing | None:
    from reports.figures import error_by_layer

    return error_by_layer.figure(parity, run.get("layers") or ())


def _levels(parity: pd.DataFrame) -> Table:
    rows = [
        {**row, "verdict": Toned(_verdict(row), TONES.get(row["verdict"], "bad"))} for row in summary.levels(parity)
    ]
    return Table(columns=LEVELS, rows=rows, groups="level", caption="The worst error of each level and framework")


def _verdict(row: Row) -> str:
    """The verdict, the tuning where only one of them is to blame, and of how many layers it is the verdict."""
    said = f"{row['verdict']} ({', '.join(row['tunings'])})" if row["tunings"] else str(row["verdict"])
    return f"{said} ({row['coverage'].rpartition(' ')[0]})" if row["coverage"] else said  # the column is narrow


def _failure(failure: Row, run: Run) -> Note:
    others = f" and {plural(failure['rows'] - 1, 'more check')}" if failure["rows"] > 1 else ""
    where = "  ".join(filter(None, [failure["level"], failure["name"], failure["layer"]]))
    cause = f"\nlikely cause: {failure['cause']}" if failure["cause"] else ""
    level = failure["level"].replace(" ", "")
    known = bool(re.fullmatch(r"[\w-]+", failure["framework"]))  # else it is from outside, and its option is kept
    whose = {"frameworks": failure["framework"], "tuning": failure["tuning"]} if known else {}
    return Note(
        status=failure["verdict"],
        title=f"{where}{others}",
        text=f"{failure['reason'] or 'no reason given'}{cause}",
        tone=TONES.get(failure["verdict"], "bad"),
        again=common.again(run, level=level, **whose),
    )


def _not_passed(parity: pd.DataFrame) -> list[Table]:
    bad = [row for row in records(parity) if row.get("verdict") not in ("pass", NOT_OBSERVED)]
    rows = [{**row, "layer": summary.place(row)} for row in bad]
    caption = "Rows of the table parity that did not pass"
    return [Table(columns=NOT_PASSED, rows=rows, most=MAX_ROWS, file="parity.csv", caption=caption)] if rows else []


def _not_returned(parity: pd.DataFrame) -> list[Table]:
    rows = summary.not_returned(parity)
    return [Table(columns=NOT_RETURNED, rows=rows, caption="What was not there to be compared")] if rows else []


def _sentence(parity: pd.DataFrame) -> str:
    rows, counts = records(parity), summary.verdicts(parity)
    if not rows:
        return "Nothing was compared."
    failures, lines = summary.failures(parity), summary.levels(parity)
    failed = [failure for failure in failures if failure["verdict"] == "fail"]
    if failed:
        level, name, layer = (failed[0][key] for key in ("level", "name", "layer"))
        at = f"{layer} ({level}, {name})" if layer else f"{level} ({name})"
        return f"Not equal: {counts['fail']} of {plural(len(rows), 'check')} failed, first at {at}."
    unseen = any(line["verdict"] == NOT_OBSERVED for line in lines)
    if failures or unseen or counts["vacuous"] or not counts["pass"]:
        return f"Not proved: {_shortfall(counts)}; {counts['pass']} of {plural(len(rows), 'check')} passed."
    names = list(dict.fromkeys(text(row, "framework") for row in rows))
    held = f"{plural(counts['pass'], 'check')} passed in {enumerated(names)}"
    return _equal(lines, names, held, several=len(rows) > 1)


def _equal(lines: Iterable[Row], names: Sequence[str], held: str, *, several: bool) -> str:
    # Of a framework with several levels the forward pass says best what it returned.
    partial = [line for line in sorted(lines, key=lambda line: line["level"] != "forward") if line["coverage"]]
    if not partial:
        return f"Equal: {'all ' if several else ''}{held}."
    if len(names) == 1:
        return f"Equal in the {partial[0]['coverage']} that were returned: {held}."
    covered = {line["framework"]: line["coverage"] for line in reversed(partial)}
    parts = [f"{covered[name]} of {name}" for name in names if name in covered]
    return f"Equal in what was returned: {held}; returned were {enumerated(parts)}."


def _shortfall(counts: Counter[str]) -> str:
    said = {"error": "ended in an error", "vacuous": "vacuous", NOT_OBSERVED: "not observed"}
    parts = [f"{counts[verdict]} {words}" for verdict, words in said.items() if counts[verdict]]
    unknown = sum(number for verdict, number in counts.items() if verdict not in VERDICTS)
    return ", ".join([*parts, *([f"{unknown} of an unknown verdict"] if unknown else [])])
