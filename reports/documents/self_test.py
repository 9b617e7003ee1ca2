"""The self-test of parity: each planted fault, whether it was caught, and where."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from reports.document import Document, Row, Section, Table, Toned, Verdict
from reports.documents import common
from reports.documents.common import Run
from reports.format import plural, text
from reports.schema import TABLES, Column, Detail, column
from reports.tables import groups, records


def document(tables: Mapping[str, pd.DataFrame], run: Run) -> Document:
    """The document of a self-test."""
    faults = tables["self-test"]
    return common.document(run, verdict(faults), sections(faults), [common.failures(run)])


def verdict(faults: pd.DataFrame) -> Verdict:
    """How many of the planted faults were caught and localised, and the names of those that were not."""
    rows = records(faults)
    if not rows:
        return Verdict("No fault was planted.", "bad")
    missed = [f"{text(row, 'fault')} ({text(row, 'framework')})" for row in rows if not _is_located(row)]
    if not missed:
        return Verdict(f"All {plural(len(rows), 'planted fault')} caught and localised.", "good")
    caught, localised = sum(_is(row, "caught") for row in rows), sum(map(_is_located, rows))
    told = f"Of {plural(len(rows), 'planted fault')} {caught} caught, {localised} localised; missed: "
    return Verdict(f"{told}{', '.join(missed)}.", "bad")


def sections(faults: pd.DataFrame) -> list[Section]:
    """A line per fault with a column per framework, and every fault with what was named."""
    if not len(faults):
        return []
    columns = [one for one in TABLES["self-test"].columns if not one.optional]
    whole = Table(columns=columns, rows=records(faults), caption="Every planted fault")
    return [
        Section(title="Self-test: planted faults", quiet=True, blocks=[_by_fault(faults)]),
        Section(title="What was named, and what was expected", detail=Detail.FULL, blocks=[whole], closed=True),
    ]


def _by_fault(faults: pd.DataFrame) -> Table:
    frameworks = sorted({text(row, "framework") for row in records(faults)})
    shown = [
        column("self-test", "fault", label="planted fault", detail=Detail.BRIEF),
        column("self-test", "planted_in", label="in", detail=Detail.BRIEF),
        column("self-test", "caught_at", label="caught at", detail=Detail.BRIEF),
        *(
            Column(name, meaning="Whether it was caught and localised there.", detail=Detail.BRIEF)
            for name in frameworks
        ),
    ]
    rows = []
    for (fault, place), group in groups(faults, "fault", "planted_in").items():
        levels = ", ".join(dict.fromkeys(text(row, "caught_at") for row in group if text(row, "caught_at")))
        found = {text(row, "framework"): _outcome(row) for row in group}
        line = {name: found.get(name, Toned("-", "faint")) for name in frameworks}
        rows.append({"fault": fault, "planted_in": place, "caught_at": levels, **line})
    return Table(columns=shown, rows=rows, keeps_empty=True, caption="Planted faults, by framework")


def _outcome(row: Row) -> Toned:
    """Caught and in the right place, caught and called something else, or missed."""
    if not _is(row, "caught"):
        return Toned("missed", "bad")
    if not _is_located(row):
        return Toned(f"as {text(row, 'named') or 'nothing'}", "bad")
    return Toned("caught", "good")


def _is_located(row: Row) -> bool:
    return _is(row, "caught") and _is(row, "localised")


def _is(row: Row, name: str) -> bool:
    return text(row, name) == "yes"
