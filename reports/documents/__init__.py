"""One document a command, made of a run's tables and of what its run.json says.

Nothing heavy is imported before there is a run: what `doctor` finds is told without pandas, which may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from reports.document import Document
from reports.documents.common import Run
from reports.format import Row

if TYPE_CHECKING:
    import pandas as pd


class DocumentEntry(NamedTuple):
    """What the runs of a command are told by."""

    main: str  # the kind of table that no other command's run has
    module: str  # here; its `document(tables, run)` makes the document


# A new command is one more entry here. Parity is last: a run of another may hold the checks that came before it.
DOCUMENTS: dict[str, DocumentEntry] = {
    "speed": DocumentEntry("speed", "speed"),
    "train": DocumentEntry("training", "train"),
    "evaluate": DocumentEntry("evaluation", "evaluate"),
    "paper": DocumentEntry("ledger", "paper"),
    "audit": DocumentEntry("audit", "audit"),
    "parity-self-test": DocumentEntry("self-test", "self_test"),
    "parity": DocumentEntry("parity", "parity"),
}


def of_rows(rows: Mapping[str, Sequence[Row]], run: Run) -> Document:
    """The same of plain rows, such as a run that is under way has. Raises ValueError where a row fits no table."""
    from reports import tables

    return document_of({kind: tables.frame(kind, found) for kind, found in rows.items()}, run)


def document_of(given: Mapping[str, pd.DataFrame], run: Run) -> Document:
    """The document of a run of any command: by the command's name, of one that is not known by the tables it left."""
    from reports import schema, tables

    known = DOCUMENTS.get(str(run.get("command")))
    fitting = (entry for entry in DOCUMENTS.values() if len(given.get(entry.main, ())))
    entry = known or next(fitting, DOCUMENTS["parity"])
    empty = {kind: tables.frame(kind, ()) for kind in schema.TABLES if kind not in given}
    document: Document = import_module(f"{__name__}.{entry.module}").document({**empty, **given}, run)
    return document
