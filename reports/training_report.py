"""What a training run leaves beside its tables: its learning curves, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from reports import training_markdown
from reports.figures import curves as training_plot
from reports.figures.style import Picture
from reports.format import Row

PICTURE = "curves.png"


def pictures(rows: Mapping[str, Sequence[Row]], run: Mapping[str, Any]) -> list[Picture]:
    """The curves, where there are any. `rows` is kind -> rows, `run` what `run.json` holds."""
    del run
    training, losses = rows.get("training", ()), rows.get("loss", ())
    if not training_plot.drawable(training, losses):
        return []
    return [Picture(PICTURE, "Learning curves", partial(training_plot.draw, training, losses))]


markdown = training_markdown.markdown
