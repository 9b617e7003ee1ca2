"""A run of layers of which only the end was returned: which known mistake gives it, and where, or how to narrow it.

The run is cut before its first dense layer. Each mistake in the first part is followed to the cut once; behind it,
where a product costs its weights' way through the memory and not its images, all of them are followed together under
each mistake of the second part. So all pairs across the cut cost little more than the mistakes alone, and with them
come the mistakes that are in both parts: no bias anywhere, no ReLU at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.parity.causes import IN_WRONG_ORDER, NEARER, YOURS, Reference, unexplained
from harness.parity.mistakes import Mistake, mistakes
from impls.oracle import operators
from impls.oracle.network import layer_parameters
from impls.protocol import Array
from impls.spec import Dense, Layer

ENOUGH = 20  # numbers at the run's end: fewer of them would let a wrong mistake come near by chance
LONGEST_S = 240.0  # of trying; from images to logits the paper's network takes some 20 s of one core
PAIRED = 0.01  # in place of NEARER for two different mistakes: there are thousands of pairs
MOST_NAMED = 3  # layers that a reader is asked to return


@dataclass(frozen=True)
class Told:
    """What a run's end says. layer: the first at fault. cause: "yours has ...". Both empty where nothing matches."""

    layer: str = ""
    cause: str = ""
    all_tried: bool = True


class _Single(Reference):
    """The reference's operators in float32: a mistake is far larger than rounding."""

    def forward(self, layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None = None) -> Array:
        x = x.astype(np.float32, copy=False)
        if isinstance(layer, Dense):  # in one product: in blocks of the weight, many images take ten times as long
            return x.reshape(len(x), -1) @ parameters["weight"] + parameters["bias"]
        return operators.forward(layer, x, parameters, mask)


