"""Changes to a network, one at a time: what makes the reference have somebody else's departure, and nothing more.

An edit finds its layers by their names in the reference and leaves everything else alone, so that several edits in a
row give the reference with several departures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from harness.audit.blocks import HEAD, Block, Token, layers_of, settled, split, tokens
from impls.spec import Dense, Layer, Network

Edit: TypeAlias = Callable[[Network], Network]


def chained(edits: Iterable[Edit]) -> Edit:
    """All of them, one after the other."""
    kept = tuple(edits)

    def edit(network: Network) -> Network:
        for one in kept:
            network = one(network)
        return network

    return edit


def whole(**fields: Any) -> Edit:
    """Fields of the network itself."""
    return lambda network: replace(network, **fields)


def layer(name: str, **fields: Any) -> Edit:
    """Fields of one layer; without an effect where an earlier edit took the layer away."""

    def edit(network: Network) -> Network:
        changed = tuple(replace(one, **fields) if one.name == name else one for one in network.layers)
        return replace(network, layers=changed)

    return edit


def exchanged(name: str, new: Layer) -> Edit:
    """Another layer in the place of one."""

    def edit(network: Network) -> Network:
        return replace(network, layers=tuple(new if one.name == name else one for one in network.layers))

    return edit


def classes(count: int) -> Edit:
    """As many outputs of the last dense layer."""

    def edit(network: Network) -> Network:
        dense = [one.name for one in network.layers if isinstance(one, Dense)]
        return replace(layer(dense[-1], units=count)(network) if dense else network, classes=count)

    return edit


def without(*names: str) -> Edit:
    """These layers taken out."""

    def edit(network: Network) -> Network:
        return replace(network, layers=tuple(one for one in network.layers if one.name not in names))

    return edit


def placed(owner: str, before: Sequence[Token], added: Layer) -> Edit:
    """A layer put into the block of the learned layer `owner`: behind those that stand `before` it, as far as there.

    Where none of them is there it comes first.
    """

    def edit(network: Network) -> Network:
        def change(block: Block) -> Block:
            have = tokens(block.rest)
            place = max((have.index(token) + 1 for token in before if token in have), default=0)
            new = replace(added, name=_unused(added.name, network))
            return block._replace(rest=(*block.rest[:place], new, *block.rest[place:]))

        return _in_block(network, owner, change)

    return edit


def ordered(owner: str, wanted: Sequence[Token]) -> Edit:
    """The layers of these kinds in the block of `owner` in this order; they share the places that they had."""

    def edit(network: Network) -> Network:
        def change(block: Block) -> Block:
            rest = settled(block.rest)
            held = dict(zip(tokens(rest), rest, strict=True))
            queue = iter([held[token] for token in wanted if token in held])
            return block._replace(rest=tuple(next(queue) if token in wanted else one for token, one in held.items()))

        return _in_block(network, owner, change)

    return edit


def block_after(owner: str, added: Sequence[Layer], skip: int = 0) -> Edit:
    """A whole block of layers behind that of `owner` and behind so many that were put there before."""

    def edit(network: Network) -> Network:
        new: list[Layer] = []
        for one in added:
            unused = _unused(one.name, replace(network, layers=(*network.layers, *new)))
            new.append(replace(one, name=unused))
        blocks = split(network.layers)
        place = next((i for i, block in enumerate(blocks) if block.name == owner), len(blocks) - 1) + 1 + skip
        before, after = blocks[:place], blocks[place:]
        return replace(network, layers=(*_joined(before), *new, *_joined(after)))

    return edit


def _joined(blocks: Iterable[Block]) -> tuple[Layer, ...]:
    return tuple(one for block in blocks for one in layers_of(block))


def _in_block(network: Network, owner: str, change: Callable[[Block], Block]) -> Network:
    blocks = (change(block) if block.name == owner else block for block in split(network.layers))
    return replace(network, layers=_joined(blocks))


def _unused(name: str, network: Network) -> str:
    taken = {one.name for one in network.layers} | {HEAD}
    while name in taken:
        name += "x"
    return name
