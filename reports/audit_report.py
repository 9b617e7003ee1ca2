"""What `alexbench audit` leaves beside its table: a picture of what each departure does, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from reports import audit_markdown
from reports.figures import departures as audit_plot
from reports.figures.style import Picture
from reports.format import Row

PICTURE = "departures.png"
TITLE = "What each departure alone does"


def pictures(rows: Mapping[str, Sequence[Row]], run: Mapping[str, Any]) -> list[Picture]:
    """One, where anything was measured. `rows` is kind -> rows, `run` what run.json holds."""
    found = rows.get("audit", ())
    if not audit_plot.drawable(found):
        return []
    return [Picture(PICTURE, TITLE, partial(audit_plot.draw, found, run, title=TITLE))]


def markdown(rows: Mapping[str, Sequence[Row]], run: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The report."""
    return audit_markdown.markdown(rows.get("audit", ()), run, pictures)