def narrowing(names: Sequence[str]) -> str:
    """Which outputs of these layers, whose last was returned, cut the run into about equal parts."""
    inner = names[:-1]
    if len(inner) > MOST_NAMED:
        inner = [inner[len(inner) * (part + 1) // (MOST_NAMED + 1)] for part in range(MOST_NAMED)]
    return joined(inner)


def joined(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def explain(
    layers: Sequence[Layer], x: Array, found: Array, weights: Mapping[str, Array], longest_s: float = LONGEST_S
) -> Told:
    """What gives `found` at the end of these layers on x [N, ...]; as few images are taken as are enough."""
    if found.shape[:1] != x.shape[:1] or not found.size:
        return Told()
    until = time.monotonic() + longest_s
    count = -(-ENOUGH // found[:1].size)
    x, found = x[:count].astype(np.float32, copy=False), found[:count]
    cut = next((place for place, layer in enumerate(layers) if isinstance(layer, Dense)), len(layers))
    first = _Part(layers[:cut], x, weights)
    tried = [(None, first.end), *first.tries(list(mistakes(layers[:cut])), until)]
    matches: list[Match]
    if cut == len(layers):
        matches = [(unexplained(found, end, first.end), (made,)) for made, end in tried if made is not None]
    else:
        matches = list(_behind(tried, layers[cut:], found, weights, until))
    return _told(layers, matches, all_tried=time.monotonic() < until)


Match = tuple[float, tuple[Mistake | None, ...]]  # the share of the difference that is left, and what was tried


def _behind(
    tried: Sequence[tuple[Mistake | None, Array]],
    layers: Sequence[Layer],
    found: Array,
    weights: Mapping[str, Array],
    until: float,
) -> Iterator[Match]:
    """The ends of everything tried, with each mistake in these layers too; the first of `tried` is the reference."""
    known = list(mistakes(layers, combined=True))
    for rounding in (False, True):
        kept = [
            (made, end)
            for made, end in tried
            if end.shape == tried[0][1].shape and (made is None or made.is_rounding is rounding)
        ]
        part = _Part(layers, np.concatenate([end for _, end in kept]), weights)
        right = np.split(part.end, len(kept))[0]
        late_ones = part.tries([made for made in known if made.is_rounding is rounding], until)
        for late, ends in [(None, part.end), *late_ones]:
            if len(ends) == len(part.end):
                for (early, _), end in zip(kept, np.split(ends, len(kept)), strict=True):
                    if early is not None or late is not None:
                        yield unexplained(found, end, right), (early, late)


class _Part:
    """Consecutive layers on one input, with what each of them gives."""

    def __init__(self, layers: Sequence[Layer], x: Array, weights: Mapping[str, Array]) -> None:
        self._layers = layers
        self._operators = _Single()
        self._parameters = {layer.name: layer_parameters(layer, weights) for layer in layers}
        self._states = [x]
        for layer in layers:
            self._states.append(self._operators.forward(layer, self._states[-1], self._parameters[layer.name]))

    @property
    def end(self) -> Array:
        """What comes out without a mistake."""
        return self._states[-1]

    def tries(self, made: Sequence[Mistake], until: float) -> Iterator[tuple[Mistake, Array]]:
        """What comes out with each mistake that changes it, while there is time; those in one layer come first."""
        tried: set[tuple[str, tuple[str, ...]]] = set()
        idle: set[tuple[str, str]] = set()  # where a mistake alone changes nothing, or cannot be made
        for mistake in made:
            if time.monotonic() > until:
                return
            places = tuple(layer for layer in mistake.layers if (mistake.told, layer) not in idle)
            if not places or (mistake.told, places) in tried:
                continue
            tried.add((mistake.told, places))
            end = self._end_with(mistake)
            if end is not None:
                yield replace(mistake, layers=places), end
            elif len(places) == 1:
                idle.add((mistake.told, *places))

    def _end_with(self, mistake: Mistake) -> Array | None:
        """None where the mistake changes nothing, or cannot be made at these shapes."""
        x, same = self._states[0], True
        for (layer, fault), own, right in zip(mistake.steps, self._layers, self._states[1:], strict=True):
            if same and fault is None and layer is own:
                x = right
                continue
            parameters = self._parameters[layer.name]
            try:
                if fault is None:
                    x = self._operators.forward(layer, x, parameters)
                else:
                    x = fault.forward(self._operators, layer, x, parameters, None).astype(np.float32, copy=False)
            except (ValueError, IndexError):
                return None
            same = np.array_equal(x, right)
        return None if same else x


def _told(layers: Sequence[Layer], matches: Sequence[Match], *, all_tried: bool) -> Told:
    """The simplest of what matches; a less simple one where it leaves less than half as much unexplained."""
    best, chosen = np.inf, None
    for share, made in sorted(((share, _made(made)) for share, made in matches), key=lambda match: _order(*match)):
        if share < min(best / 2, PAIRED if len({mistake.told for mistake in made}) > 1 else NEARER):
            best, chosen = share, made
    if chosen is None:
        return Told(all_tried=all_tried)
    order = [layer.name for layer in layers]
    places: dict[str, list[str]] = {}
    for mistake in chosen:
        places.setdefault(mistake.told, []).extend(mistake.layers)
    several = sum(map(len, places.values())) > 1
    parts = [f"{told}, in {joined(names)}" if several else told for told, names in places.items()]
    first = min((name for names in places.values() for name in names), key=order.index)
    return Told(first, YOURS.format(", and ".join(parts)), all_tried)


def _made(tried: Sequence[Mistake | None]) -> tuple[Mistake, ...]:
    return tuple(mistake for mistake in tried if mistake is not None)


def _order(share: float, made: Sequence[Mistake]) -> tuple[int, bool, int, float]:
    """Simple first: one thing, in few layers; last an order, since a missing ReLU is also one that comes too early."""
    things = {mistake.told for mistake in made}
    return len(things), IN_WRONG_ORDER in things, sum(len(mistake.layers) for mistake in made), share
