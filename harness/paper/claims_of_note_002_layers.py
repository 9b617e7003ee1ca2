"""What note 002 counts layer by layer: C1 to C7, S2 to S8, F9, F10 and Output, with parameters and connections.

Its C are the convolutions and S the pools, numbered together; a pool has no weights, whatever LeNet's had.
"""

from __future__ import annotations

from functools import partial

from harness.paper import note_counts, note_probes
from harness.paper.claims import Answer, NoteClaim
from impls import derive
from impls.spec import LRN, Conv, MaxPool, Network

Claim = partial(NoteClaim, note="002")


def _geometry(network: Network) -> tuple[int, int, int]:
    """Kernel, stride and output side of the first convolution."""
    row = derive.facts(network)[0]
    assert isinstance(row.layer, Conv)
    return row.layer.size, row.layer.stride, row.output_shape[0]


def _padded_side(network: Network) -> Answer:
    """H + 2P from O = (H + 2P - F) / S + 1."""
    size, stride, out = _geometry(network)
    return Answer(str((out - 1) * stride + size), (out - 1) * stride + size == 227, f"({out} - 1) x {stride} + {size}")


def _two_cases(network: Network) -> Answer:
    """Symmetric paddings that give the side, and what the network has."""
    size, stride, out = _geometry(network)
    wanted = (out - 1) * stride + size
    found = {(wanted - 2 * padding, padding) for padding in range(size)}
    first = network.layers[0]
    assert isinstance(first, Conv)
    own = ", ".join(f"{edge} {pixels}" for edge, pixels in first.padding._asdict().items() if pixels) or "none"
    mentioned = {(225, 1), (227, 0)}
    agrees = (network.height, first.padding.top) in mentioned and len(set(first.padding)) == 1
    note = f"also {', '.join(f'{side} with {padding}' for side, padding in sorted(found - mentioned)[-2:])}"
    return Answer(f"{network.height}, padding {own}", agrees, f"{note}; the 2012 source pads 224 on two sides only")


def _tower(name: str, printed: int) -> note_counts.Check:
    """Kernels of a layer, where the note gives those of one tower."""

    def check(network: Network) -> Answer:
        layer = note_counts.row_of(network, name).layer
        assert isinstance(layer, Conv)
        instead = "one tower's kernels" if printed * layer.groups == layer.kernels else ""
        return Answer(str(layer.kernels), layer.kernels == printed, f"in {layer.groups} groups", instead)

    return check


