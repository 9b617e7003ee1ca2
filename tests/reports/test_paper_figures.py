"""The paper's figures from one's own run: what is drawn is what was given, and it can be read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from drawn import check, legend, marks, said, texts, words
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from paper_rows import errors

from reports import tables
from reports.figures import figure1, figure3, figure4
from reports.figures.style import Drawing

SIGNATURE = "alexbench:0.1.0|network:paper|weights:3f2a"


def checked(drawn: Drawing | None) -> Drawing:
    assert drawn is not None
    check(drawn)
    return drawn


def pixels(drawn: Drawing) -> list[NDArray[Any]]:
    """Of every image."""
    return [np.asarray(image.get_array()) for axes in drawn.panels for image in axes.get_images()]


def kernels(count: int, channels: int = 3, side: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.1, (side, side, channels, count)).astype(np.float32)


def tiles(drawn: Drawing, count: int, side: int = 5) -> list[NDArray[Any]]:
    """[side, side, 3] of each kernel in the first tower's picture: a pixel in the middle of each weight."""
    [image, *_] = pixels(drawn)
    columns = min(figure3.COLUMNS, count)
    step = math.ceil(figure3.PIXELS / side)
    pitch = (image.shape[1] + round(figure3.GAP * side * step)) // columns
    found = []
    for place in range(count):
        top, left = place // columns * pitch, place % columns * pitch
        found.append(image[top : top + side * step : step, left : left + side * step : step][..., :3])
    return found


# Figure 3


def test_each_tower_has_its_own_half_of_the_kernels() -> None:
    given = kernels(96)
    given[..., 48:] = 0  # the second tower's
    drawn = checked(figure3.figure(given, 2, said="conv1 of paper", signature=SIGNATURE))
    first, second = drawn.panels
    assert [axes.get_title(loc="left") for axes in drawn.panels] == [
        "Tower 1: kernels 1 to 48",
        "Tower 2: kernels 49 to 96",
    ]
    colours, grey = (image[image[..., 3] == 1][:, :3] for image in pixels(drawn))  # where it is not transparent
    assert np.all(grey == 0.5) and np.std(colours) > 0.05
    assert first.get_position().y0 > second.get_position().y1
    assert SIGNATURE in words(drawn)


def test_all_kernels_share_one_scale_on_which_grey_is_zero() -> None:
    given = np.zeros((3, 3, 1, 4))
    given[..., 1], given[..., 2], given[..., 3] = 0.1, 0.2, -0.2
    found = tiles(figure3.figure(given, 1), 4, side=3)
    assert [float(tile.mean()) for tile in found] == pytest.approx([0.5, 0.75, 1.0, 0.0])
    assert all(np.ptp(tile) == 0 for tile in found)


def test_the_channels_of_a_kernel_are_its_colours() -> None:
    given = np.zeros((3, 3, 3, 1))
    given[0, 2, 0, 0] = 1.0
    [tile] = tiles(figure3.figure(given, 1), 1, side=3)
    assert tile[0, 2].tolist() == [1.0, 0.5, 0.5]
    assert np.all(tile[1] == 0.5) and np.all(tile[0, :2] == 0.5)


