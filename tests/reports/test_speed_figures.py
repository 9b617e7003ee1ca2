"""Figures of a speed run: drawn for any number of series, nothing outside the paper, no label on another."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import speed_rows
from drawn import check, labels, legend, marks, said
from matplotlib.axes import Axes
from speed_rows import failed, layers, peaks, speed

from reports import tables
from reports.figures import roofline, style, throughput, time_by_layer
from reports.figures.style import Drawing

Rows = list[dict[str, Any]]
NAMES = ["torch", "tensorflow", "jax", "./a/long/path/to/somebodys_network.py:build", "mine", "yours"]
BARE = dict.fromkeys(("step_ms_low", "step_ms_high"))  # without an interval
WIDE: dict[str, Any] = {"step_ms_low": 1.0, "step_ms_high": 9e5, "stable": "no"}
CUT_OFF: dict[str, Any] = {"step_ms_low": 0.0, "step_ms_high": 640.0, "stable": "no"}  # by an earlier version


def series(count: int, batches: Sequence[int] = (32, 128)) -> Rows:
    """So many series that lie close to each other."""
    return [
        speed(name, tuning, batch, images_per_s=80 + place / 3 + batch / 100)
        for place, (name, tuning) in enumerate(list(itertools.product(NAMES, ("stock", "tuned")))[:count])
        for batch in batches
    ]


def checked(drawn: Drawing | None) -> Drawing:
    assert drawn is not None
    check(drawn)
    return drawn


def one_device(rows: Rows) -> Drawing:
    return checked(throughput.throughput(tables.frame("speed", rows), tables.frame("sample", ())))


def split(rows: Rows, samples: Sequence[dict[str, Any]] = ()) -> Drawing:
    return checked(throughput.devices(tables.frame("speed", rows), tables.frame("sample", samples)))


def by_layer(rows: Rows, order: Sequence[str] = ()) -> Drawing:
    return checked(time_by_layer.figure(tables.frame("layer", rows), order))


def intervals(axes: Axes) -> list[float]:
    """Lengths of the horizontal error bars."""
    ends = [np.asarray(line.get_xdata()) for line in axes.get_lines() if line.get_marker() == "|"]
    return [float(x[1] - x[0]) for x in ends]


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_throughput_is_drawn_for_any_number_of_series(count: int) -> None:
    drawn = one_device(series(count))
    assert len(legend(drawn)) == count and len(drawn.panels) == 1
    assert all(len(marks(drawn, mark.series)) == 2 for mark in drawn.marks.values())
    ends = [float(entry.rsplit("  ", 1)[1]) for entry in legend(drawn)]
    assert ends == sorted(ends, reverse=True)  # in the order of the curves' ends


@pytest.mark.parametrize("count", [1, 6, 12])
def test_one_batch_size_is_drawn_as_bars(count: int) -> None:
    [axes] = one_device(series(count, (32,))).panels
    assert len(axes.patches) == count
    assert axes.get_title(loc="left").endswith("batch 32")


def test_stock_is_dashed_and_hollow_tuned_solid_with_intervals() -> None:
    drawn = one_device(series(2))
    [stock, tuned] = [line for line in drawn.panels[0].get_lines() if line.get_marker() == "o"]
    assert (stock.get_linestyle(), tuned.get_linestyle()) == ("--", "-")
    assert (stock.get_markerfacecolor(), tuned.get_markerfacecolor()) == (style.PAPER, style.PALETTE["torch"])
    assert sum(line.get_marker() == "_" for line in drawn.panels[0].get_lines()) == 4
    assert marks(drawn, "torch tuned") == [
        ("batch 32", "80.7 images/s (78.3 to 82.3)"), ("batch 128", "81.6 images/s (79.2 to 83.3)"),
    ]  # fmt: skip


def test_precisions_and_phases_have_panels_of_their_own() -> None:
    pairs = itertools.product(("float32", "bfloat16"), ("forward", "train-step"), (32, 64))
    drawn = one_device([speed("torch", "tuned", batch, precision=one, phase=other) for one, other, batch in pairs])
    assert len(drawn.panels) == 4
    assert {mark.panel for mark in drawn.marks.values()} == {axes.get_title(loc="left") for axes in drawn.panels}


def test_more_panels_than_fit_are_left_to_the_tables() -> None:
    drawn = throughput.throughput(
        tables.frame("speed", [speed("torch", "tuned", network=f"net{place}") for place in range(15)]),
        tables.frame("sample", ()),
    )
    assert drawn is not None and len(drawn.axes) == style.MAX_PANELS
    assert "(3 more in the tables)" in said(drawn)


@pytest.mark.parametrize("batches", [(32,), (32, 128)])
def test_what_has_no_interval_has_no_error_bar_that_looks_like_certainty(batches: Sequence[int]) -> None:
    rows = [speed("torch", "tuned", batch) for batch in batches]
    rows += [speed("jax", "tuned", batch) | BARE for batch in batches]
    drawn = one_device(rows)
    bars = [line for line in drawn.panels[0].get_lines() if line.get_marker() in ("|", "_")]
    assert len(bars) == len(batches)
    assert "55.6 (no interval)" in " ".join([*labels(drawn.panels[0]), *legend(drawn)])


def test_rows_that_failed_are_nothing_to_draw() -> None:
    rows = [failed("jax", "tuned", "does-not-fit", "too large"), speed("torch", "tuned", status="parity-failed")]
    nothing = tables.frame("sample", [])
    assert throughput.throughput(tables.frame("speed", rows), tables.frame("sample", ())) is None
    assert throughput.devices(tables.frame("speed", rows), nothing) is None
    assert (
        throughput.throughput(
            tables.frame("speed", [speed("torch", "tuned", devices=2, split="data")]), tables.frame("sample", ())
        )
        is None
    )


def test_emulated_bars_are_hatched_and_say_that_nothing_is_claimed() -> None:
    drawn = split(speed_rows.split_tables()["speed"])
    [axes] = drawn.panels
    assert [bool(bar.get_hatch()) for bar in axes.patches].count(True) == 9
    assert len(axes.patches) == 12
    assert sum(label.endswith("emulated") for label in labels(axes)) == 9
    assert "no speed-up is claimed" in said(drawn)
    assert not [label for label in labels(axes) if "over one" in label]
    assert sum(value.endswith("emulated") for _, value in marks(drawn, "torch tuned")) == 3


@pytest.mark.parametrize("count", [1, 3, 12])
def test_real_devices_say_what_they_gain(count: int) -> None:
    rows = series(count, (128,))
    rows += [
        row | {"devices": 2, "split": split, "images_per_s": row["images_per_s"] * 1.5, "step_ms": row["step_ms"] / 1.5}
        for row in rows
        for split in ("data", "model")
    ]
    drawn = split([row | BARE for row in rows], [sample for row in rows for sample in speed_rows.samples(row)])
    [axes] = drawn.panels
    assert not [bar for bar in axes.patches if bar.get_hatch()]
    assert sum("1.50x ±" in label for label in labels(axes)) == 2 * count


@pytest.mark.parametrize(("spread", "told"), [(0.9, "not significant over one"), (None, "(no interval) over one")])
def test_a_gain_that_may_be_chance_is_not_claimed_in_the_picture(spread: float | None, told: str) -> None:
    rows = [speed("torch", "tuned", 128), speed("torch", "tuned", 128, devices=2, split="data", step_ms=900.0)]
    taken = [] if spread is None else [one for row in rows for one in speed_rows.samples(row, spread=spread)]
    drawn = split(rows, taken)
    assert told in labels(drawn.panels[0])[-1] and told in marks(drawn, "torch tuned")[-1][1]


def test_a_split_without_its_one_device_row_is_drawn() -> None:
    assert labels(split([speed("torch", "tuned", devices=2, split="data")]).panels[0]) == ["100"]


@pytest.mark.parametrize("uncertain", [WIDE, CUT_OFF])
def test_the_least_certain_bar_has_the_longest_interval_and_says_that_it_is_not_stable(
    uncertain: dict[str, Any],
) -> None:
    rows = [speed("torch", "tuned", 32), speed("jax", "tuned", 32, step_ms=300.0) | uncertain]
    drawn = one_device(rows)
    [axes] = drawn.panels
    [unsure, sure] = intervals(axes)
    assert unsure > 5 * sure
    assert unsure < axes.get_xlim()[1] < 2.1 * max(row["images_per_s"] for row in rows)
    assert [line.get_marker() for line in axes.get_lines()].count(">") == 1  # it goes on
    assert "107 (unknown)  not stable" in labels(axes)
    assert marks(drawn, "jax tuned")[0][1].endswith("not stable")


def test_points_that_are_not_stable_are_crossed_out_and_the_picture_says_so() -> None:
    rows = [row | (WIDE if row["framework"] == "jax" else {}) for row in series(6)]
    drawn = one_device(rows)
    [axes] = drawn.panels
    crosses = [line.get_xdata() for line in axes.get_lines() if line.get_marker() == "x"]
    assert sum(map(len, crosses)) == 4  # type: ignore[arg-type]
    assert [line.get_marker() for line in axes.get_lines()].count("^") == 4 + 2  # arrows, and two series' own marker
    assert "crossed out: not stable" in said(drawn)
    assert axes.get_ylim()[1] < 2.5 * max(row["images_per_s"] for row in rows)


def test_layers_have_intervals_and_those_known_badly_the_longest() -> None:
    rows = layers("torch", "tuned")
    unsure = next(row for row in rows if (row["layer"], row["pass"]) == ("conv2", "forward"))
    unsure |= {"step_ms_low": unsure["step_ms"] / 2, "step_ms_high": unsure["step_ms"] * 2}
    lost = next(row for row in rows if (row["layer"], row["pass"]) == ("drop6", "backward"))
    lost |= {"step_ms": 0.0, "step_ms_low": None, "step_ms_high": None, "note": "not told apart from 0"}
    drawn = by_layer(rows)
    [line] = drawn.panels[0].get_lines()
    ends = np.asarray(line.get_xdata(), float).reshape(-1, 3)  # from, to, gap
    assert len(ends) == 2 * len(speed_rows.LAYERS)  # each pass, less the one that is lost; the rest of the step
    longest = ends[np.argmax(ends[:, 1] - ends[:, 0])]
    assert longest[:2] == pytest.approx([unsure["step_ms_low"], unsure["step_ms_high"]])
    assert ("conv2 forward", "150 ms (75.0 to 300)") in marks(drawn, "torch tuned")


def many_layers(count: int) -> Rows:
    pairs = list(itertools.product(NAMES, ("stock", "tuned")))[:count]
    return [row for name, tuning in pairs for row in layers(name, tuning)]


@pytest.mark.parametrize("count", [1, 2, 6, 12])
def test_time_by_layer_is_drawn_for_any_number_of_series(count: int) -> None:
    drawn = by_layer(many_layers(count), list(speed_rows.LAYERS))
    assert len(drawn.panels) == count
    shown = [*speed_rows.LAYERS, "(update and rest)"]
    assert [text.get_text() for text in drawn.panels[0].get_yticklabels()] == shown
    assert all(len(labels(axes)) == len(shown) for axes in drawn.panels)


def test_layers_without_the_networks_order_keep_their_rows_order() -> None:
    names = [text.get_text() for text in by_layer(layers("torch", "tuned")).panels[0].get_yticklabels()]
    assert names[:3] == ["conv1", "relu1", "norm1"]


def test_a_layer_timed_forward_only_is_drawn() -> None:
    rows = [row for row in layers("torch", "tuned") if row["pass"] == "forward"]
    assert "(update and rest)" not in [text.get_text() for text in by_layer(rows).panels[0].get_yticklabels()]
    assert time_by_layer.figure(tables.frame("layer", [row | {"step_ms": None} for row in rows])) is None


def under_the_roof(rows: Rows, roof: Rows) -> Drawing | None:
    return roofline.figure(tables.frame("layer", rows), tables.frame("peak", roof))


@pytest.mark.parametrize("count", [1, 6, 12])
def test_the_roofline_has_every_layer_with_arithmetic_and_the_step(count: int) -> None:
    drawn = checked(under_the_roof(many_layers(count), peaks()))
    assert [axes.get_title(loc="left").partition(":")[0] for axes in drawn.panels] == ["forward", "backward"]
    arithmetic = set(speed_rows.LAYERS) - {"drop6"} | {"whole step"}
    for axes in drawn.panels:
        assert axes.get_xscale() == axes.get_yscale() == "log"
        assert set(labels(axes)) == {"peak 487 GFLOP/s", "copy 18.0 GB/s"}
        [names] = axes.child_axes
        assert {text.get_text() for text in names.get_xticklabels()} == arithmetic
    assert len(legend(drawn)) == count
    assert {at for at, _ in marks(drawn, "torch stock")} == arithmetic


def test_the_roof_is_the_measured_peak_and_bandwidth() -> None:
    drawn = under_the_roof(layers("torch", "tuned"), peaks())
    assert drawn is not None
    x, y = (list(side) for side in drawn.panels[0].get_lines()[0].get_data())
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
def test_without_a_roof_or_a_layer_there_is_no_roofline(spoil: Callable[[Rows, Rows], tuple[Rows, Rows]]) -> None:
    assert under_the_roof(*spoil(layers("torch", "tuned"), peaks())) is None


def test_the_foot_carries_the_signature() -> None:
    versions = "torch-2.13.0,tensorflow-2.21.0"
    assert f"alexbench:0.1.0|network:paper|weights:3f2a|seed:0|framework:{versions}" in said(one_device(series(4)))


def test_labels_are_parted_in_order_and_within_bounds() -> None:
    assert list(roofline.spread([0.5], 0.1)) == [0.5]
    assert list(roofline.spread([0.1, 0.9], 0.1)) == pytest.approx([0.1, 0.9])
    assert list(roofline.spread([0.5, 0.5, 0.5], 0.1)) == pytest.approx([0.4, 0.5, 0.6])
    assert list(roofline.spread([0.0, 1.0, 1.0], 0.1)) == pytest.approx([0.0, 0.9, 1.0])
    crowded = list(roofline.spread([0.99] * 30, 0.1))
    assert (crowded[0], crowded[-1]) == pytest.approx((0, 1))
    assert crowded == sorted(crowded) and not math.isnan(sum(crowded))
    assert list(roofline.spread([], 0.1)) == []
