"""Training error against epochs as the paper's Figure 1: ReLU solid, tanh dashed, where each meets 25 % marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.figures import style as picture_frame
from reports.figures.error_by_layer import COLOURS, QUIET
from reports.format import Row, number, text

TARGET = 0.25  # the paper's dotted line
PAPER_RATIO = 6.0  # "several times faster": six on CIFAR-10 with four convolutional layers
RELU, TANH = "relu", "tanh"
NAMES = {RELU: "ReLU", TANH: "tanh"}
DASHES = {RELU: "-", TANH: (0, (4, 2))}
INK = {RELU: COLOURS["jax"], TANH: COLOURS["torch"]}
MARGINS: picture_frame.Margins = (0.75, 1.6, 0.35, 0.55)
WIDTH, HEIGHT = 7.2, 4.2

Curve = list[tuple[float, float]]  # (epochs done, training error as a share of 1), NaN where training broke down


def drawable(rows: Sequence[Row]) -> bool:
    """Whether there is a curve of each."""
    return set(curves(rows)) == {RELU, TANH}


def draw(rows: Sequence[Row], path: Path, *, said: str = "") -> None:
    """Draw the curves as a PNG.

    Args:
        rows: one per variant, epoch and seed: `variant` (relu or tanh), `epoch` (epochs done, fractions too),
            `training_error` (share of 1), `framework`, `seed` and `signature` where known. Seeds are thin lines,
            their mean is bold.
        path: of the PNG.
        said: which network on which data, in a line.

    Raises ValueError where one of the two has no curve, OSError.

    References:
        Paper, section 3.1 and figure 1.

    """
    found = curves(rows)
    if set(found) != {RELU, TANH}:
        raise ValueError(f"rows of {', '.join(found) or 'nothing'}: a curve of relu and one of tanh are needed")
    told = ". ".join(filter(None, [said, verdict(rows)]))
    picture_frame.save(
        path, "Training error with ReLU and with tanh", told, rows, [(HEIGHT, partial(_panel, found=found))],
        columns=1, width=WIDTH, margins=MARGINS,
    )  # fmt: skip


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
    return f"after {'at most ' if curve[0][1] <= TARGET else ''}{epoch:.3g} {'epoch' if epoch == 1 else 'epochs'}"


def _panel(axes: Axes, found: dict[str, list[Curve]]) -> None:
    last = max(curve[-1][0] for given in found.values() for curve in given if curve)
    top = max((error for given in found.values() for curve in given for _, error in curve if math.isfinite(error)),
              default=1.0)  # fmt: skip
    axes.set_xlim(0, last * 1.02 or 1.0)
    axes.set_ylim(0, max(top * 1.08, TARGET * 1.2))
    axes.axhline(TARGET, color="#888888", linewidth=0.8, linestyle=(0, (1, 2)))
    ends = []
    for variant, given in found.items():
        for seed in given[:-1] if len(given) > 2 else ():
            axes.plot(*_sides(seed), color=INK[variant], linewidth=0.6, alpha=0.45, linestyle=DASHES[variant])
        whole = given[-1]
        single = "o" if len(whole) == 1 else ""
        axes.plot(*_sides(whole), color=INK[variant], linewidth=2.0, linestyle=DASHES[variant], marker=single)
        _mark(axes, variant, whole)
        ends += [(variant, whole)]
    _label(axes, ends)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=_whole(found)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}"))
    picture_frame.quiet(axes, "y")
    axes.set_xlabel("epochs", fontsize=9, color=QUIET)
    axes.set_ylabel("training error, %", fontsize=9, color=QUIET)


def _whole(found: dict[str, list[Curve]]) -> bool:
    return all(epoch == round(epoch) for given in found.values() for curve in given for epoch, _ in curve)


def _mark(axes: Axes, variant: str, curve: Curve) -> None:
    """A ring where the curve meets the target, and the epoch beside it; nothing where it begins below the target."""
    epoch = reached(curve)
    if epoch is None or curve[0][1] <= TARGET:
        return
    axes.plot([epoch, epoch], [0, TARGET], color=INK[variant], linewidth=0.8, linestyle=(0, (1, 2)))
    axes.plot([epoch], [TARGET], marker="o", markersize=7, markerfacecolor="white", color=INK[variant], zorder=5)
    # One above the line and one below, so that two curves that arrive together stay readable.
    offset, va = ((6, 5), "bottom") if variant == RELU else ((6, -5), "top")
    axes.annotate(
        f"{epoch:.3g}", (epoch, TARGET), offset, textcoords="offset points", fontsize=9, color=INK[variant],
        weight="bold", va=va,
    )  # fmt: skip


def _label(axes: Axes, ends: Sequence[tuple[str, Curve]]) -> None:
    top = axes.get_ylim()[1]
    last = [next((error for _, error in reversed(curve) if math.isfinite(error)), top) for _, curve in ends]
    places = picture_frame.spread([error / top for error in last], 0.055, 0.0, 1.0)
    for (variant, curve), error, place in zip(ends, last, places, strict=True):
        broken = "" if not curve or math.isfinite(curve[-1][1]) else ", NaN"
        axes.annotate(
            f"{NAMES[variant]} {100 * error:.2f} %{broken}", (1.02, place), xycoords="axes fraction", fontsize=9,
            va="center", color=INK[variant], weight="bold", annotation_clip=False,
        )  # fmt: skip


def _sides(points: Curve) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
