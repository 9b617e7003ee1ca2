"""Departures between learned layers: activations, normalisation, pooling, their order, and layers foreign to us."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from harness.audit import edits, reasons
from harness.audit.blocks import Block, Kind, kind, settled, tokens
from harness.audit.departure import AFTER, Facet, Finding
from harness.audit.subject import Subject
from harness.audit.wording import NONE, between, in_order, number, same
from impls.reading import Foreign
from impls.spec import LRN, Layer, MaxPool, ReLU, SpatialNorm, Tanh

FACET_OF: dict[Kind, Facet] = {
    "activation": "activation",
    "LRN": "lrn",
    "spatial norm": "spatial-norm",
    "pool": "pooling",
}


def findings(subject: Subject) -> Iterator[Finding]:
    """All of this file's."""
    for theirs, ours in subject.matched:
        for name in dict.fromkeys([*map(kind, ours.rest), *map(kind, theirs.rest)]):
            if name != "dropout":
                yield from _of_kind(subject, theirs, ours, name)
        yield from _order(theirs, ours)
    for pair in subject.pairs:
        if pair.reference is None and pair.theirs is not None:
            for layer in pair.theirs.rest:
                if isinstance(layer, Foreign):
                    yield _foreign(layer, NONE)


def _of_kind(subject: Subject, theirs: Block, ours: Block, name: Kind) -> Iterator[Finding]:
    """The layers of one kind in one block, the first with the first."""
    both = ([layer for layer in block.rest if kind(layer) == name] for block in (theirs, ours))
    for a, b in zip_longest(*both):
        if isinstance(a, Foreign):
            yield _foreign(a, NONE if b is None else f"max-pooling {between(b)}" if name == "pool" else between(b))
        elif a is None:
            yield Finding(
                FACET_OF[name], b.name, NONE, between(b), reasons.missing(b, theirs.rest), edits.without(b.name)
            )
        elif b is None:
            edit = edits.placed(ours.name, _before(theirs, a), a)
            yield Finding(FACET_OF[name], f"{AFTER}{ours.name}", between(a), NONE, reasons.added(a), edit)
        else:
            yield from _compared(subject, a, b)


def _before(block: Block, layer: Layer) -> list[tuple[Kind, int]]:
    """What stands before a layer in its block."""
    return tokens(block.rest)[: block.rest.index(layer)]


def _foreign(layer: Foreign, instead: str) -> Finding:
    why = reasons.of_foreign(layer, instead)
    return Finding("foreign", layer.name, between(layer), instead, why, None, layer.parameters)


def _compared(subject: Subject, a: Layer, b: Layer) -> Iterator[Finding]:
    match a, b:
        case LRN(), LRN():
            yield from _lrn(a, b)
        case SpatialNorm(), SpatialNorm():
            fields = {name: getattr(a, name) for name in ("size", "alpha", "beta", "k")}
            if not all(same(value, getattr(b, name)) for name, value in fields.items()):
                edit = edits.layer(b.name, **fields)
                yield Finding("spatial-norm", b.name, between(a), between(b), reasons.SPATIAL_NORM, edit)
        case MaxPool(), MaxPool():
            yield from _pool(subject, a, b)
        case ((ReLU() | Tanh()), (ReLU() | Tanh())):
            if type(a) is not type(b):
                edit = edits.exchanged(b.name, replace(a, name=b.name))
                yield Finding("activation", b.name, between(a), between(b), reasons.of_activation(a), edit)


def _lrn(a: LRN, b: LRN) -> Iterator[Finding]:
    compared: list[tuple[Facet, str, Callable[[LRN, LRN], str]]] = [
        ("lrn-alpha", "alpha", reasons.of_alpha),
        ("lrn-size", "size", reasons.of_lrn_size),
        ("lrn-beta", "beta", reasons.of_beta),
        ("lrn-k", "k", reasons.of_k),
    ]
    for facet, field, why in compared:
        theirs, ours = getattr(a, field), getattr(b, field)
        if not same(theirs, ours):
            edit = edits.layer(b.name, **{field: theirs})
            yield Finding(facet, b.name, number(theirs), number(ours), why(a, b), edit)
    if a.groups != b.groups:
        edit = edits.layer(b.name, groups=a.groups)
        theirs, ours = (f"{one.groups} towers" if one.groups > 1 else "across all channels" for one in (a, b))
        yield Finding("lrn-towers", b.name, theirs, ours, reasons.of_towers(a), edit)


def _pool(subject: Subject, a: MaxPool, b: MaxPool) -> Iterator[Finding]:
    padded = subject.are_padded_otherwise(a, b)
    if (a.size, a.stride) == (b.size, b.stride) and not padded:
        return
    fields: dict[str, Any] = {"size": a.size, "stride": a.stride}
    if padded:
        fields["padding"] = a.padding
    why = reasons.of_pool(a, b, padded=padded)
    yield Finding("pooling", b.name, between(a), between(b), why, edits.layer(b.name, **fields))


def _order(theirs: Block, ours: Block) -> Iterator[Finding]:
    """The order of what both have; what one lacks is told on its own."""
    a, b = settled(theirs.rest), settled(ours.rest)
    common = set(tokens(a)) & set(tokens(b))
    orders = [
        [(token, layer) for token, layer in zip(tokens(layers), layers, strict=True) if token in common]
        for layers in (a, b)
    ]
    wanted, have = ([token for token, _ in order] for order in orders)
    if wanted != have:
        foreign = any(isinstance(layer, Foreign) for _, layer in orders[0])
        why = reasons.of_order(wanted, have, foreign=foreign)
        theirs_text, ours_text = (", ".join(in_order(layer) for _, layer in order) for order in orders)
        yield Finding("order", ours.name, theirs_text, ours_text, why, edits.ordered(ours.name, wanted))
