"""Departures of dropout: where it stands, how much it drops, and where it makes up for that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness.audit import edits, reasons
from harness.audit.blocks import Block, Token, settled, tokens
from harness.audit.departure import Finding
from harness.audit.edits import Edit
from harness.audit.subject import Subject
from harness.audit.wording import NONE, listed, number, same
from impls.spec import Dropout


class Place(NamedTuple):
    """A dropout layer, by the reference's name of the learned layer it follows."""

    owner: str
    turn: int  # the second one in a block has number 1
    layer: Dropout
    before: tuple[Token, ...]  # what stands between the two

    @property
    def key(self) -> tuple[str, int]:
        """Where it is, whatever its settings are."""
        return self.owner, self.turn


def findings(subject: Subject) -> Iterator[Finding]:
    """All of this file's; dropout in a block that only one of the two has goes with that block."""
    if subject.is_silent("dropout"):
        return
    theirs = [place for a, b in subject.matched for place in _places(a, b.name)]
    ours = [place for _, b in subject.matched for place in _places(b, b.name)]
    if [place.key for place in theirs] != [place.key for place in ours]:
        yield _moved(subject, theirs, ours)
    for a, b in _counterparts(theirs, ours):
        if not same(a.layer.rate, b.layer.rate):
            edit = edits.layer(b.layer.name, rate=a.layer.rate)
            texts = (number(a.layer.rate), number(b.layer.rate))
            yield Finding("dropout-rate", b.layer.name, *texts, reasons.DROPOUT_RATE, edit)
        if a.layer.scaling is not b.layer.scaling and not subject.is_silent("dropout-scaling"):
            edit = edits.layer(b.layer.name, scaling=a.layer.scaling)
            told, ours_told = (one.layer.scaling.value.replace("-", " ") for one in (a, b))
            yield Finding("dropout-scaling", b.layer.name, told, ours_told, reasons.of_scaling(a.layer.scaling), edit)


def _places(block: Block, owner: str) -> Iterator[Place]:
    rest = settled(block.rest)
    turn = 0
    for place, layer in enumerate(rest):
        if isinstance(layer, Dropout):
            yield Place(owner, turn, layer, tuple(tokens(rest[:place])))
            turn += 1


def _counterparts(theirs: Sequence[Place], ours: Sequence[Place]) -> list[tuple[Place, Place]]:
    """Those in the same place, then the others in order."""
    by_key = {place.key: place for place in ours}
    settled_pairs = [(place, by_key[place.key]) for place in theirs if place.key in by_key]
    left = [place for place in theirs if place.key not in by_key]
    taken = {place.key for place, _ in settled_pairs}
    free = [place for place in ours if place.key not in taken]
    return [*settled_pairs, *zip(left, free, strict=False)]


def _moved(subject: Subject, theirs: Sequence[Place], ours: Sequence[Place]) -> Finding:
    """Another number of dropout layers, or as many in other places."""
    pairs = _counterparts(theirs, ours)
    changed = [(a, b) for a, b in pairs if a.key != b.key]
    matched = ({a.key for a, _ in pairs}, {b.key for _, b in pairs})
    added = [place for place in theirs if place.key not in matched[0]]
    removed = [place for place in ours if place.key not in matched[1]]
    gone = [b.layer.name for _, b in changed] + [place.layer.name for place in removed]
    # One that moved keeps the reference's settings: rates and scaling are departures of their own.
    made = [*((a, b.layer) for a, b in changed), *((place, place.layer) for place in added)]
    change: list[Edit] = [edits.without(*gone)] if gone else []
    change += [edits.placed(place.owner, place.before, layer) for place, layer in made]
    names = [place.layer.name for place in ours] or [f"{place.layer.name}" for place in theirs]
    return Finding(
        "dropout" if len(theirs) != len(ours) else "dropout-position",
        ", ".join(names),
        _told(subject, theirs),
        _told(subject, ours),
        reasons.of_dropout(len(theirs), len(ours)),
        edits.chained(change),
    )


def _told(subject: Subject, places: Sequence[Place]) -> str:
    """`before fc6 and fc7`."""
    followers = [subject.follower(place.owner) for place in places]
    return f"before {listed([name or 'the end' for name in followers])}" if places else NONE
