"""What every renderer needs of a table: which columns it shows, and what a cell says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from reports.document import Block, Row, Section, Table, Tone, Toned
from reports.format import FORMATS, clean, written
from reports.schema import Column, Detail

AnyBlock = TypeVar("AnyBlock", Block, Section)


def longer(blocks: Iterable[AnyBlock]) -> list[AnyBlock]:
    """What a report and a page show: everything but what stands on a terminal in its place."""
    return [block for block in blocks if block.detail != Detail.TERMINAL]


def shown(table: Table, detail: Detail) -> list[Column]:
    """The columns of that detail; without those that have no value in any row, unless the table keeps them."""
    fitting = [column for column in table.columns if column.detail <= detail]
    return [column for column in fitting if table.keeps_empty or any(said(row, column) for row in table.rows)]


def value(row: Row, column: Column) -> Any:
    """A cell's plain value."""
    found = row.get(column.name)
    return found.value if isinstance(found, Toned) else found


def tone(row: Row, column: Column) -> Tone:
    """A cell's own tone."""
    found = row.get(column.name)
    return found.tone if isinstance(found, Toned) else "plain"


def said(row: Row, column: Column, *, brief: bool = False) -> str:
    """A cell's words."""
    found, words = row.get(column.name), written(value(row, column), column.written_as, brief=brief)
    return f"{words} ({clean(found.note)})" if words and isinstance(found, Toned) and found.note else words


def is_numeric(column: Column) -> bool:
    """Whether it is sorted by value."""
    return FORMATS[column.written_as].numeric


def is_right(column: Column) -> bool:
    """Whether it is set to the right."""
    return is_numeric(column) or FORMATS[column.written_as].beside_numbers


def numbered(rows: Sequence[Row]) -> tuple[list[str], list[int | None]]:
    """The signatures of these rows, each once, and the number that each row refers to, from 1 on."""
    places: dict[str, int] = {}
    numbers = []
    for row in rows:
        signature = str(row.get("signature") or "")
        numbers.append(places.setdefault(signature, len(places) + 1) if signature else None)
    return list(places), numbers
