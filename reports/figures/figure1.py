"""Training error against epochs as the paper's Figure 1: ReLU solid, tanh dashed, where each meets 25 % marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reports import tables
from reports.figures import style
from reports.figures.style import Drawing, Spot
from reports.format import Row, number, percent, text

TARGET = 0.25  # the paper's dotted line
PAPER_RATIO = 6.0  # "several times faster": six on CIFAR-10 with four convolutional layers
RELU, TANH = "relu", "tanh"
NAMES = {RELU: "ReLU", TANH: "tanh"}
LOOKS: dict[str, dict[str, Any]] = {
    RELU: {"color": style.PALETTE["jax"], "linestyle": "-"},
    TANH: {"color": style.PALETTE["torch"], "linestyle": style.DASHED},
}

Curve = list[tuple[float, float]]  # (epochs done, training error as a share of 1), NaN where training broke down


@style.styled
def figure(training_error: pd.DataFrame) -> Drawing | None:
    """The curves of both; None where one of the two has none.

    Args:
        training_error: a row per variant, epoch and seed: `variant` (relu or tanh), `epoch` (epochs done, fractions
            too), `training_error` (share of 1), `framework`, `seed`, `network`, `data` and `signature` where known.
            Seeds are thin lines, their mean is bold.

    References:
        Paper, section 3.1 and figure 1.

    """
    rows = tables.records(training_error)
    found = curves(rows)
    if set(found) != {RELU, TANH}:
        return None
    told = ". ".join(filter(None, [style.trained(rows), verdict(rows)]))
    drawn = style.drawing("figure1", "Training error with ReLU and with tanh", told, rows, [3.9], width=7.2, grid="y")
    _panel(drawn, drawn.panels[0], found)
    return drawn


def curves(rows: Sequence[Row]) -> dict[str, list[Curve]]:
    """Variant -> a curve per framework and seed, then their mean over the epochs that all have."""
    seeds: dict[str, dict[str, dict[float, float]]] = {RELU: {}, TANH: {}}
    for row in rows:
        variant, epoch, error = text(row, "variant").lower(), number(row, "epoch"), row.get("training_error")
        if variant in seeds and epoch is not None and error is not None:
            training = f"{text(row, 'framework')} {text(row, 'seed')}"
            seeds[variant].setdefault(training, {})[epoch] = float(error)
    found = {}
    for variant, given in seeds.items():
        if given:
            shared = set.intersection(*(set(one) for one in given.values()))
            whole = [(epoch, mean(one[epoch] for one in given.values())) for epoch in sorted(shared)]
            found[variant] = [*(sorted(one.items()) for one in given.values()), whole]
    return found


def reached(curve: Curve, target: float = TARGET) -> float | None:
    """The epoch at which a curve first comes down to the target, between two epochs by a straight line; or None."""
    for (before, above), (epoch, error) in zip([(math.nan, math.nan), *curve[:-1]], curve, strict=True):
        if error <= target:
            if not above > target:  # the first point, or one after a gap
                return epoch
            return before + (epoch - before) * (above - target) / (above - error)
    return None


def verdict(rows: Sequence[Row]) -> str:
    """`25 % training error after 3.1 epochs with ReLU, 12 with tanh: 3.9 times as many (paper: 6, on CIFAR-10)`."""
    means = {variant: given[-1] for variant, given in curves(rows).items()}
    if set(means) != {RELU, TANH} or not all(means.values()):
        return ""
    relu, tanh = (reached(means[variant]) for variant in (RELU, TANH))
    paper = f"(paper: {PAPER_RATIO:g}, on CIFAR-10)"
    last = {variant: curve[-1][0] for variant, curve in means.items()}
    goal = f"{100 * TARGET:g} % training error"
    if relu is None and tanh is None:
        return f"Neither came down to {goal} within {max(last.values()):.3g} epochs {paper}"
    said = ", ".join(
        f"{_when(means[variant], epoch, last[variant])} with {NAMES[variant]}"
        for variant, epoch in ((RELU, relu), (TANH, tanh))
    )
    # Of a curve that begins below the target only a bound is known.
    relu_bound, tanh_bound = (means[variant][0][1] <= TARGET for variant in (RELU, TANH))
    ratio = (last[TANH] if tanh is None else tanh) / relu if relu else 0.0
    least = "at least " if relu_bound or tanh is None else ""
    if not ratio or (tanh_bound and tanh is not None) or (least and ratio <= 1):
        return f"{goal} {said} {paper}"
    return f"{goal} {said}: {least}{ratio:.1f} times as many {paper}"


def _when(curve: Curve, epoch: float | None, last: float) -> str:
    if epoch is None:
        return f"not within {last:.3g}"
    return f"after {'at most ' if curve[0][1] <= TARGET else ''}{_epochs(epoch)}"


def _panel(drawn: Drawing, axes: Axes, found: dict[str, list[Curve]]) -> None:
    points = [point for given in found.values() for curve in given for point in curve]
    top = max((error for _, error in points if math.isfinite(error)), default=1.0)
    axes.set(xlim=(0, 1.02 * max(epoch for epoch, _ in points) or 1.0), ylim=(0, max(top * 1.08, TARGET * 1.2)))
    axes.set(xlabel="epochs", ylabel="training error, %")
    axes.axhline(TARGET, color=style.FAINT, linewidth=0.8, linestyle=style.DOTTED)
    for variant, given in found.items():
        name, look, whole = NAMES[variant], LOOKS[variant], given[-1]
        for seed in given[:-1] if len(given) > 2 else ():
            style.mark(drawn, axes.plot(*zip(*seed, strict=True), linewidth=0.6, **look), name)
        spots = [Spot(epoch, error, _epochs(epoch), f"{percent(error)} %") for epoch, error in whole]
        ending = next((spot.value for spot in reversed(spots) if math.isfinite(spot.y)), "")
        ending += "" if not spots or math.isfinite(spots[-1].y) else ", NaN"
        style.plot(drawn, axes, name, spots, linewidth=2.0, marker=".", label=f"{name}  {ending}", **look)
        _meeting(drawn, axes, variant, whole)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=all(epoch == round(epoch) for epoch, _ in points)))
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:g}")
    style.beside(axes)


def _epochs(epoch: float) -> str:
    return f"{epoch:.3g} {'epoch' if epoch == 1 else 'epochs'}"


def _meeting(drawn: Drawing, axes: Axes, variant: str, curve: Curve) -> None:
    """A ring where the curve meets the target, and the epoch beside it; nothing where it begins below the target."""
    epoch, colour = reached(curve), LOOKS[variant]["color"]
    if epoch is None or curve[0][1] <= TARGET:
        return
    drop = axes.plot([epoch, epoch], [0, TARGET], color=colour, linewidth=0.8, linestyle=style.DOTTED)
    style.mark(drawn, drop, NAMES[variant])
    ring = [Spot(epoch, TARGET, _epochs(epoch), f"{100 * TARGET:g} %")]
    style.plot(
        drawn, axes, NAMES[variant], ring, marker="o", markersize=7, markerfacecolor=style.PAPER, color=colour, zorder=5
    )
    # Either side of a falling curve is free, and two curves that arrive together stay readable.
    offset, ha, va = ((6, 5), "left", "bottom") if variant == RELU else ((-6, -5), "right", "top")
    style.say(axes, f"{epoch:.3g}", (epoch, TARGET), offset, fontsize=9, color=colour, weight="bold", ha=ha, va=va)
