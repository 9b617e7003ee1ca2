"""What `alexbench paper` leaves beside its tables: the paper's figures from the user's own run, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from reports import paper_markdown
from reports.figures import figure1 as figure1_plot
from reports.figures.style import Picture
from reports.format import Row, text

FIGURE_1 = "figure1.png"
TITLES = {  # beginning of a picture's name -> title
    "figure1": "Figure 1: training error with ReLU and with tanh",
    "figure3": "Figure 3: kernels of the first layer",
    "figure4-top5": "Figure 4: the likeliest classes of test images",
    "figure4-neighbours": "Figure 4: test images and their nearest training images",
}


def pictures(rows: Mapping[str, Sequence[Row]], run: Mapping[str, Any]) -> list[Picture]:
    """Figure 1, where rows of `training-error` give both its curves. `rows` is kind -> rows, `run` run.json."""
    del run
    errors = rows.get("training-error", ())
    if not figure1_plot.drawable(errors):
        return []
    said = ", ".join(dict.fromkeys(f"{text(row, 'network')} on {text(row, 'data')}" for row in errors))
    return [Picture(FIGURE_1, TITLES["figure1"], partial(figure1_plot.draw, errors, said=said))]


def markdown(rows: Mapping[str, Sequence[Row]], run: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The report, with the pictures that the command drew from weights: those are named in run.json's `files`."""
    named = [str(name) for name in run.get("files") or ()]
    drawn = {name: title for name in named if (title := _title(name)) and name not in pictures}
    return paper_markdown.markdown(rows, run, {**pictures, **drawn})


def _title(name: str) -> str:
    """`Figure 3: kernels of the first layer (torch-best)`, empty for what is no picture of this command."""
    if Path(name).name != name or not name.endswith(".png"):
        return ""
    for start, title in sorted(TITLES.items(), reverse=True):
        if name.startswith(start):
            rest = name.removeprefix(start).removesuffix(".png").strip("-")
            return f"{title} ({rest})" if rest else title
    return ""
