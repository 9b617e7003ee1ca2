"""The picture of an audit: a pair of bars for each departure that was measured, and all of it readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from audit_rows import RUN, audit, measured, row
from drawn import check, texts
from matplotlib.figure import Figure

from reports.figures import departures as audit_plot

Rows = list[dict[str, Any]]


def draw(rows: Rows, tmp_path: Path, run: Any = RUN) -> None:
    audit_plot.draw(rows, run, tmp_path / "d.png", title="What each departure alone does")
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


def test_measured_departures_have_two_bars_each(figures: list[Figure], tmp_path: Path) -> None:
    draw(audit(), tmp_path)

    [figure] = figures
    check(figure)
    [axes] = figure.axes
    assert len(axes.patches) == 2 * 4
    said = [text.get_text() for text in texts(figure)]
    for wanted in ("lrn-alpha of norm1, norm2", "42.1 %", "order of conv5", "0", "all together", "logits", "gradient"):
        assert wanted in said


def test_a_longer_bar_is_a_larger_change(figures: list[Figure], tmp_path: Path) -> None:
    draw([row("lrn-k", "norm1", "1", "2", "another function", **measured(0.4, 0.02))], tmp_path)

    logits, gradient = (bar.get_width() + bar.get_x() for bar in figures[0].axes[0].patches)
    assert logits == pytest.approx(0.4) and gradient == pytest.approx(0.02)


@pytest.mark.parametrize(("count", "size"), [(1, 1e-13), (2, 1e9), (3, 1e-6), (20, 0.5)])
def test_any_number_and_any_size_of_changes_can_be_read(
    figures: list[Figure], tmp_path: Path, count: int, size: float
) -> None:
    place = "conv1, conv2, conv3, conv4, conv5, fc6, fc7 and $another_ of a long name"
    draw([row("lrn-k", place, "1", "2", "another function", **measured(size, 2 * size))] * count, tmp_path)

    check(figures[0])


def test_without_a_measurement_there_is_no_picture(tmp_path: Path) -> None:
    unmeasured = [one for one in audit() if one["logits_change"] is None]

    assert unmeasured
    assert not audit_plot.drawable(unmeasured)
    with pytest.raises(ValueError, match="nothing to draw"):
        draw(unmeasured, tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_leaves_the_others_drawn(figures: list[Figure], tmp_path: Path, value: float) -> None:
    rows = [row("lrn-k", "norm1", "1", "2", "another function", **measured(value, value)), *audit()]
    draw(rows, tmp_path)

    check(figures[0])
