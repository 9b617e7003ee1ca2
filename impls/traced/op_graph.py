"""A traced forward pass as a graph of operations, and the chain of layers that it amounts to. Standard library only.

Tracers (`impls.with_torch.tracing`, `impls.with_jax.tracing`) record what depends on the images, one `Step` for each
operation. `chain` walks the steps: where one value is alive between two of them the network is a plain chain; what lies
between a fork and its join is a segment. Towers that run side by side and are concatenated are the paper's groups;
any other segment is one `Foreign` layer named after the operation that joins it, never a chain in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from impls.derive import Shape
from impls.reading import Foreign, ReadLayer
from impls.spec import LRN, Conv, Dense, Dropout, MaxPool, ReLU, Tanh
from impls.traced.settling import Scale, settled

Kind = Literal["layer", "pass", "part", "join"]
Part = tuple[int, int, int]
Recognise = Callable[[Sequence["Step"], int, int], "ReadLayer | None"]
SUMS = ("reduce_window_sum", "reduce_sum")
# What loose operations are together, by one that tells.
KINDS_BY_PART = {"rsqrt": "normalisation", "reduce_window_sum": "average pool", "reduce_sum": "mean", "erf": "GELU"}
# Sides of the images that AlexNets are written for, the commonest first; tried where a file gives none.
USUAL_SIDES = (224, 227, 256, 32, 28, 64, 96, 128, 299)


class WrongSize(ValueError):
    """Images of this size make the module do what nobody meant, such as to flatten two images into three rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation on values that depend on the images. Values are numbered by the tracer."""

    kind: Kind = "layer"  # `pass`: its output is its input, flattened at most
    layer: ReadLayer | None = None  # of a `layer`
    inputs: tuple[int, ...]
    output: int
    part: Part = (0, 0, 0)  # of a `part`: first channel, the one after its last, all of them
    shape: Shape = ()  # of the output, without the batch: (H, W, C) or (features,)
    parameters: int = 0  # weights and biases that it takes
    loose: bool = False  # no layer by itself: neighbours of its kind are one
    again: Any = None  # what the tracer needs to run the step again


def chain(
    steps: Sequence[Step], image: int, result: int, recognise: Recognise = lambda _segment, _start, _end: None
) -> tuple[ReadLayer, ...]:
    """The layers from `image` to `result` in order; a softmax at the end is left out.

    `recognise(segment, first value, last value)` may know a segment, or a foreign layer, by what it computes. Raises
    ValueError where the result does not depend on the images.
    """
    needed = _needed(_without_repeats(steps), image, result)
    pieces = _pieces(needed, image, recognise)
    return settled([layer for piece in pieces for layer in piece.layers])


@dataclass(frozen=True, slots=True)
class _Piece:
    """A segment, the value it starts from, and its layers so far."""

    segment: list[Step]
    start: int
    layers: list[ReadLayer]
    recognised: bool = False

    @property
    def unknown(self) -> bool:
        """Whether it is one foreign layer and nothing that a tracer has a word for."""
        return not self.recognised and len(self.layers) == 1 and type(self.layers[0]) is Foreign

    @property
    def loose(self) -> bool:
        """Whether its layer is no more than its last operation."""
        learned = any(isinstance(step.layer, Conv | Dense) for step in self.segment)
        return self.unknown and self.segment[-1].loose and not learned

    def known(self, recognise: Recognise) -> _Piece:
        """By what it computes."""
        layer = self.layers[0] if self.unknown else None
        if layer is None or any(step.parameters for step in self.segment):
            return self
        found = recognise(self.segment, self.start, self.segment[-1].output)
        if found is None:
            return self
        named: ReadLayer = replace(found, source=layer.source)
        if isinstance(named, Foreign):
            named = replace(named, output_shape=self.segment[-1].shape)
        return replace(self, layers=[named], recognised=True)


def _together(pieces: Sequence[_Piece]) -> Iterator[_Piece]:
    """Loose neighbours as one piece, of which more can be said than of each."""
    waiting: list[_Piece] = []
    for piece in pieces:
        if waiting and _averages(waiting[-1], piece):
            yield from _joined([*waiting, piece])
            waiting = []
        elif piece.loose or (waiting and not piece.layers):
            waiting.append(piece)
        else:
            yield from _joined(waiting)
            yield piece
            waiting = []
    yield from _joined(waiting)


def _joined(pieces: list[_Piece]) -> Iterator[_Piece]:
    while pieces and not pieces[-1].layers:
        pieces = pieces[:-1]  # a flattening after them stays outside
    if len(pieces) < 2:
        yield from pieces
    else:
        segment = [step for piece in pieces for step in piece.segment]
        yield _Piece(segment, pieces[0].start, [_foreign(segment)])


def _averages(sums: _Piece, piece: _Piece) -> bool:
    """Whether a sum over pixels is divided, as a mean is computed."""
    last = sums.segment[-1].layer
    return isinstance(last, Foreign) and last.kind in SUMS and any(isinstance(each, Scale) for each in piece.layers)


def _without_repeats(steps: Sequence[Step]) -> list[Step]:
    """Steps that concatenate the same values again, as each tower may do for itself, become one."""
    same: dict[int, int] = {}
    joins: dict[tuple[int, ...], int] = {}
    found = []
    for step in steps:
        changed = replace(step, inputs=tuple(same.get(value, value) for value in step.inputs))
        if changed.kind == "join":
            first = joins.setdefault(changed.inputs, changed.output)
            if first != changed.output:
                same[changed.output] = first
                continue
        found.append(changed)
    return found


def _needed(steps: Sequence[Step], image: int, result: int) -> list[Step]:
    """The steps that the result depends on."""
    wanted, found = {result}, []
    for step in reversed(steps):
        if step.output in wanted:
            found.append(step)
            wanted.update(step.inputs)
    if image not in wanted or (not found and image != result):
        raise ValueError("what the network returns does not depend on the images")
    return found[::-1]


def _segments(steps: Sequence[Step], image: int) -> Iterator[tuple[list[Step], int]]:
    """The steps cut wherever a single value is alive, each piece with the value that it starts from."""
    uses = Counter(value for step in steps for value in step.inputs)
    alive, start = {image}, image
    segment: list[Step] = []
    for index, step in enumerate(steps):
        segment.append(step)
        for value in step.inputs:
            uses[value] -= 1
        alive = {value for value in alive | {step.output} if uses[value] > 0 or index == len(steps) - 1}
        if alive == {step.output} or index == len(steps) - 1:
            yield segment, start
            segment, start = [], step.output


def _pieces(steps: Sequence[Step], start: int, recognise: Recognise) -> list[_Piece]:
    """Steps from one value on, cut into segments, each with its layers."""
    pieces = [
        _Piece(segment, first, _layers_of(segment, first, recognise)).known(recognise)
        for segment, first in _segments(steps, start)
    ]
    return [piece.known(recognise) for piece in _together(pieces)]


def _layers_of(segment: list[Step], start: int, recognise: Recognise) -> list[ReadLayer]:
    if len(segment) == 1 and segment[0].kind == "pass":
        return []
    if len(segment) == 1 and segment[0].layer is not None:
        return [segment[0].layer]
    return _towers(segment, start, recognise) or [_foreign(segment)]


def _foreign(segment: list[Step]) -> Foreign:
    """A fork and all up to its join, or neighbours that are no layer each, as one layer that has no class here."""
    last = segment[-1]
    layers = [step.layer for step in segment if step.layer is not None]
    held = Counter(layer.kind if isinstance(layer, Foreign) else type(layer).__name__ for layer in layers)
    kind, source = {"join": "concatenation", "part": "slice"}.get(last.kind, "branch"), ""
    if isinstance(last.layer, Foreign):
        kind, source = last.layer.kind, last.layer.source
    if last.loose:
        kind = next((KINDS_BY_PART[name] for name in KINDS_BY_PART if name in held), kind)
        source = next((layer.source for layer in layers if isinstance(layer, Foreign) and layer.parameters), source)
    words = ", ".join(f"{count} {name}" if count > 1 else name for name, count in held.items() if name != kind)
    return Foreign(
        name=kind,
        kind=kind,
        detail=f"of {words}"[:200] if words else "",
        parameters=sum(step.parameters for step in segment),
        output_shape=last.shape,
        source=source,
    )


def _towers(segment: list[Step], start: int, recognise: Recognise) -> list[ReadLayer] | None:
    """Equal towers side by side, concatenated, as layers in groups; None where the segment is no such thing."""
    last = segment[-1]
    if last.kind != "join" or len(last.inputs) < 2 or len(set(last.inputs)) != len(last.inputs):
        return None
    towers = [_tower(segment, start, end) for end in last.inputs]
    if not all(towers) or sum(map(len, towers)) + 1 != len(segment):
        return None
    firsts = [tower[0] for tower in towers]
    split = all(step.kind == "part" for step in firsts)
    if split:
        if not _covers([step.part for step in firsts]):
            return None
        towers = [tower[1:] for tower in towers]
    rows = []
    for tower, first in zip(towers, firsts, strict=True):
        begin = first.output if split else start
        rows.append([layer for piece in _pieces(tower, begin, recognise) for layer in piece.layers])
    if len({len(row) for row in rows}) != 1:
        return None
    abreast = [_abreast(layers, whole=index == 0 and not split) for index, layers in enumerate(zip(*rows, strict=True))]
    known = [layer for layer in abreast if layer is not None]
    return known if known and len(known) == len(abreast) else None


def _tower(segment: list[Step], start: int, end: int) -> list[Step]:
    """The steps of a segment that lead from `start` to `end`; none where nothing does."""
    wanted, found = {end}, []
    for step in reversed(segment):
        if step.output in wanted and step.output != start:
            found.append(step)
            wanted.update(step.inputs)
    return found[::-1] if start in wanted else []


def _covers(parts: list[tuple[int, int, int]]) -> bool:
    """Whether equal parts follow each other from the first channel to the last."""
    ends = [0, *(stop for _, stop, _ in parts)]
    sizes = {stop - start for start, stop, _ in parts}
    return [start for start, _, _ in parts] == ends[:-1] and ends[-1] == parts[0][2] and len(sizes) == 1


def _abreast(layers: Sequence[ReadLayer], *, whole: bool) -> ReadLayer | None:
    """One layer for those at the same place of each tower. `whole`: each takes the whole value and not its part."""
    first, count = layers[0], len(layers)
    plain = [replace(layer, name="", source="") for layer in layers]
    if any(layer != plain[0] for layer in plain):
        return None
    source = " + ".join(dict.fromkeys(layer.source for layer in layers if layer.source))
    match first:
        case Conv(kernels=kernels, groups=groups) if not whole or groups == 1:
            return replace(first, kernels=kernels * count, groups=1 if whole else groups * count, source=source)
        case Dense(units=units) if whole:
            return replace(first, units=units * count, source=source)
        case LRN(groups=groups) if not whole:
            return replace(first, groups=groups * count, source=source)
        case ReLU() | Tanh() | MaxPool() | Dropout() if not whole:
            return replace(first, source=source)
        case Foreign(parameters=parameters, output_shape=shape) if not whole:
            wide = (*shape[:-1], shape[-1] * count) if shape else shape
            return replace(first, parameters=parameters * count, output_shape=wide, source=source)
    return None
