"""What an evaluation leaves beside its tables: its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports import evaluation_markdown
from reports.figures.style import Picture
from reports.format import Row


def pictures(rows: Mapping[str, Sequence[Row]], run: Mapping[str, Any]) -> list[Picture]:
    """None: errors, agreement and classes are figures."""
    del rows, run
    return []


markdown = evaluation_markdown.markdown
