"""Learning curves are drawn for any number of trainings, and can be told apart and read."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import training_rows
from drawn import check, texts
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from training_rows import epoch, losses, training

from reports.figures import curves as training_plot

Rows = list[dict[str, Any]]


def many(count: int, epochs: int = 12) -> Rows:
    """So many trainings, in three frameworks first."""
    labels = [(name, f"{name}-seed{seed}") for seed in range(4) for name in ("torch", "tensorflow", "jax")]
    return [
        row
        for place, (name, label) in enumerate(labels[:count])
        for row in training(name, label, epochs, shift=0.003 * place)
    ]


def curves(axes: Axes) -> list[Any]:
    return [line for line in axes.get_lines() if line.get_marker() not in ("", "None", None)]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in texts(figure)]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 12])
def test_any_number_of_trainings_is_drawn(count: int, figures: list[Figure], tmp_path: Path) -> None:
    training_plot.draw(many(count), [], tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    [figure] = figures
    check(figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Training loss", "Top-1 error"]
    assert [len(curves(axes)) for axes in figure.axes] == [count, count]


@pytest.mark.parametrize("count", [3, 9, 12])
def test_no_two_lines_look_alike_even_in_grey(count: int, figures: list[Figure], tmp_path: Path) -> None:
    training_plot.draw(many(count), [], tmp_path / "c.png")
    looks = [(line.get_marker(), line._dash_pattern) for line in curves(figures[0].axes[0])]
    assert len({repr(look) for look in looks}) == count


def test_nine_labels_of_one_framework_are_told_apart(figures: list[Figure], tmp_path: Path) -> None:
    rows = [row for place in range(9) for row in training("torch", f"a long label number {place}", 8, 0.02 * place)]
    training_plot.draw(rows, [], tmp_path / "c.png")
    check(figures[0])
    looks = [(line.get_color(), line.get_marker(), repr(line._dash_pattern)) for line in curves(figures[0].axes[0])]
    assert len(set(looks)) == 9


def test_lines_on_each_other_are_all_seen(figures: list[Figure], tmp_path: Path) -> None:
    rows = training("torch") + training("tensorflow") + training("jax")  # the same to the last digit
    training_plot.draw(rows, [], tmp_path / "c.png")
    check(figures[0])
    lines = curves(figures[0].axes[0])
    widths = [line.get_linewidth() for line in sorted(lines, key=lambda line: line.get_zorder())]
    assert widths == sorted(widths, reverse=True) and len(set(widths)) == 3
    marked = [set(range(*slice(line.get_markevery()[0], None, line.get_markevery()[1]).indices(15))) for line in lines]
    assert all(not one & other for one, other in itertools.combinations(marked, 2))


def test_a_single_epoch_is_a_point(figures: list[Figure], tmp_path: Path) -> None:
    training_plot.draw(training("torch", epochs=1), [], tmp_path / "c.png")
    check(figures[0])
    [line] = curves(figures[0].axes[1])
    assert list(line.get_xdata()) == [1]
    assert list(line.get_ydata()) == pytest.approx([100 * training("torch", epochs=1)[0]["top1_error"]])
    ticks = [tick for tick in figures[0].axes[0].get_xticks() if 0 <= tick <= 1.04]
    assert all(tick == round(tick) for tick in ticks)


def test_the_drops_of_the_learning_rate_are_marked_once(figures: list[Figure], tmp_path: Path) -> None:
    training_plot.draw(many(3, 15), [], tmp_path / "c.png")
    said = [word for word in words(figures[0]) if word.startswith("rate ")]
    assert said == ["rate 0.001", "rate 0.0001"] * 2
    marked = [line.get_xdata()[0] for line in figures[0].axes[0].get_lines() if line not in curves(figures[0].axes[0])]
    assert sorted(marked) == list(training_rows.DROPS)


def test_drops_of_one_training_alone_have_its_colour(figures: list[Figure], tmp_path: Path) -> None:
    rows = training("torch", epochs=10) + training("jax", epochs=10, learning_rate=0.01)
    training_plot.draw(rows, [], tmp_path / "c.png")
    axes = figures[0].axes[0]
    [drop] = [line for line in axes.get_lines() if line not in curves(axes)]
    assert drop.get_color() == curves(axes)[0].get_color()


def test_many_drops_are_marked_without_words(figures: list[Figure], tmp_path: Path) -> None:
    rows = [epoch("torch", done, learning_rate=0.01 / done) for done in range(1, 30)]
    training_plot.draw(rows, [], tmp_path / "c.png")
    assert not [word for word in words(figures[0]) if word.startswith("rate ")]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_breaks_the_line_and_is_said(
    value: float, figures: list[Figure], tmp_path: Path
) -> None:
    rows = [epoch("jax", done, **({"loss": value} if done > 4 else {})) for done in range(1, 9)]
    training_plot.draw(rows + training("torch", epochs=8), [], tmp_path / "c.png")
    check(figures[0])
    said = words(figures[0])
    assert ("NaN" if math.isnan(value) else "inf") in said
    assert "jax  NaN" in said


def test_nothing_but_nan_is_still_drawn(figures: list[Figure], tmp_path: Path) -> None:
    training_plot.draw(training("jax", epochs=2, loss=math.nan, top1_error=None), [], tmp_path / "c.png")
    check(figures[0])
    assert [axes.get_title(loc="left") for axes in figures[0].axes] == ["Training loss"]


def test_a_loss_that_fell_far_has_a_log_scale(figures: list[Figure], tmp_path: Path) -> None:
    training_plot.draw(training("torch", epochs=15), [], tmp_path / "a.png")
    training_plot.draw(training("torch", epochs=4), [], tmp_path / "b.png")
    training_plot.draw(training("torch", epochs=4, loss=0.0), [], tmp_path / "c.png")
    assert [figure.axes[0].get_yscale() for figure in figures] == ["log", "linear", "linear"]


def test_the_first_steps_have_a_panel_of_their_own(figures: list[Figure], tmp_path: Path) -> None:
    tables = training_rows.tables()
    training_plot.draw(tables["training"], tables["loss"], tmp_path / "c.png")
    check(figures[0])
    axes = figures[0].axes[2]
    assert axes.get_title(loc="left") == "Loss of the first steps"
    assert all(max(line.get_xdata()) == training_plot.FIRST_STEPS for line in curves(axes))


def test_steps_without_a_whole_epoch_are_enough(figures: list[Figure], tmp_path: Path) -> None:
    rows = [epoch("torch", 0, phase="end", top1_error=None)]
    assert training_plot.drawable(rows, losses("torch", steps=5))
    training_plot.draw(rows, losses("torch", steps=5), tmp_path / "c.png")
    assert len(figures[0].axes) == 1


def test_a_name_with_dollars_is_no_formula(figures: list[Figure], tmp_path: Path) -> None:
    training_plot.draw(training("torch", r"$\frac{", 3, data="$x^{$"), [], tmp_path / "c.png")
    assert any(r"$\frac{" in word for word in words(figures[0]))


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    assert not training_plot.drawable([], [])
    with pytest.raises(ValueError, match="nothing to draw"):
        training_plot.draw([], [], tmp_path / "c.png")
