"""The paper's figures from one's own run: what is drawn is what was given, and it can be read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import check, texts
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from paper_rows import errors

from reports.figures import figure1 as figure1_plot
from reports.figures import figure3 as figure3_plot
from reports.figures import figure4 as figure4_plot

SIGNATURE = "alexbench:0.1.0|network:paper|weights:3f2a"


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in texts(figure)]


def pixels(figure: Figure) -> list[NDArray[Any]]:
    """Of every image, panel by panel."""
    return [np.asarray(image.get_array()) for axes in figure.axes for image in axes.get_images()]


def kernels(count: int, channels: int = 3, side: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.1, (side, side, channels, count)).astype(np.float32)


# Figure 3


def test_each_tower_has_its_own_half_of_the_kernels(figures: list[Figure], tmp_path: Path) -> None:
    given = kernels(96)
    given[..., 48:] = 0  # the second tower's
    figure3_plot.draw(given, 2, tmp_path / "f.png", said="conv1 of paper", signature=SIGNATURE)
    [figure] = figures
    check(figure)
    first, second = figure.axes
    assert [len(axes.get_images()) for axes in figure.axes] == [48, 48]
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Tower 1: kernels 1 to 48",
        "Tower 2: kernels 49 to 96",
    ]
    assert all(np.all(np.asarray(image.get_array()) == 0.5) for image in second.get_images())
    assert all(np.std(np.asarray(image.get_array())) > 0.05 for image in first.get_images())
    assert first.get_position().y0 > second.get_position().y1
    assert SIGNATURE in words(figure)


def test_all_kernels_share_one_scale_on_which_grey_is_zero(figures: list[Figure], tmp_path: Path) -> None:
    given = np.zeros((3, 3, 1, 4))
    given[..., 1], given[..., 2], given[..., 3] = 0.1, 0.2, -0.2
    figure3_plot.draw(given, 1, tmp_path / "f.png")
    tiles = [float(tile.mean()) for tile in pixels(figures[0])]
    assert tiles == pytest.approx([0.5, 0.75, 1.0, 0.0])


def test_the_channels_of_a_kernel_are_its_colours(figures: list[Figure], tmp_path: Path) -> None:
    given = np.zeros((2, 3, 3, 1))
    given[0, 2, 0, 0] = 1.0
    figure3_plot.draw(given, 1, tmp_path / "f.png")
    [tile] = pixels(figures[0])
    assert tile.shape == (2, 3, 3)
    assert tile[0, 2].tolist() == [1.0, 0.5, 0.5]
    assert np.all(tile[1] == 0.5)


@pytest.mark.parametrize(("count", "channels", "towers"), [(1, 1, 1), (2, 3, 2), (20, 1, 1), (64, 3, 1), (256, 3, 2)])
def test_any_number_of_kernels_is_drawn(
    count: int, channels: int, towers: int, figures: list[Figure], tmp_path: Path
) -> None:
    figure3_plot.draw(kernels(count, channels), towers, tmp_path / "f.png", said="a long line " * 20)
    check(figures[0])
    assert len(pixels(figures[0])) == count


def test_weights_that_are_no_numbers_are_seen_and_counted(figures: list[Figure], tmp_path: Path) -> None:
    given = kernels(4)
    given[0, 0, 0, 0] = np.nan
    given[1, 1, :, 2] = np.inf
    figure3_plot.draw(given, 1, tmp_path / "f.png")
    assert "4 weights not a number, in magenta" in " ".join(words(figures[0])).replace("\n", " ")
    tiles = pixels(figures[0])
    assert tiles[0][0, 0].tolist() == [1, 0, 1] and tiles[2][1, 1].tolist() == [1, 0, 1]
    assert all(np.isfinite(tile).all() for tile in tiles)


@pytest.mark.parametrize(
    ("shape", "towers", "said"),
    [
        ((5, 5, 4, 8), 1, r"\[5, 5, 4, 8\]"),
        ((5, 5, 3), 1, "expected"),
        ((5, 5, 3, 9), 2, "9 kernels"),
        ((0, 5, 3, 2), 1, "expected"),
    ],
)
def test_kernels_that_cannot_be_shown_are_refused(
    shape: tuple[int, ...], towers: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=said):
        figure3_plot.draw(np.zeros(shape), towers, tmp_path / "f.png")


# Figure 4


def images(count: int, side: int = 8, channels: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, channels)).astype(np.uint8)


def bars(figure: Figure) -> list[tuple[float, str]]:
    """Length and colour of each bar."""
    found = [patch for axes in figure.axes for patch in axes.patches if isinstance(patch, Rectangle)]
    return [(patch.get_width(), to_hex(patch.get_facecolor()).upper()) for patch in found]


def test_bars_are_the_five_likeliest_classes_and_the_true_one_has_its_colour(
    figures: list[Figure], tmp_path: Path
) -> None:
    names = [f"class {index}" for index in range(7)]
    shares = np.array([[0.05, 0.4, 0.01, 0.2, 0.3, 0.0, 0.04]])
    figure4_plot.draw_top5(images(1), [3], names, shares, tmp_path / "f.png", signature=SIGNATURE)
    check(figures[0])
    found = bars(figures[0])
    assert [length / figure4_plot.SIDE for length, _ in found] == pytest.approx([0.4, 0.3, 0.2, 0.05, 0.04])
    assert [colour == figure4_plot.RIGHT for _, colour in found] == [False, False, True, False, False]
    said = [word for word in words(figures[0]) if word.startswith("class")]
    assert said == ["class 3", "class 1", "class 4", "class 3", "class 0", "class 6"]
    assert SIGNATURE in words(figures[0])


@pytest.mark.parametrize(("count", "classes", "side"), [(1, 2, 8), (3, 10, 28), (8, 1000, 256), (40, 5, 8)])
def test_any_number_of_images_is_drawn(
    count: int, classes: int, side: int, figures: list[Figure], tmp_path: Path
) -> None:
    shares = np.random.default_rng(2).dirichlet(np.ones(classes), count)
    names = [f"a class with a very long name, number {index}" for index in range(classes)]
    given = images(count, side, 3)
    figure4_plot.draw_top5(given, [0] * count, names, shares, tmp_path / "f.png", said="These are some words. " * 20)
    check(figures[0])
    shown = min(count, figure4_plot.MOST_IMAGES)
    assert len(pixels(figures[0])) == shown
    assert np.array_equal(pixels(figures[0])[shown - 1], given[shown - 1])
    assert len(bars(figures[0])) == shown * min(5, classes)


def test_a_share_is_nothing_or_all_only_where_it_is(figures: list[Figure], tmp_path: Path) -> None:
    shares = np.array([[0.996, 0.004, 0.0], [1.0, 0.0, 0.0]])
    figure4_plot.draw_top5(images(2), [0, 0], ["a", "b", "c"], shares, tmp_path / "f.png")
    assert [word for word in words(figures[0]) if word.endswith("%")] == [">99%", "<1%", "0%", "100%", "0%", "0%"]


def test_probabilities_that_are_no_numbers_are_drawn_last(figures: list[Figure], tmp_path: Path) -> None:
    shares = np.array([[math.nan, 0.6, 0.4]])
    figure4_plot.draw_top5(images(1), [0], ["a", "b", "c"], shares, tmp_path / "f.png")
    assert [length / figure4_plot.SIDE for length, _ in bars(figures[0])] == pytest.approx([0.6, 0.4, 0])
    assert "NaN" in words(figures[0])


@pytest.mark.parametrize(
    ("labels", "shares"),
    [([0], np.zeros((2, 3))), ([0, 1], np.zeros((2, 4))), ([0, 3], np.zeros((2, 3))), ([0, -1], np.zeros((2, 3)))],
)
def test_arguments_that_do_not_fit_are_refused(labels: list[int], shares: NDArray[Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="labels"):
        figure4_plot.draw_top5(images(2), labels, ["a", "b", "c"], shares, tmp_path / "f.png")


def test_neighbours_stand_beside_their_image_nearest_first(figures: list[Figure], tmp_path: Path) -> None:
    queries, near = images(2), images(12).reshape(2, 6, 8, 8, 1)
    figure4_plot.draw_neighbours(
        queries, near, np.arange(12).reshape(2, 6) / 4, tmp_path / "f.png", query_names=["0", "1"],
        neighbour_names=[["0"] * 6, ["1"] * 5 + ["7"]], said="features of fc7", signature=SIGNATURE,
    )  # fmt: skip
    [figure] = figures
    check(figure)
    shown = pixels(figure)
    assert len(shown) == 14
    for line in range(2):
        assert np.array_equal(shown[7 * line][..., :1], queries[line])
        assert all(np.array_equal(shown[7 * line + 1 + k][..., :1], near[line, k]) for k in range(6))
    assert [word for word in words(figure) if "  " in word][:2] == ["0  0", "0  0.25"]
    other = [text.get_text() for text in texts(figure) if text.get_style() == "italic"]
    assert other == ["7  2.75"]  # the one neighbour of another class


def test_neighbours_need_no_names(figures: list[Figure], tmp_path: Path) -> None:
    figure4_plot.draw_neighbours(
        images(1, 28, 3), images(3, 28, 3)[None], np.array([[1.0, math.nan, 2e9]]), tmp_path / "f.png"
    )
    check(figures[0])
    assert {"1", "nan", "2e+09"} <= set(words(figures[0]))


@pytest.mark.parametrize(
    ("near", "far"), [((2, 6, 8, 8, 1), (2, 5)), ((1, 6, 8, 8, 1), (1, 6)), ((2, 8, 8, 1), (2, 6))]
)
def test_neighbours_that_do_not_fit_are_refused(near: Any, far: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected"):
        figure4_plot.draw_neighbours(images(2), np.zeros(near), np.zeros(far), tmp_path / "f.png")


# Figure 1


def test_the_curves_are_those_of_the_paper_and_meet_the_target_where_they_say(
    figures: list[Figure], tmp_path: Path
) -> None:
    rows = errors("relu", halving=2.0, epochs=20) + errors("tanh", halving=6.0, epochs=20)
    figure1_plot.draw(rows, tmp_path / "f.png", said="miniature on digits")
    [figure] = figures
    check(figure)
    solid, dashed = (line for line in figure.axes[0].get_lines() if line.get_linewidth() == 2.0)
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    met = {variant: figure1_plot.reached(given[-1]) for variant, given in figure1_plot.curves(rows).items()}
    assert met["relu"] == pytest.approx(2 * math.log2(0.9 / 0.25), abs=0.05)
    assert met["tanh"] == pytest.approx(6 * math.log2(0.9 / 0.25), abs=0.05)
    assert "3.0 times as many (paper: 6, on CIFAR-10)" in " ".join(words(figure)).replace("\n", " ")
    assert {f"{value:.3g}" for value in met.values() if value} <= set(words(figure))


@pytest.mark.parametrize(
    ("relu", "tanh", "epochs", "said"),
    [
        (2.0, 200.0, 12, "after 3.73 epochs with ReLU, not within 12 with tanh: at least 3.2 times as many"),
        (200.0, 2.0, 12, "not within 12 with ReLU, after 3.73 epochs with tanh (paper"),
        (200.0, 200.0, 5, "Neither came down to 25 % training error within 5 epochs"),
        (0.4, 2.0, 12, "after at most 1 epoch with ReLU, after 3.73 epochs with tanh: at least 3.7 times"),
        (0.4, 0.4, 12, "after at most 1 epoch with ReLU, after at most 1 epoch with tanh (paper"),
        (0.4, 200.0, 1, "after at most 1 epoch with ReLU, not within 1 with tanh (paper"),
    ],
)
def test_the_ratio_claims_no_more_than_was_seen(
    relu: float, tanh: float, epochs: int, said: str, figures: list[Figure], tmp_path: Path
) -> None:
    rows = errors("relu", halving=relu, epochs=epochs) + errors("tanh", halving=tanh, epochs=epochs)
    assert said in figure1_plot.verdict(rows)
    figure1_plot.draw(rows, tmp_path / "f.png")
    check(figures[0])


def test_seeds_are_drawn_thin_and_their_mean_bold(figures: list[Figure], tmp_path: Path) -> None:
    rows = [row for seed in range(3) for row in errors("relu", 100 * seed) + errors("tanh", seed, 5.0, 9)]
    figure1_plot.draw(rows, tmp_path / "f.png")
    widths = [line.get_linewidth() for line in figures[0].axes[0].get_lines()]
    assert (widths.count(0.6), widths.count(2.0)) == (6, 2)
    bold = figure1_plot.curves(rows)["relu"][-1]
    assert bold[0][1] == pytest.approx(0.9 * 0.5**0.5 + 0.1)


def test_frameworks_are_curves_of_their_own() -> None:
    rows = errors("relu") + errors("relu", framework="jax", training_error=0.5)
    assert len(figure1_plot.curves(rows)["relu"]) == 3


def test_a_training_that_broke_down_leaves_a_gap(figures: list[Figure], tmp_path: Path) -> None:
    broken = [row | ({"training_error": math.nan} if row["epoch"] > 4 else {}) for row in errors("tanh", halving=3.0)]
    figure1_plot.draw(errors("relu") + broken, tmp_path / "f.png")
    check(figures[0])
    assert any(word.startswith("tanh") and word.endswith("NaN") for word in words(figures[0]))


def test_one_curve_alone_is_nothing_to_compare(tmp_path: Path) -> None:
    assert not figure1_plot.drawable(errors("relu"))
    assert not figure1_plot.verdict(errors("relu"))
    with pytest.raises(ValueError, match="relu"):
        figure1_plot.draw(errors("relu"), tmp_path / "f.png")
