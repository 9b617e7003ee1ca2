"""The two sides of an audit, matched block by block, with what each layer is given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from harness.audit.blocks import HEAD, Block, Pair, first_convolution, input_shapes, pairs, used_padding
from impls.derive import Shape
from impls.reading import Facet as SilentFacet
from impls.reading import Reading, of_network
from impls.spec import Conv, Dense, MaxPool, Network


@dataclass(frozen=True)
class Subject:
    """Somebody's network and the reference it is held against."""

    theirs: Reading
    reference: Network

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every block of both, once."""
        return pairs(self.theirs.layers, self.reference.layers)

    @property
    def matched(self) -> list[tuple[Block, Block]]:
        """Blocks that stand for each other: theirs, the reference's."""
        return [(a, b) for a, b in self.pairs if a is not None and b is not None]

    @cached_property
    def _shapes(self) -> tuple[dict[str, Shape], dict[str, Shape]]:
        return input_shapes(self.theirs), input_shapes(of_network(self.reference))

    def is_silent(self, *facets: SilentFacet) -> bool:
        """Whether the source says nothing of one of these."""
        return bool(self.theirs.silent & set(facets))

    def follower(self, owner: str) -> str:
        """The learned layer after the reference's block of this name; empty after the last."""
        names = [HEAD, *(one.name for one in self.reference.layers if isinstance(one, Conv | Dense))]
        place = names.index(owner) + 1
        return names[place] if place < len(names) else ""

    def position(self, pair: Pair) -> tuple[str, int]:
        """Of a block that the reference lacks: the reference's block before it, and how many such are in between."""
        before = self.pairs[: self.pairs.index(pair)]
        lacking = 0
        for one in reversed(before):
            if one.reference is not None:
                return one.reference.name, lacking
            lacking += 1
        return HEAD, lacking

    def see_the_image(self, a: Conv, b: Conv) -> bool:
        """Whether both are the first convolution of their network."""
        both = (self.theirs.layers, self.reference.layers)
        return all(first_convolution(layers) is conv for layers, conv in zip(both, (a, b), strict=True))

    def are_padded_otherwise(self, a: Conv | MaxPool, b: Conv | MaxPool) -> bool:
        """Whether their windows reach other padding. Of equal numbers an input's size decides; that is no departure."""
        if a.padding == b.padding:
            return False
        return used_padding(a, self._shapes[0].get(a.name)) != used_padding(b, self._shapes[1].get(b.name))