@pytest.mark.parametrize(("count", "channels", "towers"), [(1, 1, 1), (2, 3, 2), (20, 1, 1), (64, 3, 1), (256, 3, 2)])
def test_any_number_of_kernels_is_drawn(count: int, channels: int, towers: int) -> None:
    given = kernels(count, channels)
    drawn = checked(figure3.figure(given, towers, said="a long line " * 20))
    shown = tiles(drawn, count // towers)
    most = np.quantile(np.abs(given), figure3.WHITEST)
    for place in (0, count // towers - 1):
        expected = np.clip(0.5 + given[..., place] / (2 * most), 0, 1)
        assert shown[place] == pytest.approx(np.broadcast_to(expected, (5, 5, 3)), abs=1e-6)


def test_weights_that_are_no_numbers_are_seen_and_counted() -> None:
    given = kernels(4)
    given[0, 0, 0, 0] = np.nan
    given[1, 1, :, 2] = np.inf
    drawn = figure3.figure(given, 1)
    assert "4 weights not a number, in magenta" in said(drawn)
    found = tiles(drawn, 4)
    assert found[0][0, 0].tolist() == [1, 0, 1] and found[2][1, 1].tolist() == [1, 0, 1]
    assert all(np.isfinite(tile).all() for tile in found)


@pytest.mark.parametrize(
    ("shape", "towers", "reason"),
    [
        ((5, 5, 4, 8), 1, r"\[5, 5, 4, 8\]"),
        ((5, 5, 3), 1, "expected"),
        ((5, 5, 3, 9), 2, "9 kernels"),
        ((0, 5, 3, 2), 1, "expected"),
    ],
)
def test_kernels_that_cannot_be_shown_are_refused(shape: tuple[int, ...], towers: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        figure3.figure(np.zeros(shape), towers)


# Figure 4


def images(count: int, side: int = 8, channels: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, channels)).astype(np.uint8)


def bars(drawn: Drawing) -> list[tuple[float, str]]:
    """Length and colour of each bar."""
    found = [patch for axes in drawn.panels for patch in axes.patches if isinstance(patch, Rectangle)]
    return [(patch.get_width(), to_hex(patch.get_facecolor())) for patch in found]


def test_bars_are_the_five_likeliest_classes_and_the_true_one_has_its_colour() -> None:
    names = [f"class {index}" for index in range(7)]
    shares = np.array([[0.05, 0.4, 0.01, 0.2, 0.3, 0.0, 0.04]])
    drawn = checked(figure4.top5(images(1), [3], names, shares, signature=SIGNATURE))
    assert [length for length, _ in bars(drawn)] == pytest.approx([0.4, 0.3, 0.2, 0.05, 0.04])
    assert [colour == figure4.RIGHT for _, colour in bars(drawn)] == [False, False, True, False, False]
    shown = [word for word in words(drawn) if word.startswith("class")]
    assert shown == ["class 3", "class 1", "class 4", "class 3", "class 0", "class 6"]
    assert marks(drawn, "the true class") == [("image 1: class 3", "20%")]
    assert SIGNATURE in words(drawn)


@pytest.mark.parametrize(("count", "classes", "side"), [(1, 2, 8), (3, 10, 28), (8, 1000, 256), (40, 5, 8)])
def test_any_number_of_images_is_drawn(count: int, classes: int, side: int) -> None:
    shares = np.random.default_rng(2).dirichlet(np.ones(classes), count)
    names = [f"a class with a very long name, number {index}" for index in range(classes)]
    given = images(count, side, 3)
    drawn = checked(figure4.top5(given, [0] * count, names, shares, said="These are some words. " * 20))
    shown = min(count, figure4.MAX_IMAGES)
    assert len(pixels(drawn)) == shown
    assert np.array_equal(pixels(drawn)[shown - 1], given[shown - 1])
    assert len(bars(drawn)) == shown * min(5, classes)


def test_a_share_is_nothing_or_all_only_where_it_is() -> None:
    shares = np.array([[0.996, 0.004, 0.0], [1.0, 0.0, 0.0]])
    drawn = figure4.top5(images(2), [0, 0], ["a", "b", "c"], shares)
    assert [word for word in words(drawn) if word.endswith("%")] == [">99%", "<1%", "0%", "100%", "0%", "0%"]


def test_probabilities_that_are_no_numbers_are_drawn_last() -> None:
    drawn = figure4.top5(images(1), [0], ["a", "b", "c"], np.array([[math.nan, 0.6, 0.4]]))
    assert [length for length, _ in bars(drawn)] == pytest.approx([0.6, 0.4, 0])
    assert "NaN" in words(drawn) and marks(drawn, "the true class") == [("image 1: a", "NaN")]


@pytest.mark.parametrize(
    ("labels", "shares"),
    [([0], np.zeros((2, 3))), ([0, 1], np.zeros((2, 4))), ([0, 3], np.zeros((2, 3))), ([0, -1], np.zeros((2, 3)))],
)
def test_arguments_that_do_not_fit_are_refused(labels: list[int], shares: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="labels"):
        figure4.top5(images(2), labels, ["a", "b", "c"], shares)


def test_neighbours_stand_beside_their_image_nearest_first() -> None:
    queries, near = images(2), images(12).reshape(2, 6, 8, 8, 1)
    drawn = checked(
        figure4.neighbours(
            queries, near, np.arange(12).reshape(2, 6) / 4, query_names=["0", "1"],
            near_names=[["0"] * 6, ["1"] * 5 + ["7"]], said="features of fc7", signature=SIGNATURE,
        )
    )  # fmt: skip
    shown = pixels(drawn)
    assert len(shown) == 14
    for line in range(2):
        assert np.array_equal(shown[7 * line][..., :1], queries[line])
        assert all(np.array_equal(shown[7 * line + 1 + k][..., :1], near[line, k]) for k in range(6))
    assert [word for word in words(drawn) if ", " in word][:2] == ["0, 0", "0, 0.25"]
    other = [text.get_text() for text in texts(drawn) if text.get_style() == "italic"]
    assert other == ["7, 2.75"]  # the one neighbour of another class
    assert marks(drawn, "neighbours of another class") == [("test image 2, neighbour 6", "7, 2.75")]


def test_neighbours_need_no_names() -> None:
    drawn = checked(figure4.neighbours(images(1, 28, 3), images(3, 28, 3)[None], np.array([[1.0, math.nan, 2e9]])))
    assert {"1", "nan", "2e+09"} <= set(words(drawn))


@pytest.mark.parametrize(
    ("near", "far"), [((2, 6, 8, 8, 1), (2, 5)), ((1, 6, 8, 8, 1), (1, 6)), ((2, 8, 8, 1), (2, 6))]
)
def test_neighbours_that_do_not_fit_are_refused(near: Any, far: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        figure4.neighbours(images(2), np.zeros(near), np.zeros(far))


# Figure 1


def trained(rows: list[dict[str, Any]]) -> Drawing:
    return checked(figure1.figure(tables.frame("training-error", rows)))


def test_the_curves_are_those_of_the_paper_and_meet_the_target_where_they_say() -> None:
    rows = errors("relu", halving=2.0, epochs=20) + errors("tanh", halving=6.0, epochs=20)
    drawn = trained(rows)
    solid, dashed = (line for line in drawn.panels[0].get_lines() if line.get_linewidth() == 2.0)
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    met = {variant: figure1.reached(given[-1]) for variant, given in figure1.curves(rows).items()}
    assert met["relu"] == pytest.approx(2 * math.log2(0.9 / 0.25), abs=0.05)
    assert met["tanh"] == pytest.approx(6 * math.log2(0.9 / 0.25), abs=0.05)
    assert "miniature on digits. 25 %" in said(drawn) and "3.0 times as many (paper: 6, on CIFAR-10)" in said(drawn)
    assert {f"{value:.3g}" for value in met.values() if value} <= set(words(drawn))
    assert marks(drawn, "ReLU")[0] == ("1 epoch", "63.64 %") and len(marks(drawn, "ReLU")) == 20 + 1


@pytest.mark.parametrize(
    ("relu", "tanh", "epochs", "told"),
    [
        (2.0, 200.0, 12, "after 3.73 epochs with ReLU, not within 12 with tanh: at least 3.2 times as many"),
        (200.0, 2.0, 12, "not within 12 with ReLU, after 3.73 epochs with tanh (paper"),
        (200.0, 200.0, 5, "Neither came down to 25 % training error within 5 epochs"),
        (0.4, 2.0, 12, "after at most 1 epoch with ReLU, after 3.73 epochs with tanh: at least 3.7 times"),
        (0.4, 0.4, 12, "after at most 1 epoch with ReLU, after at most 1 epoch with tanh (paper"),
        (0.4, 200.0, 1, "after at most 1 epoch with ReLU, not within 1 with tanh (paper"),
    ],
)
def test_the_ratio_claims_no_more_than_was_seen(relu: float, tanh: float, epochs: int, told: str) -> None:
    assert told in said(
        trained(errors("relu", halving=relu, epochs=epochs) + errors("tanh", halving=tanh, epochs=epochs))
    )


def test_seeds_are_drawn_thin_and_their_mean_bold() -> None:
    rows = [row for seed in range(3) for row in errors("relu", 100 * seed) + errors("tanh", seed, 5.0, 9)]
    widths = [line.get_linewidth() for line in trained(rows).panels[0].get_lines()]
    assert (widths.count(0.6), widths.count(2.0)) == (6, 2)
    bold = figure1.curves(rows)["relu"][-1]
    assert bold[0][1] == pytest.approx(0.9 * 0.5**0.5 + 0.1)


def test_frameworks_are_curves_of_their_own() -> None:
    rows = errors("relu") + errors("relu", framework="jax", training_error=0.5)
    assert len(figure1.curves(rows)["relu"]) == 3


def test_a_training_that_broke_down_leaves_a_gap() -> None:
    broken = [row | ({"training_error": math.nan} if row["epoch"] > 4 else {}) for row in errors("tanh", halving=3.0)]
    assert "tanh  35.72 %, NaN" in legend(trained(errors("relu") + broken))


def test_one_curve_alone_is_nothing_to_compare() -> None:
    assert figure1.figure(tables.frame("training-error", errors("relu"))) is None
    assert not figure1.verdict(errors("relu"))
