"""Departures of the input, of convolutions and of dense layers: sizes, widths, groups, initial weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.audit import edits, reasons
from harness.audit.blocks import HEAD, Block, first_convolution, is_foreign_convolution, layers_of
from harness.audit.departure import AFTER, Finding
from harness.audit.subject import Subject
from harness.audit.wording import NONE, between, initial, number, padding, plural, same, window
from impls import derive
from impls.reading import Foreign, ReadLayer
from impls.spec import Conv, Dense, Init, Layer


def findings(subject: Subject) -> Iterator[Finding]:
    """All of this file's."""
    yield from _input(subject)
    yield from _missing(subject, Conv, "convolution")
    yield from _missing(subject, Dense, "dense layer")
    yield from _foreign(subject)
    both = [(a.learned, b.learned) for a, b in subject.matched]
    learned = [(a, b) for a, b in both if isinstance(a, Conv | Dense) and isinstance(b, Conv | Dense)]
    for a, b in learned:
        if isinstance(a, Conv) and isinstance(b, Conv):
            yield from _widths(a, b)
            yield from _windows(subject, a, b)
        elif isinstance(a, Dense) and isinstance(b, Dense):
            yield from _units(subject, a, b)
    yield from _biases(subject, learned)
    if not subject.is_silent("init"):
        yield from _initial_weights(subject, learned)


def _input(subject: Subject) -> Iterator[Finding]:
    """The image's size together with the first convolution's padding: 227 without is 224 with 3 by another name."""
    theirs, ours = subject.theirs, subject.reference
    a, b = first_convolution(theirs.layers), first_convolution(ours.layers)
    padded = a is not None and b is not None and subject.are_padded_otherwise(a, b)
    if (theirs.height, theirs.width) != (ours.height, ours.width) or padded:
        change = [edits.whole(height=theirs.height, width=theirs.width)]
        if padded and a is not None and b is not None:
            change.append(edits.layer(b.name, padding=a.padding))
        texts = (_image(theirs.height, theirs.width, a), _image(ours.height, ours.width, b))
        why = reasons.of_input((theirs.height, theirs.width), a, (ours.height, ours.width), b)
        yield Finding("input", HEAD if b is None else b.name, *texts, why, edits.chained(change))
    if theirs.channels != ours.channels:
        edit = edits.whole(channels=theirs.channels)
        why = reasons.of_channels(theirs.channels)
        yield Finding("channels", HEAD, str(theirs.channels), str(ours.channels), why, edit)


def _image(height: int, width: int, conv: Conv | None) -> str:
    return f"{height}x{width}" if conv is None else f"{height}x{width}, {padding(conv.padding)}"


def _foreign(subject: Subject) -> Iterator[Finding]:
    """Convolutions that have no class here, in the places of those that have one."""
    counts = {row.layer.name: row.parameter_count for row in derive.facts(subject.reference)}
    for theirs, ours in subject.matched:
        a, b = theirs.learned, ours.learned
        if isinstance(a, Foreign) and isinstance(b, Conv):
            why = reasons.of_foreign(a, f"a {window(b)} convolution")
            more = a.parameters - counts[b.name]
            yield Finding("foreign", b.name, between(a), f"{window(b)}, {padding(b.padding)}", why, None, more)


def _missing(subject: Subject, kind: type[Conv | Dense], noun: str) -> Iterator[Finding]:
    """Learned layers that only one of the two has, each with what follows it up to the next."""
    both = (subject.theirs.layers, subject.reference.layers)
    theirs, ours = (plural(sum(_is(one, kind) for one in layers), noun) for layers in both)
    for pair in subject.pairs:
        if pair.theirs is None and pair.reference is not None and isinstance(pair.reference.learned, kind):
            why = reasons.of_depth(noun, missing=True)
            gone = [layer.name for layer in layers_of(pair.reference)]
            yield Finding("depth", pair.reference.name, theirs, ours, why, edits.without(*gone))
        elif pair.reference is None and pair.theirs is not None and _is(pair.theirs.learned, kind):
            owner, skip = subject.position(pair)
            known = not isinstance(pair.theirs.learned, Foreign)
            edit = edits.block_after(owner, _known(pair.theirs), skip) if known else None
            yield Finding("depth", f"{AFTER}{owner}", theirs, ours, reasons.of_depth(noun, missing=False), edit)


