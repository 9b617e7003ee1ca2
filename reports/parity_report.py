"""What a parity run leaves beside its tables: the picture of its errors, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from reports import parity_summary
from reports.figures import error_by_layer as parity_plot
from reports.figures.style import Picture
from reports.format import Row

PICTURE = "error-by-layer.png"


def pictures(rows: Mapping[str, Sequence[Row]], run: Mapping[str, Any]) -> list[Picture]:
    """Error by layer, where a forward pass was compared. `rows` is kind -> rows, `run` what `run.json` holds."""
    parity, layers = rows.get("parity", ()), run.get("layers") or ()
    if not parity_plot.drawable(parity):
        return []
    return [Picture(PICTURE, "Error against float64, layer by layer", partial(parity_plot.draw, parity, layers))]


def markdown(rows: Mapping[str, Sequence[Row]], run: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The report."""
    picture = PICTURE if PICTURE in pictures else ""
    return parity_summary.markdown(rows.get("parity", ()), run, picture, rows.get("self-test", ()))


def body(rows: Mapping[str, Sequence[Row]], pictures: Mapping[str, str]) -> list[str]:
    """Its sections for the report of a run that only began with checks."""
    picture = PICTURE if PICTURE in pictures else ""
    return parity_summary.body(rows.get("parity", ()), picture, rows.get("self-test", ()))
