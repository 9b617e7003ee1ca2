"""Learning curves are drawn for any number of trainings, and can be told apart and read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import training_rows
from drawn import check, legend, marks, words
from matplotlib.axes import Axes
from training_rows import epoch, losses, training

from reports import tables
from reports.figures import curves as learning
from reports.figures.style import Drawing

Rows = list[dict[str, Any]]


def many(count: int, epochs: int = 12) -> Rows:
    """So many trainings, in three frameworks first."""
    labels = [(name, f"{name}-seed{seed}") for seed in range(4) for name in ("torch", "tensorflow", "jax")]
    return [
        row
        for place, (name, label) in enumerate(labels[:count])
        for row in training(name, label, epochs, shift=0.003 * place)
    ]


def drawn(rows: Rows, steps: Sequence[dict[str, Any]] = ()) -> Drawing:
    found = learning.figure(tables.frame("training", rows), tables.frame("loss", steps))
    assert found is not None
    check(found)
    return found


def lines(axes: Axes) -> list[Any]:
    return [line for line in axes.get_lines() if line.get_marker() not in ("", "None", None)]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 12])
def test_any_number_of_trainings_is_drawn_and_no_two_look_alike_even_in_grey(count: int) -> None:
    figure = drawn(many(count))
    assert [axes.get_title(loc="left") for axes in figure.panels] == ["Training loss", "Top-1 error"]
    assert len(legend(figure)) == 2 * count
    for axes in figure.panels:
        assert len({(line.get_marker(), repr(line._dash_pattern)) for line in lines(axes)}) == count


def test_the_legend_has_the_last_values_in_the_order_in_which_the_curves_end() -> None:
    figure = drawn(many(3))
    assert legend(figure)[:3] == ["jax-seed0  0.05813", "tensorflow-seed0  0.05513", "torch-seed0  0.05213"]
    assert legend(figure)[3].endswith(" %")
    assert marks(figure, "torch-seed0")[-1] == ("epoch 10", "4.47 %")


def test_nine_labels_of_one_framework_are_told_apart() -> None:
    rows = [row for place in range(9) for row in training("torch", f"a long label number {place}", 8, 0.02 * place)]
    found = lines(drawn(rows).panels[0])
    assert len({(line.get_color(), line.get_marker(), repr(line._dash_pattern)) for line in found}) == 9


def test_lines_on_each_other_are_all_seen() -> None:
    rows = training("torch") + training("tensorflow") + training("jax")  # the same to the last digit
    found = lines(drawn(rows).panels[0])
    widths = [line.get_linewidth() for line in sorted(found, key=lambda line: line.get_zorder())]
    assert widths == sorted(widths, reverse=True) and len(set(widths)) == 3
    marked = [set(range(*slice(line.get_markevery()[0], None, line.get_markevery()[1]).indices(15))) for line in found]
    assert all(not one & other for one, other in itertools.combinations(marked, 2))


def test_a_single_epoch_is_a_point() -> None:
    figure = drawn(training("torch", epochs=1))
    [line] = lines(figure.panels[1])
    assert list(line.get_xdata()) == [1]
    assert list(line.get_ydata()) == pytest.approx([100 * training("torch", epochs=1)[0]["top1_error"]])
    ticks = [tick for tick in figure.panels[0].get_xticks() if 0 <= tick <= 1.04]
    assert all(tick == round(tick) for tick in ticks)


def test_the_drops_of_the_learning_rate_are_marked_once() -> None:
    figure = drawn(many(3, 15))
    assert [word for word in words(figure) if word.startswith("rate ")] == ["rate 0.001", "rate 0.0001"] * 2
    [axes, _] = figure.panels
    marked = [line.get_xdata()[0] for line in axes.get_lines() if line not in lines(axes)]  # type: ignore[index]
    assert sorted(marked) == list(training_rows.DROPS)


def test_drops_of_one_training_alone_have_its_colour() -> None:
    [axes, _] = drawn(training("torch", epochs=10) + training("jax", epochs=10, learning_rate=0.01)).panels
    [drop] = [line for line in axes.get_lines() if line not in lines(axes)]
    assert drop.get_color() == lines(axes)[0].get_color()


def test_many_drops_are_marked_without_words() -> None:
    figure = drawn([epoch("torch", done, learning_rate=0.01 / done) for done in range(1, 30)])
    assert not [word for word in words(figure) if word.startswith("rate ")]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_breaks_the_line_and_is_said(value: float) -> None:
    rows = [epoch("jax", done, **({"loss": value} if done > 4 else {})) for done in range(1, 9)]
    figure = drawn(rows + training("torch", epochs=8))
    assert ("NaN" if math.isnan(value) else "inf") in words(figure)
    assert legend(figure)[0] == "jax  NaN"


def test_nothing_but_nan_is_still_drawn() -> None:
    figure = drawn(training("jax", epochs=2, loss=math.nan, top1_error=None))
    assert [axes.get_title(loc="left") for axes in figure.panels] == ["Training loss"]
    assert not marks(figure, "jax")


def test_a_loss_that_fell_far_has_a_log_scale() -> None:
    for rows, scale in (
        (training("torch", epochs=15), "log"),
        (training("torch", epochs=4), "linear"),
        (training("torch", epochs=4, loss=0.0), "linear"),
    ):
        assert drawn(rows).panels[0].get_yscale() == scale


def test_the_first_steps_have_a_panel_of_their_own() -> None:
    given = training_rows.tables()
    axes = drawn(given["training"], given["loss"]).panels[2]
    assert axes.get_title(loc="left") == "Loss of the first steps"
    assert all(max(line.get_xdata()) == learning.FIRST_STEPS for line in lines(axes))


def test_steps_without_a_whole_epoch_are_enough() -> None:
    assert len(drawn([epoch("torch", 0, phase="end", top1_error=None)], losses("torch", steps=5)).panels) == 1


def test_a_name_with_dollars_is_no_formula() -> None:
    figure = drawn(training("torch", r"$\frac{", 3, data="$x^{$"))
    assert any(r"$\frac{" in word for word in words(figure)) and any("on $x^{$" in word for word in words(figure))


def test_without_a_training_there_is_nothing_to_draw() -> None:
    assert learning.figure(tables.frame("training", []), tables.frame("loss", [])) is None
