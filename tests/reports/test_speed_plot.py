"""Pictures of a speed run: drawn for any number of series, nothing outside the paper, no label on another."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import speed_rows
from drawn import check, labels
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from speed_rows import failed, layers, peaks, speed

from reports.figures import roofline as speed_roofline
from reports.figures import style as picture_frame
from reports.figures import time_by_layer as speed_layers_plot
from reports.figures.throughput import (
    devices_drawable,
    draw_devices,
    draw_throughput,
    throughput_drawable,
)

Rows = list[dict[str, Any]]


def series(count: int, batches: Sequence[int] = (32, 128)) -> Rows:
    """So many series that lie close to each other."""
    names = ["torch", "tensorflow", "jax", "./a/long/path/to/somebodys_network.py:build", "mine", "yours"]
    pairs = list(itertools.product(names, ("stock", "tuned")))[:count]
    return [
        speed(name, tuning, batch, images_per_s=80 + place / 3 + batch / 100)
        for place, (name, tuning) in enumerate(pairs)
        for batch in batches
    ]


@pytest.mark.parametrize("count", range(1, 13))
def test_throughput_is_drawn_for_any_number_of_series(count: int, figures: list[Figure], tmp_path: Path) -> None:
    draw_throughput(series(count), tmp_path / "t.png")
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    [axes] = figures[0].axes
    assert len(labels(axes)) == count
    check(figures[0])


@pytest.mark.parametrize("count", [1, 6, 12])
def test_one_batch_size_is_drawn_as_bars(count: int, figures: list[Figure], tmp_path: Path) -> None:
    draw_throughput(series(count, (32,)), tmp_path / "t.png")
    [axes] = figures[0].axes
    assert len(axes.patches) == count
    assert axes.get_title(loc="left").endswith("batch 32")
    check(figures[0])


def test_stock_is_dashed_and_tuned_solid_with_intervals(figures: list[Figure], tmp_path: Path) -> None:
    draw_throughput(series(2), tmp_path / "t.png")
    [axes] = figures[0].axes
    styles = [container[0].get_linestyle() for container in axes.containers]  # type: ignore[index]
    assert styles == ["--", "-"]
    assert all(container.has_yerr for container in axes.containers)  # type: ignore[attr-defined]


def test_precisions_and_phases_have_panels_of_their_own(figures: list[Figure], tmp_path: Path) -> None:
    rows = [
        speed("torch", "tuned", batch, precision=precision, phase=phase)
        for batch in (32, 64)
        for precision in ("float32", "bfloat16")
        for phase in ("forward", "train-step")
    ]
    draw_throughput(rows, tmp_path / "t.png")
    assert len(figures[0].axes) == 4
    check(figures[0])


def test_more_panels_than_fit_are_left_to_the_tables(figures: list[Figure], tmp_path: Path) -> None:
    draw_throughput([speed("torch", "tuned", network=f"net{n}") for n in range(15)], tmp_path / "t.png")
    assert len(figures[0].axes) == picture_frame.MOST_PANELS
    assert "3 more in the tables" in " ".join(text.get_text() for text in figures[0].texts).replace("\n", " ")


def test_a_curve_without_an_interval_is_drawn(figures: list[Figure], tmp_path: Path) -> None:
    gone = dict.fromkeys(("step_ms_low", "step_ms_high"))
    draw_throughput([row | gone for row in series(3)], tmp_path / "t.png")
    draw_throughput([row | gone for row in series(3, (32,))], tmp_path / "b.png")
    assert len(figures) == 2


def test_rows_that_failed_are_nothing_to_draw(tmp_path: Path) -> None:
    rows = [failed("jax", "tuned", "does-not-fit", "too large"), speed("torch", "tuned", status="parity-failed")]
    assert not throughput_drawable(rows)
    assert not devices_drawable(rows)
    for draw in (draw_throughput, draw_devices):
        with pytest.raises(ValueError, match="nothing to draw"):
            draw(rows, tmp_path / "t.png")
    assert not throughput_drawable([speed("torch", "tuned", devices=2, split="data")])


def test_emulated_bars_are_hatched_and_say_that_nothing_is_claimed(figures: list[Figure], tmp_path: Path) -> None:
    draw_devices(speed_rows.split_tables()["speed"], tmp_path / "d.png")
    [axes] = figures[0].axes
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    assert len(hatched) == 9
    assert len(axes.patches) == 12
    said = [text.get_text() for text in labels(axes)]
    assert sum(text.endswith("emulated") for text in said) == 9
    assert any("no speed-up is claimed" in text.get_text().replace("\n", " ") for text in figures[0].texts)
    assert not [text for text in said if "over one" in text]
    check(figures[0])


@pytest.mark.parametrize("count", [1, 3, 12])
def test_real_devices_say_what_they_gain(count: int, figures: list[Figure], tmp_path: Path) -> None:
    rows = series(count, (128,))
    rows += [
        row | {"devices": 2, "split": split, "images_per_s": row["images_per_s"] * 1.5, "step_ms": row["step_ms"] / 1.5}
        for row in rows
        for split in ("data", "model")
    ]
    bare = dict.fromkeys(("step_ms_low", "step_ms_high"))
    taken = [sample for row in rows for sample in speed_rows.samples(row)]
    draw_devices([row | bare for row in rows], tmp_path / "d.png", taken)
    [axes] = figures[0].axes
    assert not [patch for patch in axes.patches if patch.get_hatch()]
    assert sum("1.50x ±" in text.get_text() for text in labels(axes)) == 2 * count
    check(figures[0])


@pytest.mark.parametrize(("spread", "said"), [(0.9, "not significant over one"), (None, "(no interval) over one")])
def test_a_gain_that_may_be_chance_is_not_claimed_in_the_picture(
    spread: float | None, said: str, figures: list[Figure], tmp_path: Path
) -> None:
    rows = [speed("torch", "tuned", 128), speed("torch", "tuned", 128, devices=2, split="data", step_ms=900.0)]
    taken = [] if spread is None else [one for row in rows for one in speed_rows.samples(row, spread=spread)]
    draw_devices(rows, tmp_path / "d.png", taken)
    assert said in labels(figures[0].axes[0])[-1].get_text()
    check(figures[0])


def test_a_split_without_its_one_device_row_is_drawn(figures: list[Figure], tmp_path: Path) -> None:
    draw_devices([speed("torch", "tuned", devices=2, split="data")], tmp_path / "d.png")
    assert [text.get_text() for text in labels(figures[0].axes[0])] == ["100"]


def drawn_bars(axes: Axes) -> list[tuple[float, float]]:
    """Ends of the error bars that can be seen."""
    lines = [line for one in axes.collections if isinstance(one, LineCollection) for line in one.get_segments()]
    return [(float(line[0][0]), float(line[-1][0])) for line in lines if len(line)]


WIDE: dict[str, Any] = {"step_ms_low": 1.0, "step_ms_high": 9e5, "stable": "no"}
CUT_OFF: dict[str, Any] = {"step_ms_low": 0.0, "step_ms_high": 640.0, "stable": "no"}  # by an earlier version


@pytest.mark.parametrize("uncertain", [WIDE, CUT_OFF])
def test_the_least_certain_bar_has_the_longest_interval_and_says_that_it_is_not_stable(
    uncertain: dict[str, Any], figures: list[Figure], tmp_path: Path
) -> None:
    rows = [speed("torch", "tuned", 32), speed("jax", "tuned", 32, step_ms=300.0) | uncertain]
    draw_throughput(rows, tmp_path / "t.png")
    [axes] = figures[0].axes
    [unsure, sure] = drawn_bars(axes)
    assert unsure[1] - unsure[0] > 5 * (sure[1] - sure[0])
    assert unsure[1] < axes.get_xlim()[1] < 2.1 * max(row["images_per_s"] for row in rows)
    figures[0].draw_without_rendering()
    [said] = [text for text in labels(axes) if text.get_text() == "not stable"]
    bar = axes.patches[0].get_window_extent()
    assert bar.x0 <= said.get_window_extent().x0 and said.get_window_extent().x1 <= bar.x1
    assert bar.y0 <= said.get_window_extent().y0 and said.get_window_extent().y1 <= bar.y1
    assert any(text.get_text() == "107 (unknown)" for text in labels(axes))
    check(figures[0])


def test_a_bar_too_short_for_words_has_them_beside_it(figures: list[Figure], tmp_path: Path) -> None:
    rows = [speed("torch", "tuned", 32), speed("jax", "stock", 32, stable="no", step_ms=9e4)]
    draw_throughput(rows, tmp_path / "t.png")
    assert "0.36  not stable" in [text.get_text() for text in labels(figures[0].axes[0])]
    check(figures[0])


def test_a_bar_without_an_interval_has_no_error_bar_that_looks_like_certainty(
    figures: list[Figure], tmp_path: Path
) -> None:
    bare = dict.fromkeys(("step_ms_low", "step_ms_high"))
    draw_throughput([speed("torch", "tuned", 32), speed("jax", "tuned", 32) | bare], tmp_path / "t.png")
    [axes] = figures[0].axes
    assert len([one for one in drawn_bars(axes) if one[1] > one[0]]) == 1
    assert not [one for one in drawn_bars(axes) if one[1] == one[0]]
    assert "55.6 (no interval)" in [text.get_text() for text in labels(axes)]


def test_points_that_are_not_stable_are_crossed_out_and_the_picture_says_so(
    figures: list[Figure], tmp_path: Path
) -> None:
    rows = [row | (WIDE if row["framework"] == "jax" else {}) for row in series(6)]
    draw_throughput(rows, tmp_path / "t.png")
    [axes] = figures[0].axes
    [crosses] = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert len(crosses.get_xdata()) == 4  # type: ignore[arg-type]
    assert any("crossed out: not stable" in text.get_text().replace("\n", " ") for text in figures[0].texts)
    assert axes.get_ylim()[1] < 2.5 * max(row["images_per_s"] for row in rows)
    check(figures[0])


def test_layers_have_error_bars_and_those_known_badly_the_longest(figures: list[Figure], tmp_path: Path) -> None:
    rows = layers("torch", "tuned")
    unsure = next(row for row in rows if (row["layer"], row["pass"]) == ("conv2", "forward"))
    unsure |= {"step_ms_low": unsure["step_ms"] / 2, "step_ms_high": unsure["step_ms"] * 2}
    lost = next(row for row in rows if (row["layer"], row["pass"]) == ("drop6", "backward"))
    lost |= {"step_ms": 0.0, "step_ms_low": None, "step_ms_high": None, "note": "not told apart from 0"}
    speed_layers_plot.draw(rows, tmp_path / "l.png")
    found = drawn_bars(figures[0].axes[0])
    assert len(found) == 2 * len(speed_rows.LAYERS)  # each pass, less the one that is lost; the rest of the step
    assert max(found, key=lambda one: one[1] - one[0]) == (
        pytest.approx(unsure["step_ms_low"]), pytest.approx(unsure["step_ms_high"]),
    )  # fmt: skip
    check(figures[0])


def many_layers(count: int) -> Rows:
    names = ["torch", "tensorflow", "jax", "./a/long/path/to/somebodys_network.py:build", "mine", "yours"]
    pairs = list(itertools.product(names, ("stock", "tuned")))[:count]
    return [row for name, tuning in pairs for row in layers(name, tuning)]


@pytest.mark.parametrize("count", [1, 2, 6, 12])
def test_time_by_layer_is_drawn_for_any_number_of_series(count: int, figures: list[Figure], tmp_path: Path) -> None:
    speed_layers_plot.draw(many_layers(count), tmp_path / "l.png", list(speed_rows.LAYERS))
    assert len(figures[0].axes) == count
    for axes in figures[0].axes:
        assert [text.get_text() for text in axes.get_yticklabels()] == [*speed_rows.LAYERS, "(update and rest)"]
    check(figures[0])


def test_layers_without_the_networks_order_keep_their_rows_order(figures: list[Figure], tmp_path: Path) -> None:
    speed_layers_plot.draw(layers("torch", "tuned"), tmp_path / "l.png")
    assert [text.get_text() for text in figures[0].axes[0].get_yticklabels()][:3] == ["conv1", "relu1", "norm1"]


def test_a_layer_timed_forward_only_is_drawn(figures: list[Figure], tmp_path: Path) -> None:
    rows = [row for row in layers("torch", "tuned") if row["pass"] == "forward"]
    speed_layers_plot.draw(rows, tmp_path / "l.png")
    assert "(update and rest)" not in [text.get_text() for text in figures[0].axes[0].get_yticklabels()]
    bare = [row | {"step_ms": None} for row in rows]
    assert not speed_layers_plot.drawable(bare)
    with pytest.raises(ValueError, match="nothing to draw"):
        speed_layers_plot.draw(bare, tmp_path / "l.png")


@pytest.mark.parametrize("count", [1, 6, 12])
def test_the_roofline_has_every_layer_with_arithmetic_and_the_step(
    count: int, figures: list[Figure], tmp_path: Path
) -> None:
    speed_roofline.draw(many_layers(count), peaks(), tmp_path / "r.png")
    assert [axes.get_title(loc="left").partition(":")[0] for axes in figures[0].axes] == ["forward", "backward"]
    for axes in figures[0].axes:
        assert axes.get_xscale() == axes.get_yscale() == "log"
        said = {text.get_text() for text in labels(axes)}
        assert set(speed_rows.LAYERS) - {"drop6"} | {"whole step", "peak 487 GFLOP/s", "copy 18.0 GB/s"} == said
        legend = axes.get_legend()
        assert legend is not None and len(legend.get_texts()) == count
    check(figures[0])


def test_the_roof_is_the_measured_peak_and_bandwidth(figures: list[Figure], tmp_path: Path) -> None:
    speed_roofline.draw(layers("torch", "tuned"), peaks(), tmp_path / "r.png")
    x, y = (list(side) for side in figures[0].axes[0].get_lines()[0].get_data())
    assert y[1] == y[2] == speed_rows.PEAK_TFLOPS
    assert x[1] == pytest.approx(1e3 * speed_rows.PEAK_TFLOPS / 18.0)
    assert y[0] == pytest.approx(x[0] * 18.0 / 1e3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows, roof: (rows, []),
        lambda rows, roof: (rows, [row for row in roof if row["probe"] != "copy"]),
        lambda rows, roof: (rows, [row | {"best": "no"} for row in roof]),
        lambda rows, roof: (rows, [row | {"device": "cuda"} for row in roof]),
        lambda rows, roof: ([row | {"gflops": 0.0} for row in rows], roof),
        lambda rows, roof: ([row | {"mbytes": None} for row in rows], roof),
        lambda rows, roof: ([], roof),
    ],
)
def test_without_a_roof_or_a_layer_there_is_no_roofline(
    spoil: Callable[[Rows, Rows], tuple[Rows, Rows]], tmp_path: Path
) -> None:
    rows, roof = spoil(layers("torch", "tuned"), peaks())
    assert not speed_roofline.drawable(rows, roof)
    with pytest.raises(ValueError, match="nothing to draw"):
        speed_roofline.draw(rows, roof, tmp_path / "r.png")


def test_the_foot_carries_the_signature(figures: list[Figure], tmp_path: Path) -> None:
    draw_throughput(series(4), tmp_path / "t.png")
    said = [text.get_text().replace("\n", "") for text in figures[0].texts]
    assert said[-1].startswith("alexbench:0.1.0|network:paper|weights:3f2a|seed:0|framework:torch-2.13.0,tensorflow-")


def test_labels_are_parted_in_order_and_within_bounds() -> None:
    assert picture_frame.spread([0.5], 0.1, 0, 1) == [0.5]
    assert picture_frame.spread([0.1, 0.9], 0.1, 0, 1) == pytest.approx([0.1, 0.9])
    assert picture_frame.spread([0.5, 0.5, 0.5], 0.1, 0, 1) == pytest.approx([0.4, 0.5, 0.6])
    assert picture_frame.spread([1.0, 1.0, 0.0], 0.1, 0, 1) == pytest.approx([0.9, 1.0, 0.0])
    crowded = picture_frame.spread([0.99] * 30, 0.1, 0, 1)
    assert min(crowded) == pytest.approx(0) and max(crowded) == pytest.approx(1)
    assert crowded == sorted(crowded)
    assert picture_frame.spread([], 0.1, 0, 1) == []
