"""The known mistakes as a run of layers can have them: in one layer, or in every layer of a kind at once.

Who writes a helper for all convolutions makes its mistake in all of them, and so it is tried on all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, pairwise

from harness.parity.causes import IN_WRONG_ORDER
from harness.parity.fault import Fault
from harness.parity.faults import FAULTS, LEAKS
from impls.spec import Layer

ROUNDING = frozenset(fault.description for fault in LEAKS)
MOST_COMBINED = 3  # layers of a kind of which every combination is tried, where trying is cheap

Step = tuple[Layer, Fault | None]


@dataclass(frozen=True)
class Mistake:
    """One mistake in a run of layers. told: what it is. layers: where it is. steps: the whole run with it."""

    told: str
    layers: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def is_rounding(self) -> bool:
        """Whether it is one of precision, which shows beside no mistake of meaning."""
        return self.told in ROUNDING


def mistakes(run: Sequence[Layer], *, combined: bool = False) -> Iterator[Mistake]:
    """Every known mistake in one layer of the run, then those in several; `combined`: in each combination of a few."""
    for hit in _places(run, combined=combined):
        first = next(layer for layer in run if layer.name in hit)
        steps = tuple((layer, hit.get(layer.name)) for layer in run)
        yield Mistake(hit[first.name].told(first), tuple(hit), steps)
    for starts in _exchanges(run):
        yield Mistake(IN_WRONG_ORDER, tuple(run[start].name for start in starts), _exchanged(run, starts))


def _places(run: Sequence[Layer], *, combined: bool) -> Iterator[Mapping[str, Fault]]:
    """Layer -> fault: each alone; all layers of a kind; all layers that what a description says can be true of."""
    alike: dict[str, dict[str, dict[str, Fault]]] = {}  # description -> fault -> layer -> that fault
    for fault in FAULTS.values():
        hit = {layer.name: fault for layer in run if fault.concerns(layer)}
        if hit:
            alike.setdefault(fault.description, {})[fault.name] = hit
    groups = [(description, hit) for description, kinds in alike.items() for hit in kinds.values()]
    for _, hit in groups:
        yield from ({layer: fault} for layer, fault in hit.items())
    for description, hit in groups:
        few = combined and len(hit) <= MOST_COMBINED and description not in ROUNDING
        sizes = range(2, len(hit)) if few else ()
        yield from (dict(some) for size in sizes for some in combinations(hit.items(), size))
        if len(hit) > 1:
            yield hit
    for kinds in alike.values():
        if len(kinds) > 1:
            both = dict(chain.from_iterable(hit.items() for hit in kinds.values()))
            yield {layer.name: both[layer.name] for layer in run if layer.name in both}


def _exchanges(run: Sequence[Layer]) -> Iterator[tuple[int, ...]]:
    """Places whose layer is exchanged with the next one: each alone, then all with the same two kinds of layer."""
    alike: dict[tuple[type[Layer], type[Layer]], list[int]] = {}
    for start, (layer, following) in enumerate(pairwise(run)):
        yield (start,)
        if type(layer) is not type(following):
            alike.setdefault((type(layer), type(following)), []).append(start)
    yield from (tuple(starts) for starts in alike.values() if len(starts) > 1)


def _exchanged(run: Sequence[Layer], starts: Sequence[int]) -> tuple[Step, ...]:
    layers = list(run)
    for start in starts:
        layers[start], layers[start + 1] = layers[start + 1], layers[start]
    return tuple((layer, None) for layer in layers)
