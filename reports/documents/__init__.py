"""One document a command, made of a run's tables and of what its run.json says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from reports import schema, tables
from reports.document import Document
from reports.documents import audit, paper, parity, self_test, speed
from reports.documents.common import Run
from reports.format import Row

Tables = Mapping[str, pd.DataFrame]  # kind -> its table


class Entry(NamedTuple):
    """What the runs of a command are told by."""

    main: str  # the kind of table that no other command's run has
    document: Callable[[Tables, Run], Document]


# A new command is one more entry here. Parity is last: a run of another may hold the checks that came before it.
DOCUMENTS: dict[str, Entry] = {
    "speed": Entry("speed", speed.document),
    "paper": Entry("ledger", paper.document),
    "audit": Entry("audit", audit.document),
    "parity-self-test": Entry("self-test", self_test.document),
    "parity": Entry("parity", parity.document),
}


def of_rows(rows: Mapping[str, Sequence[Row]], run: Run) -> Document:
    """The same of plain rows, such as a run that is under way has. Raises ValueError where a row fits no table."""
    return document_of({kind: tables.frame(kind, found) for kind, found in rows.items()}, run)


def document_of(given: Tables, run: Run) -> Document:
    """The document of a run of any command: by the command's name, of one that is not known by the tables it left."""
    known = DOCUMENTS.get(str(run.get("command")))
    fitting = (entry for entry in DOCUMENTS.values() if len(given.get(entry.main, ())))
    entry = known or next(fitting, DOCUMENTS["parity"])
    empty = {kind: tables.frame(kind, ()) for kind in schema.TABLES if kind not in given}
    return entry.document({**empty, **given}, run)