def _tower_depth(name: str, shape: tuple[int, ...]) -> note_counts.Check:
    """The maps that go into a layer, where the note gives those of one tower."""

    def check(network: Network) -> Answer:
        found = note_counts.row_of(network, name).input_shape
        before = [layer for layer in network.layers if isinstance(layer, Conv) and layer.groups > 1]
        halves = bool(before) and (*found[:-1], found[-1] // before[0].groups) == shape
        return Answer(note_counts.sides(found), found == shape, "", "one tower's maps" if halves else "")

    return check


def _directly(name: str, after: str) -> note_counts.Check:
    """No pooling or normalisation between two convolutions."""

    def check(network: Network) -> Answer:
        names = [layer.name for layer in network.layers]
        between = network.layers[names.index(after) + 1 : names.index(name)]
        found = [layer.name for layer in between]
        return Answer(", ".join(found) or "nothing", not any(isinstance(x, LRN | MaxPool) for x in between))

    return check


def _convolution(
    place: str, layer: str, kernels: tuple[int, int, int, int], printed: int, *, right: bool = True
) -> list[NoteClaim]:
    """A layer's kernels and parameters; `kernels`: how many, of which size and depth, and the stride."""
    count, size, depth, stride = kernels
    return [
        Claim(
            place=place, claim=f"{count} kernels of {size} x {size} x {depth}, stride={stride}",
            figure=f"{count} of {size} x {size} x {depth}", check=note_counts.kernels(layer, *kernels),
        ),
        Claim(
            place=place, claim=f"parameters: {size * size * depth + 1}*{count}={printed}", figure=str(printed),
            check=note_counts.parameters(layer, printed), known="holds" if right else "contradicted",
        ),
    ]  # fmt: skip


def _pool(place: str, layer: str, shape: tuple[int, int, int], printed: tuple[int, int]) -> list[NoteClaim]:
    """A pool's output, parameters and connections."""
    side, _, maps = shape
    name = place.rpartition(", ")[2]
    return [
        Claim(
            place=place, claim=f"{name}: 3 x 3 pooling with stride=2 gives {maps} maps of {side} x {side}",
            figure=f"{side} x {side} x {maps}", check=note_counts.output(layer, shape),
        ),
        Claim(
            place=place, claim=f"{name}: (1+1)*{maps}={printed[0]} parameters", figure=str(printed[0]),
            check=note_counts.parameters(layer, printed[0]), known="contradicted",
        ),
        Claim(
            place=place, claim=f"{name}: (3*3+1)*{maps}*{side}*{side}={printed[1]} connections", figure=str(printed[1]),
            check=note_counts.connections(layer, printed[1]), known="contradicted",
        ),
    ]  # fmt: skip


def _dense(place: str, layer: str, worked: str, printed: int, *, right: bool) -> list[NoteClaim]:
    """A dense layer's parameters and connections, which the note takes to be as many."""
    known = partial(Claim, place=place, figure=str(printed), known="holds" if right else "contradicted")
    return [
        known(claim=f"parameters: {worked}={printed}", check=note_counts.parameters(layer, printed)),
        known(claim=f"connections: {worked}={printed}", check=note_counts.connections(layer, printed)),
    ]


CLAIMS: tuple[NoteClaim, ...] = (
    *_convolution("2.2.1, C1", "conv1", (96, 11, 3, 4), 34944),
    Claim(
        place="2.2.1, C1", claim="96 feature maps of 55 x 55", figure="55 x 55 x 96",
        check=note_counts.output("conv1", (55, 55, 96)),
    ),
    Claim(place="2.2.1, C1", claim="worked back, H+2P=227", figure="227", check=_padded_side),
    Claim(
        place="2.2.1, C1", claim="so there are two cases: an image of 225 with padding=1, or one of 227",
        figure="225 or 227", check=_two_cases, known="contradicted",
    ),
    Claim(
        place="2.2.1, C1", claim="55*55*96=290400 connections", figure="290400",
        check=note_counts.connections("conv1", 290400), known="misnamed",
    ),
    *_pool("2.2.2, S2", "pool1", (27, 27, 96), (192, 699840)),
    Claim(
        place="2.2.2, S2", claim="first sums C1's field of 2x2, then goes into the activation", figure="sum of 2x2",
        check=note_probes.sums_two_by_two, known="contradicted",
    ),
    *_convolution("2.2.3, C3", "conv2", (256, 5, 48, 1), 307456),
    Claim(
        place="2.2.3, C3", claim="C3 consists of 128 kernels", figure="128", check=_tower("conv2", 128),
        known="misnamed",
    ),
    Claim(
        place="2.2.3, C3", claim="27*27*48*256=8957952 connections", figure="8957952",
        check=note_counts.connections("conv2", 8957952), known="contradicted",
    ),
    *_pool("2.2.4, S4", "pool2", (13, 13, 256), (512, 432640)),
    *_convolution("2.2.5, C5", "conv3", (384, 3, 256, 1), 885120),
    Claim(
        place="2.2.5, C5", claim="convolves images of 13 x 13 x 128", figure="13 x 13 x 128",
        check=_tower_depth("conv3", (13, 13, 128)), known="misnamed",
    ),
    Claim(
        place="2.2.5, C5", claim="13*13*256*384=16613376 connections", figure="16613376",
        check=note_counts.connections("conv3", 16613376), known="contradicted",
    ),
    *_convolution("2.2.6, C6", "conv4", (384, 3, 192, 1), 663936),
    Claim(
        place="2.2.6, C6", claim="connected to C5 directly, without pooling or normalisation", figure="directly",
        check=_directly("conv4", "conv3"),
    ),
    Claim(
        place="2.2.6, C6", claim="13*13*192*384=12460032 connections", figure="12460032",
        check=note_counts.connections("conv4", 12460032), known="contradicted",
    ),
    *_convolution("2.2.7, C7", "conv5", (256, 3, 192, 1), 442368, right=False),
    Claim(
        place="2.2.7, C7", claim="connected to C6 directly, without pooling or normalisation", figure="directly",
        check=_directly("conv5", "conv4"),
    ),
    Claim(
        place="2.2.7, C7", claim="13*13*192*256=8306688 connections", figure="8306688",
        check=note_counts.connections("conv5", 8306688), known="contradicted",
    ),
    *_pool("2.2.8, S8", "pool5", (6, 6, 256), (512, 92160)),
    *_dense("2.2.9, F9", "fc6", "[(6*6+1)*256]*4096", 38797312, right=False),
    *_dense("2.2.10, F10", "fc7", "(4096+1)*4096", 16781312, right=True),
    *_dense("2.2.11, Output", "fc8", "(4096+1)*1000", 4097000, right=True),
)  # fmt: skip
