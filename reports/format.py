"""What a cell of a summary says: values of a row as text, numbers with the digits an eye can use."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from reports.statistics import Interval

Row = Mapping[str, Any]

ROUNDING = 1e-12  # relative changes below this are rounding
NARROW = 0.1  # the longer side of an interval, up to which ± tells it well
LARGEST = 1e7  # from which on an end of an interval is written in powers of ten
# How a formula begins, in the wide characters too; a quote before it is one of ours, or one that must not be lost.
FORMULA = re.compile(r"['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]")


def text(row: Row, name: str) -> str:
    """A row's value as text of one line without control characters, empty where it is missing."""
    value = row.get(name)
    return "" if value is None else clean(str(value))


def lines_of(row: Row, name: str) -> str:
    """A row's value as text, of several lines where it has them."""
    value = row.get(name)
    return "" if value is None else visible(str(value))


def clean(said: str) -> str:
    """Text from outside as one line: a terminal must not obey it."""
    return visible(" ".join(said.split()))


def visible(said: str) -> str:
    r"""Text from outside with control characters spelled out, ESC as `\x1b`, "right to left" as `\u202e`.

    A terminal would obey them, and a reader is deceived by those that reorder or hide. Line breaks and tabs stay.
    """
    if said.isprintable():
        return said
    return "".join(sign if _is_plain(sign) else sign.encode("unicode_escape").decode() for sign in said)


def _is_plain(sign: str) -> bool:
    return sign.isprintable() or sign in "\n\t" or unicodedata.category(sign) == "Zs"  # spaces of other widths


def for_spreadsheet(said: str) -> str:
    """A text as a cell of CSV: control characters spelled out, and a quote before what would be taken for a formula."""
    shown = visible(said)
    return f"'{shown}" if FORMULA.match(shown) and not _is_number(shown) else shown


def from_spreadsheet(cell: str) -> str:
    """The text of such a cell, without the quote."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _is_number(said: str) -> bool:
    try:
        float(said)
    except ValueError:
        return False
    return True


def number(row: Row, name: str) -> float | None:
    """A row's finite value, None where it has none."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, Real):  # NumPy's scalars are Real too
        return None
    return float(value) if math.isfinite(value) else None


def measured(row: Row, name: str) -> float | None:
    """A row's value, NaN and infinities too; None where it has none."""
    value = row.get(name)
    return None if isinstance(value, bool) or not isinstance(value, Real) else float(value)


def positive(row: Row, name: str) -> float | None:
    """A row's value where it is above 0 and can be meant: nothing is 1e30, and what follows must not overflow."""
    value = number(row, name)
    return value if value is not None and 1e-30 < value < 1e30 else None


def plural(count: int, noun: str) -> str:
    """`1 setting`, `2 settings`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def figure(value: float) -> str:
    """Three significant digits, more before the point where there are more, with thousands separated for eyes."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}" if abs(value) >= 0.0995 else f"{value:.2g}"


def flops(tflops: float) -> str:
    """TFLOP/s, or GFLOP/s below one."""
    return f"{figure(tflops)} TFLOP/s" if tflops >= 1 else f"{figure(1e3 * tflops)} GFLOP/s"


def share(value: float | None) -> str:
    """`72%`, with a digit more below ten."""
    if value is None:
        return ""
    return f"{100 * value:.0f}%" if value >= 0.0995 else f"{100 * value:.1f}%"


def percent(value: float | None) -> str:
    """A share of 1 in percent, without the sign: `37.47`."""
    return "" if value is None else f"{100 * value:.2f}"


def duration(seconds: float) -> str:
    """`47 s`, `12 min`, `5.3 h`."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def between(value: float | None, low: float | None, high: float | None) -> str:
    """Shares of 1 in percent: `37.47 (36.90 to 38.04)`, without the interval where there is none."""
    if value is None or low is None or high is None:
        return percent(value)
    return f"{percent(value)} ({percent(low)} to {percent(high)})"


def interval(found: Interval | None, write: Callable[[float], str], unit: str = "") -> str:
    """`131 (129 to 133)`, `131 (n = 1)` of a single block, `131 (no interval)` where nobody knows why there is none."""
    if found is None:
        return ""
    return f"{write(found.value)}{unit} ({_unknown(found) or _ends(found, write, ' to ')})"


def briefly(found: Interval | None, write: Callable[[float], str], unit: str = "") -> str:
    """`131 ±1.8%`; of a wide interval its ends, `131 (97–180)`; `131 (unknown)` where it tells nothing."""
    if found is None:
        return ""
    value, relative = f"{write(found.value)}{unit}", found.relative
    if relative is not None and relative <= NARROW:
        return f"{value} ±{share(relative)}"
    held = _unknown(found) or ("unknown" if found.vague else _ends(found, _rough, "–"))
    return f"{value} ({held})"


def claimed(found: Interval | None, write: Callable[[float], str]) -> str:
    """A ratio `3.89x (3.83 to 3.95)`, claimed only where its interval leaves out 1: else `not significant (…)`."""
    if found is None or not found.known or found.significant:
        return interval(found, write, "x")
    return f"not significant ({_ends(found, write, ' to ')})"


def briefly_claimed(found: Interval | None, write: Callable[[float], str]) -> str:
    """The same, `3.89x ±1.6%` or `not significant`."""
    return briefly(found, write, "x") if found is None or not found.known or found.significant else "not significant"


def factor(found: Interval) -> str:
    """A ratio with three digits behind the point: `1.204x (1.190 to 1.221)`."""
    return interval(found, _three, "x")


def _three(value: float) -> str:
    return f"{value:.3f}"


def enumerated(names: Sequence[str]) -> str:
    """`torch, tensorflow and jax`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _bounded(value: float) -> str:
    """Three significant digits, and a bound where no digit tells more: NaN is worse than any number."""
    return f"{value:.3g}" if not value >= 1e6 else "> 1e6"