def _is(layer: ReadLayer | None, kind: type[Conv | Dense]) -> bool:
    """Whether it is of that kind, be it in a way that has no class here."""
    return isinstance(layer, kind) or (kind is Conv and layer is not None and is_foreign_convolution(layer))


def _known(block: Block) -> list[Layer]:
    return [layer for layer in layers_of(block) if not isinstance(layer, Foreign)]


def _widths(a: Conv, b: Conv) -> Iterator[Finding]:
    if a.kernels != b.kernels:
        edit = edits.layer(b.name, kernels=a.kernels)
        yield Finding("kernels", b.name, str(a.kernels), str(b.kernels), reasons.KERNELS, edit)
    if a.groups != b.groups:
        edit = edits.layer(b.name, groups=a.groups)
        yield Finding("groups", b.name, str(a.groups), str(b.groups), reasons.of_groups(a.groups, b.groups), edit)


def _windows(subject: Subject, a: Conv, b: Conv) -> Iterator[Finding]:
    """Size with the padding that goes with it, or padding alone; stride. The first one's padding is the input's."""
    padded = not subject.see_the_image(a, b) and subject.are_padded_otherwise(a, b)
    if a.size != b.size:
        theirs, ours = (f"{one.size}x{one.size}{', ' + padding(one.padding) if padded else ''}" for one in (a, b))
        fields = {"size": a.size, "padding": a.padding} if padded else {"size": a.size}
        yield Finding("kernel-size", b.name, theirs, ours, reasons.KERNEL_SIZE, edits.layer(b.name, **fields))
    elif padded:
        theirs, ours = padding(a.padding), padding(b.padding)
        edit = edits.layer(b.name, padding=a.padding)
        yield Finding("padding", b.name, theirs, ours, reasons.of_padding(a.padding), edit)
    if a.stride != b.stride:
        edit = edits.layer(b.name, stride=a.stride)
        yield Finding("stride", b.name, str(a.stride), str(b.stride), reasons.STRIDE, edit)


def _units(subject: Subject, a: Dense, b: Dense) -> Iterator[Finding]:
    if a.units == b.units:
        return
    theirs, ours = str(a.units), str(b.units)
    if b is [one for one in subject.reference.layers if isinstance(one, Dense)][-1]:
        yield Finding("classes", b.name, theirs, ours, reasons.CLASSES, edits.classes(a.units))
    else:
        yield Finding("units", b.name, theirs, ours, reasons.UNITS, edits.layer(b.name, units=a.units))


def _biases(subject: Subject, learned: Sequence[tuple[Conv | Dense, Conv | Dense]]) -> Iterator[Finding]:
    """Layers that have none. Every layer of a reference has."""
    lacking = {one.name for one in subject.theirs.without_bias}
    for a, b in learned:
        if a.name in lacking:
            count = -(a.kernels if isinstance(a, Conv) else a.units)
            yield Finding("bias", b.name, NONE, "one for each output", reasons.NO_BIAS, None, count)


def _initial_weights(subject: Subject, learned: Sequence[tuple[Conv | Dense, Conv | Dense]]) -> Iterator[Finding]:
    """The weights' distribution; the biases' on their own only where neither depends on the layer's fan."""
    fans = [(a, b) for a, b in learned if a.init != b.init and (isinstance(a.init, Init) or isinstance(b.init, Init))]
    texts = (_told([a for a, _ in fans]), _told([b for _, b in fans]))
    for a, b in fans:
        edit = edits.layer(b.name, init=a.init, init_bias=a.init_bias)
        yield Finding("init", b.name, *texts, reasons.of_init(a.init), edit)
    for a, b in learned:
        if isinstance(a.init, Init) or isinstance(b.init, Init):
            continue
        if not same(a.init, b.init):
            edit = edits.layer(b.name, init=a.init)
            yield Finding("init", b.name, initial(a), initial(b), reasons.of_init(a.init), edit)
        if a not in subject.theirs.without_bias and not same(a.init_bias, b.init_bias):
            edit = edits.layer(b.name, init_bias=a.init_bias)
            yield Finding("init-bias", b.name, number(a.init_bias), number(b.init_bias), reasons.INIT_BIAS, edit)


def _told(layers: Sequence[Conv | Dense]) -> str:
    return " or ".join(dict.fromkeys(initial(layer) for layer in layers)).replace(" or Gaussian, std", " or")
