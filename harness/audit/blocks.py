"""A network cut at its learned layers: each with what follows it up to the next, and whose block is whose.

The convolutions of two networks are matched in order, the dense layers from the end; where one has fewer, those that
are most alike stand for each other and the rest counts as missing. Symmetric: A against B leaves out what B against A
does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, TypeGuard

from impls import derive
from impls.derive import InvalidNetwork, Shape
from impls.reading import Foreign, Reading, ReadLayer
from impls.spec import LRN, Conv, Dense, Dropout, MaxPool, Padding, ReLU, SpatialNorm, Tanh

HEAD = "input"  # the name of the block before the first learned layer

Kind: TypeAlias = str  # activation, LRN, spatial norm, pool, dropout, or what a foreign layer calls itself
Token: TypeAlias = tuple[Kind, int]  # the second layer of its kind in a block has number 1

# Parts of names that frameworks give to layers which do what a layer of ours does, in another way.
FOREIGN_ROLES: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("pool", ("pool",)),
    ("LRN", ("lrn", "localresponsenorm", "local_response_normalization")),
    (
        "activation",
        (
            "elu",
            "silu",
            "swish",
            "sigmoid",
            "mish",
            "softplus",
            "softsign",
            "hardtanh",
            "activation",
            "clamp",
            "threshold",
            "shrink",
            "function",
        ),
    ),
)

SEES_THE_IMAGE = 2.0  # what it costs to match a first convolution with a later one, in settings that differ


class Block(NamedTuple):
    """A learned layer and what follows it."""

    learned: Conv | Dense | Foreign | None  # None: what stands before the first one
    rest: tuple[Any, ...]  # of a `Network` Layer, of a `Reading` ReadLayer

    @property
    def name(self) -> str:
        """The learned layer's."""
        return HEAD if self.learned is None else self.learned.name


class Pair(NamedTuple):
    """Two blocks that stand for each other, or one that stands alone."""

    theirs: Block | None
    reference: Block | None


def split(layers: Sequence[ReadLayer]) -> list[Block]:
    """The head, then a block for every learned layer."""
    blocks = [Block(None, ())]
    for layer in layers:
        if isinstance(layer, Conv | Dense) or is_foreign_convolution(layer):
            blocks.append(Block(layer, ()))
        else:
            blocks[-1] = blocks[-1]._replace(rest=(*blocks[-1].rest, layer))
    return blocks


def is_foreign_convolution(layer: ReadLayer) -> TypeGuard[Foreign]:
    """Whether it convolves in a way that has no class here, dilated or with oblong kernels: it stands for a layer."""
    return isinstance(layer, Foreign) and layer.parameters > 0 and "conv" in layer.kind.lower()


def first_convolution(layers: Sequence[ReadLayer]) -> Conv | None:
    """The layer that sees the image, where it has a class here."""
    found = next((layer for layer in layers if isinstance(layer, Conv) or is_foreign_convolution(layer)), None)
    return found if isinstance(found, Conv) else None


def layers_of(block: Block) -> tuple[Any, ...]:
    """All its layers."""
    return block.rest if block.learned is None else (block.learned, *block.rest)


def kind(layer: ReadLayer) -> Kind:
    """What a layer between two learned ones is for."""
    match layer:
        case ReLU() | Tanh():
            return "activation"
        case LRN():
            return "LRN"
        case SpatialNorm():
            return "spatial norm"
        case MaxPool():
            return "pool"
        case Dropout():
            return "dropout"
        case Foreign():
            low = layer.kind.lower()
            roles = (role for role, parts in FOREIGN_ROLES if any(part in low for part in parts))
            return next(roles, f"foreign {layer.kind}")
    raise TypeError(f"{type(layer).__name__} is a learned layer")


def tokens(layers: Sequence[ReadLayer]) -> list[Token]:
    """Each layer's kind, numbered among its like."""
    seen = Counter[Kind]()
    found = []
    for layer in layers:
        found.append((kind(layer), seen[kind(layer)]))
        seen[kind(layer)] += 1
    return found


def settled(layers: Sequence[Any]) -> tuple[Any, ...]:
    """Dropout behind a ReLU that follows it at once: a factor that is not negative and a ReLU change places freely."""
    found = list(layers)
    for place in range(len(found) - 1):
        if isinstance(found[place], Dropout) and isinstance(found[place + 1], ReLU):
            found[place], found[place + 1] = found[place + 1], found[place]
    return tuple(found)