def _rough(value: float) -> str:
    """Two significant digits, more before the point: an end of a wide interval is not known to more."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2g}"


def _unknown(found: Interval) -> str:
    """Why there is no interval; empty where there is one."""
    if found.known:
        return ""
    return "n = 1" if found.blocks == 1 else "no interval"


def _ends(found: Interval, write: Callable[[float], str], sign: str) -> str:
    ends = (found.low, found.high)
    return sign.join(f"{end:.1e}" if abs(end) >= LARGEST else write(end) for end in ends if end is not None)


class Format(NamedTuple):
    """How values of a column are written."""

    full: Callable[[Any], str]
    brief: Callable[[Any], str]  # where room is scarce
    numeric: bool = True  # sorted as numbers, and set to the right
    missing: str = ""  # of a value that is not there
    beside_numbers: bool = False  # set to the right, though it is none


def _of_number(write: Callable[[float], str], missing: str = "") -> Format:
    """A number; of an interval its figure."""

    def written(value: Any) -> str:
        return write(value.value if isinstance(value, Interval) else value)

    return Format(written, written, missing=missing)


def _of_interval(full: Callable[[Interval], str], brief: Callable[[Interval], str]) -> Format:
    """An interval; a number alone is one without bounds that nobody asks for."""

    def of(write: Callable[[Interval], str], value: Any) -> str:
        return write(value) if isinstance(value, Interval) else figure(value)

    return Format(lambda value: of(full, value), lambda value: of(brief, value))


def _error(found: Interval) -> str:
    return between(found.value, found.low, found.high)


def _change(value: float) -> str:
    """A relative change in percent; `0` where it is rounding."""
    return "0" if abs(value) < ROUNDING else f"{figure(100 * value)} %"


def _signed(value: float) -> str:
    """A difference with its sign, `0` for none."""
    return "0" if value == 0 else f"{value:+,.0f}" if abs(value) >= 0.995 else f"{value:+.2g}"


def _points(found: Interval) -> str:
    """A difference of errors, in points of percent: `+1.30 ± 0.90`."""
    half = "" if found.low is None or found.high is None else f" ± {percent((found.high - found.low) / 2)}"
    return f"{100 * found.value:+.2f}{half}"


FORMATS: dict[str, Format] = {
    "text": Format(lambda value: clean(str(value)), lambda value: clean(str(value)), numeric=False),
    "lines": Format(lambda value: visible(str(value)), lambda value: visible(str(value)), numeric=False),
    "whole": _of_number(lambda value: str(int(value)) if math.isfinite(value) else str(value)),  # of what is a name too
    "count": _of_number(lambda value: f"{value:,.0f}"),
    "figure": _of_number(figure),
    "interval": _of_interval(lambda found: interval(found, figure), lambda found: briefly(found, figure)),
    "step": _of_interval(lambda found: interval(found, figure), lambda found: figure(found.value)),
    "split": Format(
        lambda value: clean(str(value)), lambda value: clean(str(value)).replace(" emulated", "*"), numeric=False
    ),
    "flag": Format(
        lambda value: clean(str(value)), lambda value: clean(str(value)), numeric=False, beside_numbers=True
    ),
    "told": Format(lambda value: clean(str(value)), lambda value: clean(str(value))),  # words that know their number
    "gain": _of_interval(lambda found: claimed(found, figure), lambda found: briefly_claimed(found, figure)),
    "factor": _of_interval(factor, lambda found: briefly(found, _three, "x")),
    "share": _of_number(share),
    "percent": _of_number(percent),
    "error": _of_interval(_error, _error),  # shares of 1, in percent
    "points": _of_interval(_points, _points),
    "change": _of_number(_change),
    "signed": _of_number(_signed),
    "cosine": _of_number(lambda value: f"{value:.4f}"),
    "whole share": _of_number(lambda value: f"{100 * value:.0f} %"),
    "ratio": _of_number(_bounded, missing="-"),
    "short": _of_number(lambda value: f"{value:.3g}"),
    "loss": _of_number(lambda value: f"{value:.4g}"),
    "exact": _of_number(lambda value: f"{value:.8g}"),  # of what differs in the last digits
    "duration": _of_number(duration),  # of seconds
}


def written(value: Any, name: str, *, brief: bool = False) -> str:
    """A cell's value in the format of that name."""
    form = FORMATS[name]
    if value is None or value == "":
        return form.missing
    if isinstance(value, str):  # words where a figure would stand, such as "n/a"
        return FORMATS["text"].full(value) if form.numeric else (form.brief if brief else form.full)(value)
    return (form.brief if brief else form.full)(value)
