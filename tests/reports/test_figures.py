"""What holds for every figure; and the figures of parity and of an audit."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import audit_rows
import numpy as np
import paper_rows
import parity_rows
import pytest
import speed_rows
import training_rows
from drawn import check, legend, marks, said, texts, words
from parity_rows import FRAMEWORKS, LAYERS, passing

from reports import tables
from reports.figures import (
    curves,
    departures,
    error_by_layer,
    figure1,
    figure3,
    figure4,
    roofline,
    style,
    throughput,
    time_by_layer,
)
from reports.figures.style import PALETTE, Drawing
from reports.render import svg

Rows = list[dict[str, Any]]
EVIL = "<b>$x$\x1b\u202e"
LONG = f"{EVIL}{'long-' * 60}<script>alert(1)</script>"
WORDS = ("framework", "tuning", "network", "data", "tensor", "layer", "label", "place", "precision", "phase", "split")
SPARED = ("stock", "none", "float32", "tuned")  # which decide what is drawn


def spoiled(rows: Rows, evil: str) -> Rows:
    """Rows whose names are those of somebody hostile."""
    keys = [name for name in WORDS if any(isinstance(row.get(name), str) for row in rows)]
    kept = lambda value: not isinstance(value, str) or value in SPARED or value.startswith("(")  # noqa: E731
    return [row | {key: row[key] if kept(row.get(key)) else f"{row[key]}{evil}" for key in keys} for row in rows]


def images(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (*shape, 8, 8, 3))


SHARES = np.random.default_rng(1).dirichlet(np.ones(6), 3)
FIGURES: dict[str, Callable[[Callable[[Rows], Rows], str], Drawing | None]] = {
    "error_by_layer": lambda spoil, evil: error_by_layer.figure(tables.frame("parity", spoil(passing())), LAYERS),
    "throughput": lambda spoil, evil: throughput.throughput(
        tables.frame("speed", spoil(speed_rows.tables()["speed"])), tables.frame("sample", ())
    ),
    "devices": lambda spoil, evil: throughput.devices(
        tables.frame("speed", spoil(speed_rows.split_tables()["speed"])), tables.frame("sample", [])
    ),
    "time_by_layer": lambda spoil, evil: time_by_layer.figure(
        tables.frame("layer", spoil(speed_rows.layers("torch", "tuned") + speed_rows.layers("jax", "stock")))
    ),
    "roofline": lambda spoil, evil: roofline.figure(
        tables.frame("layer", spoil(speed_rows.layers("torch", "tuned") + speed_rows.layers("jax", "stock"))),
        tables.frame("peak", speed_rows.peaks()),
    ),
    "curves": lambda spoil, evil: curves.figure(
        *(tables.frame(kind, spoil(training_rows.tables()[kind])) for kind in ("training", "loss"))
    ),
    "departures": lambda spoil, evil: departures.figure(
        tables.frame("audit", spoil(audit_rows.audit())), {"network": f"a{evil}", "against": f"b{evil}"}
    ),
    "figure1": lambda spoil, evil: figure1.figure(
        tables.frame("training-error", spoil(paper_rows.tables()["training-error"]))
    ),
    "figure3": lambda spoil, evil: figure3.figure(
        np.random.default_rng(0).normal(size=(5, 5, 3, 20)), 2, title=f"t{evil}", said=f"s{evil}", signature=f"a:{evil}"
    ),
    "figure4.top5": lambda spoil, evil: figure4.top5(
        images(3), [0, 1, 2], [f"class {place}{evil}" for place in range(6)], SHARES, said=f"s{evil}", signature=evil
    ),
    "figure4.neighbours": lambda spoil, evil: figure4.neighbours(
        images(2), images(2, 4), np.arange(8.0).reshape(2, 4), query_names=[f"a{evil}"] * 2,
        near_names=[[f"a{evil}"] * 2 + [f"b{evil}"] * 2] * 2, said=f"s{evil}", signature=evil,
    ),
}  # fmt: skip


def drawing(name: str, evil: str = "") -> Drawing:
    drawn = FIGURES[name](lambda rows: spoiled(rows, evil) if evil else rows, evil)
    assert drawn is not None
    return drawn


plain = cache(drawing)


@pytest.mark.parametrize("name", FIGURES)
def test_every_mark_of_a_page_tells_its_value(name: str) -> None:
    drawn = plain(name)
    noted = [point for mark in drawn.marks.values() for point in mark.points]
    told = ET.fromstring(svg.prepared(svg.drawn(drawn), "p", "alt"))
    assert len(list(told.iter("title"))) == len(noted)
    assert all(re.search(r"\w", at) and re.search(r"\d|NaN", value) for at, value in noted)
    assert bool(noted) == (name != "figure3")  # kernels are seen, not told
    assert not [key for key in drawn.marks if not re.fullmatch("[A-Za-z0-9-]+", key)]
    switched = {group.get("data-series") for group in told.iter("g")} - {None}
    assert switched == {mark.series for mark in drawn.marks.values()}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_text_and_the_palette_and_the_same_bytes_again(name: str, tmp_path: Path) -> None:
    assert style.save(plain(name), tmp_path / "a.png") == ["a.png", "a.svg"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "a.svg"]
    style.save(drawing(name), tmp_path / "b.png")
    first, second = ([(tmp_path / f"{file}.{end}").read_bytes() for end in ("png", "svg")] for file in "ab")
    assert first == second and first[0].startswith(b"\x89PNG")
    shown = first[1].decode()
    assert shown == style.svg(plain(name)) and shown.startswith("<?xml") and "Matplotlib" not in shown
    assert {found.lower() for found in re.findall(r"(?<!href=\")#[0-9a-fA-F]{6}\b", shown)} <= set(PALETTE.values())
    assert not re.search(r"(fill|stroke): (?!none|#|url)", shown)
    assert shown.count("<text") > 5
    assert all("fill: #" in said for said in re.findall(r"<text[^>]*>", shown))  # black would stay black on dark paper


@pytest.mark.parametrize("evil", [EVIL, LONG])
@pytest.mark.parametrize("name", FIGURES)
def test_hostile_names_are_words_on_the_paper(name: str, evil: str) -> None:
    drawn = drawing(name, evil)
    check(drawn)
    shown = style.svg(drawn)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]|<script|\\\\mathdefault", shown)
    assert evil == LONG or "$x$" in "".join(ET.fromstring(shown).itertext())
    noted = [
        word for mark in drawn.marks.values() for point in mark.points for word in (mark.series, mark.panel, *point)
    ]
    assert not [word for word in noted if re.search("[\x00-\x1f\u202e]", word)]


def test_the_users_own_style_changes_nothing(tmp_path: Path) -> None:
    import matplotlib as mpl

    plain = style.svg(drawing("departures"))
    with mpl.rc_context({"font.size": 20.0, "axes.facecolor": "red", "svg.fonttype": "path", "lines.linewidth": 9.0}):
        assert style.svg(drawing("departures")) == plain
        assert mpl.rcParams["font.size"] == 20.0


def test_series_beyond_the_colours_have_other_shapes() -> None:
    places = style.places([{"framework": f"mine{number}"} for number in range(9)])
    looks = [style.look(place) for place in places.values()]
    assert list(places)[:3] == ["torch", "tensorflow", "jax"] and len(looks) == 12
    assert len({(look["color"], look["marker"]) for look in looks}) == 12
    assert style.look(0, hollow=True)["markerfacecolor"] == style.PAPER


def test_a_long_name_is_cut_in_its_middle_and_folded() -> None:
    name = "./a/long/path/to/somebodys_network.py:build"
    assert style.short("torch") == "torch"
    assert style.short(name) == "./a/long…work.py:build" or len(style.short(name)) == style.MAX_NAME
    assert style.short(name).startswith("./a/") and style.short(name).endswith(".py:build")
    assert max(map(len, style.folded("x" * 500).split("\n"))) <= style.MAX_NAME


# Parity


def test_every_framework_and_tuning_is_in_the_legend() -> None:
    drawn = error_by_layer.figure(tables.frame("parity", passing()), LAYERS)
    assert drawn is not None
    check(drawn)
    pairs = [f"{name} {tuning}" for name in sorted(FRAMEWORKS) for tuning in ("stock", "tuned")]
    assert legend(drawn) == ["rounding gauge (1 σ)", "float32 NumPy", *pairs]
    assert drawn.panels[0].get_yscale() == "log"
    assert "paper, float32" in words(drawn)
    assert "|framework:torch-2.13.0,tensorflow-2.21.0,jax-0.10.2|precision:float32" in said(drawn)


def test_layers_stand_in_the_networks_order() -> None:
    rows = [parity_rows.row("forward", "torch", name) for name in ("fc2", "conv1", "extra")]
    drawn = error_by_layer.figure(tables.frame("parity", rows), LAYERS)
    assert drawn is not None
    assert [label.get_text() for label in drawn.panels[0].get_xticklabels()] == ["conv1", "fc2", "extra"]


def test_the_curve_is_the_worst_relative_error_of_a_layers_cases() -> None:
    rows = [
        parity_rows.row("forward", "torch", "conv1", rms_error=error, reference_rms=4.0) for error in (1e-6, 8e-6, 2e-6)
    ]
    drawn = error_by_layer.figure(tables.frame("parity", rows), ["conv1"])
    assert drawn is not None
    [line] = [line for line in drawn.panels[0].get_lines() if line.get_label() == "torch stock"]
    assert list(line.get_ydata()) == [2e-6]  # type: ignore[arg-type]
    assert marks(drawn, "torch stock") == [("conv1", "2e-06")]
    assert marks(drawn, "rounding gauge (1 σ)") == [("conv1", "1e-07")]


def test_no_point_stands_at_a_layer_that_was_not_measured() -> None:
    """The row of fc2 tells of norm1, which nobody returned."""
    rows = [
        {**parity_rows.row("forward", "mine", "fc2", rms_error=0.5), "layer": "norm1"},
        parity_rows.row("forward", "mine", "norm1", verdict="not-observed", rms_error=None, reference_rms=None),
    ]
    drawn = error_by_layer.figure(tables.frame("parity", rows), LAYERS)
    assert drawn is not None
    assert [label.get_text() for label in drawn.panels[0].get_xticklabels()] == ["fc2"]
    assert marks(drawn, "mine stock") == [("fc2", "0.5")]


@pytest.mark.parametrize("error", [0.0, math.nan, math.inf])
def test_what_a_log_scale_cannot_show_is_still_drawn(error: float) -> None:
    drawn = error_by_layer.figure(
        tables.frame("parity", [parity_rows.row("forward", "mine", "conv1", rms_error=error)]), []
    )
    assert drawn is not None
    check(drawn)
    edges = drawn.panels[0].get_ylim()
    shown = [y for line in drawn.panels[0].get_lines() for y in list(line.get_ydata())]  # type: ignore[arg-type]
    assert edges[0 if error == 0 else 1] in shown
    assert marks(drawn, "mine stock") == [("conv1", str(error) if error else "0")]
    assert ("on the axis: exactly equal" if error == 0 else "NaN" if math.isnan(error) else "inf") in words(drawn)


def test_rows_without_a_reference_are_nothing_to_draw() -> None:
    rows = [
        parity_rows.row("layer", "torch", "conv1"),
        parity_rows.row("forward", "torch", "conv1", reference_rms=None),
    ]
    assert error_by_layer.figure(tables.frame("parity", rows), LAYERS) is None


# Audit


def audited(rows: Rows) -> Drawing:
    drawn = departures.figure(tables.frame("audit", rows), audit_rows.RUN)
    assert drawn is not None
    check(drawn)
    return drawn


def departure(*values: float, place: str = "norm1") -> dict[str, Any]:
    return audit_rows.row("lrn-k", place, "1", "2", "another function", **audit_rows.measured(*values))


def test_measured_departures_have_two_bars_each() -> None:
    drawn = audited(audit_rows.audit())
    assert len(drawn.panels[0].patches) == 2 * 4
    shown = [text.get_text() for text in texts(drawn)]
    for wanted in ("lrn-alpha of norm1, norm2", "42.1 %", "order of conv5", "0", "all together", "logits", "gradient"):
        assert wanted in shown
    assert ("lrn-alpha of norm1, norm2", "42.1 %") in marks(drawn, "logits")


def test_a_longer_bar_is_a_larger_change() -> None:
    bars = audited([departure(0.4, 0.02)]).panels[0].patches
    assert [bar.get_width() + bar.get_x() for bar in bars] == pytest.approx([0.4, 0.02])  # type: ignore[attr-defined]


@pytest.mark.parametrize(("count", "size"), [(1, 1e-13), (2, 1e9), (3, 1e-6), (20, 0.5)])
def test_any_number_and_any_size_of_changes_can_be_read(count: int, size: float) -> None:
    place = "conv1, conv2, conv3, conv4, conv5, fc6, fc7 and $another_ of a long name"
    audited([departure(size, 2 * size, place=place)] * count)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_leaves_the_others_drawn(value: float) -> None:
    assert len(audited([departure(value, value), *audit_rows.audit()]).panels[0].patches) == 2 * 4


def test_without_a_measurement_there_is_no_picture() -> None:
    unmeasured = [one for one in audit_rows.audit() if one["logits_change"] is None]
    assert unmeasured
    assert departures.figure(tables.frame("audit", unmeasured), audit_rows.RUN) is None