def pairs(theirs: Sequence[ReadLayer], reference: Sequence[ReadLayer]) -> list[Pair]:
    """Every block of both, once, in the order of the reference."""
    ours, others = split(reference), split(theirs)
    convs = _matched(_of(others, (Conv, Foreign)), _of(ours, (Conv, Foreign)))
    dense_theirs, dense_ours = _of(others, (Dense,)), _of(ours, (Dense,))
    missing = len(dense_ours) - len(dense_theirs)
    dense = [
        *(Pair(None, block) for block in dense_ours[: max(missing, 0)]),
        *(Pair(block, None) for block in dense_theirs[: max(-missing, 0)]),
        *(Pair(*both) for both in zip(dense_theirs[max(-missing, 0) :], dense_ours[max(missing, 0) :], strict=True)),
    ]
    return [Pair(others[0], ours[0]), *convs, *dense]


def _of(blocks: Sequence[Block], wanted: tuple[type, ...]) -> list[Block]:
    return [block for block in blocks if isinstance(block.learned, wanted)]


def _matched(theirs: list[Block], ours: list[Block]) -> list[Pair]:
    """Convolutions in order: every one of the shorter list has its like in the longer one."""
    if len(theirs) > len(ours):
        return [Pair(pair.reference, pair.theirs) for pair in _matched(ours, theirs)]
    # best[i][j]: the least cost of matching the first i of the shorter list within the first j of the longer one
    best = [[0.0] * (len(ours) + 1)] + [[math.inf] * (len(ours) + 1) for _ in theirs]
    for i, one in enumerate(theirs, 1):
        for j in range(i, len(ours) + 1):
            best[i][j] = min(
                best[i][j - 1], best[i - 1][j - 1] + _unlike(one, ours[j - 1]) + 2.0 * ((i == 1) != (j == 1))
            )
    found: list[Pair] = []
    i = len(theirs)
    for j in range(len(ours), 0, -1):
        skipped = i == 0 or best[i][j - 1] <= best[i][j]  # of equals the later one is missing
        found.append(Pair(None, ours[j - 1]) if skipped else Pair(theirs[i - 1], ours[j - 1]))
        i -= not skipped
    return found[::-1]


def _unlike(one: Block, other: Block) -> float:
    a, b = one.learned, other.learned
    cost = 1.0  # of a convolution that has no class here
    if isinstance(a, Conv) and isinstance(b, Conv):
        cost = (a.size != b.size) + (a.stride != b.stride) + 0.25 * (a.groups != b.groups)
        cost += min(1.0, abs(math.log(max(a.kernels, 1) / max(b.kernels, 1))))
    kinds = [{kind(layer) for layer in block.rest} for block in (one, other)]
    return cost + sum(0.5 for name in ("pool", "LRN", "spatial norm") if (name in kinds[0]) != (name in kinds[1]))


def input_shapes(reading: Reading) -> dict[str, Shape]:
    """What each layer is given, as far as that follows: empty from the layer on that does not fit."""
    shape: Shape = (reading.height, reading.width, reading.channels)
    found: dict[str, Shape] = {}
    for layer in reading.layers:
        found[layer.name] = shape
        if isinstance(layer, Foreign):
            shape = layer.output_shape or shape
            continue
        try:
            shape = derive.layer_facts(layer, shape).output_shape
        except (InvalidNetwork, IndexError, ZeroDivisionError):
            break
    return found


def used_padding(layer: Conv | MaxPool, shape: Shape | None) -> Padding:
    """The padding that windows reach: what lies right and below of the last window has no effect."""
    pad = layer.padding
    if shape is None or len(shape) != 3 or min(layer.size, layer.stride) < 1:
        return pad

    def used(length: int, before: int, after: int) -> int:
        steps = (length + before + after - layer.size) // layer.stride
        return max(0, min(after, steps * layer.stride + layer.size - length - before))

    bottom, right = used(shape[0], pad.top, pad.bottom), used(shape[1], pad.left, pad.right)
    return Padding(top=pad.top, bottom=bottom, left=pad.left, right=right)
