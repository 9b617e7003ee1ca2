"""This project's own words, each explained in a sentence or two; a page shows them where a word stands."""

from __future__ import annotations

import re
from collections.abc import Iterator

TERMS = {
    "baseline": "The error of the same computation in plain float32 NumPy, or the one predicted for plain sequential "
    "sums where that is larger. An rms error of up to twice the baseline passes, in training of up to eight times.",
    "block": "A stretch of steps of one setting. Blocks of all settings are interleaved in random order, so that a "
    "slow minute of the machine is everybody's; a figure is the geometric mean of its blocks' medians.",
    "crop": "The part of an image that a network is shown. One crop is the centre; ten are the four corners and the "
    "centre, each also mirrored, whose softmax outputs are averaged, as in the paper.",
    "emulated": "Several devices are played by one machine's cores. That proves the code of a split; its times are "
    "never called a speed-up.",
    "gauge": "What rounding can cause in an element: a constant for the length of its sum, times the unit roundoff, "
    "times the same sum over absolute values. An error above the gauge fails.",
    "interval": "The range that holds the figure with 95 % confidence. Times have Student's interval on the logarithms "
    "of their blocks; of a single block (n = 1) there is none.",
    "not observed": "What an implementation did not return. It was not compared, and turns no verdict.",
    "peak": "The best figure that any framework reached in a large matrix product or a convolution in the same run, on "
    "the same device and precision. All are held against it.",
    "signature": "What a figure was measured with: version, network, hash of the weights, seed, framework, device, "
    "precision and more. Figures may be compared where their signatures agree.",
    "stock": "As a competent user writes it from the framework's documentation.",
    "tuned": "As fast as this project can make it in the framework, with the same result.",
    "vacuous": "A check that passed and proves nothing: too few values that are not zero, or not every tensor looked "
    "at. It never counts as a pass.",
}

_WORD = re.compile(
    r"(?<![\w./\\-])(" + "|".join(term.replace(" ", "[ -]") for term in TERMS) + r")s?(?![\w/\\-]|\.\w)", re.IGNORECASE
)


def pieces(said: str) -> Iterator[tuple[str, str]]:
    """The text in pieces, and of each the term that it is, empty for what lies between. File names hold no terms."""
    place = 0
    for found in _WORD.finditer(said):
        yield said[place : found.start()], ""
        yield found[0], found[1].lower().replace("-", " ")
        place = found.end()
    yield said[place:], ""
