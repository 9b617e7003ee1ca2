"""What the rows of an audit amount to: each departure under its name, and how many have which consequence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from reports.format import Row, text
from reports.tables import records

TOGETHER = "together"  # the facet of the row of all measured departures at once


def rows(audit: pd.DataFrame) -> list[Row]:
    """The rows of the table in their order, each with the name of what departs as `departure`."""
    return [_named(row) for row in records(audit)]


def departures(audit: pd.DataFrame) -> list[Row]:
    """The same without the row of all together."""
    return [row for row in rows(audit) if not is_together(row)]


def consequences(audit: pd.DataFrame) -> Counter[str]:
    """How many departures have each consequence."""
    return Counter(text(row, "consequence") for row in departures(audit))


def is_together(row: Row) -> bool:
    """Whether a row is of all measured departures at once."""
    return text(row, "facet") == TOGETHER


def place(row: Row) -> str:
    """`lrn-alpha of norm1, norm2`, or what the row of all together says."""
    if is_together(row):
        return text(row, "theirs")
    facet, where = text(row, "facet"), text(row, "place")
    if not where or where == "input":
        return facet
    return f"{facet} {where}" if facet == "foreign" or where.startswith("after ") else f"{facet} of {where}"


def _named(row: Mapping[str, Any]) -> Row:
    named = {**row, "departure": place(row)}
    return {**named, "theirs": None} if is_together(row) else named
