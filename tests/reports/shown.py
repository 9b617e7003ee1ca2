"""What a reader sees of a run's rows: on a terminal and in a report, both made of the command's document."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from reports import documents, tables
from reports.document import Document
from reports.render import markdown
from reports.render import terminal as renderer

Rows = Mapping[str, Sequence[Mapping[str, Any]]]  # kind -> rows


def frames(rows: Rows) -> dict[str, pd.DataFrame]:
    """Rows as the tables of their kinds."""
    return {kind: tables.frame(kind, found) for kind, found in rows.items()}


def document(rows: Rows, run: Mapping[str, Any]) -> Document:
    """The document of a run."""
    return documents.of_rows(rows, run)


def terminal(rows: Rows, run: Mapping[str, Any], width: int = 80, **settings: Any) -> str:
    """The document on a terminal of that width, without the blanks at the ends of lines."""
    file = io.StringIO()
    renderer.show(document(rows, run), renderer.Console(file=file, width=width, **settings))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def report(rows: Rows, run: Mapping[str, Any], pictures: Collection[str] = ()) -> str:
    """The document as Markdown."""
    return markdown.text(document(rows, run), pictures)
