"""What note 001 says: a chapter on AlexNet after Dive into Deep Learning, in Chinese prose."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from harness.data import images
from harness.paper import claims_of_results, note_counts, note_probes
from harness.paper.claims import Answer, NoteClaim
from impls import catalog, derive, split
from impls.spec import Conv, Dense, Dropout, MaxPool, Network

Claim = partial(NoteClaim, note="001")

FLOAT_BYTES = 4
GIGABYTE = 10**9
LENET_MAPS = (6, 16)  # LeCun et al., Gradient-based learning applied to document recognition, 1998: C1 and C3
TENS = 20  # "several tens of times" are two tens or more
CARD = 3 * 2**30  # bytes of one GTX 580, paper, section 3.2
ROUNDING = 0.1  # "nearly": a tenth less or more


def _hidden_dense(network: Network) -> list[derive.LayerFacts]:
    return [row for row in derive.facts(network) if isinstance(row.layer, Dense)][:-1]


def _depth(network: Network) -> Answer:
    convolutions = sum(isinstance(layer, Conv) for layer in network.layers)
    hidden = len(_hidden_dense(network))
    output = isinstance(network.layers[-1], Dense)
    shown = f"{convolutions} convolutions, {hidden} hidden dense, {int(output)} output"
    return Answer(shown, (convolutions, hidden, output) == (5, 2, True), f"{convolutions + hidden + output} in all")


def _lenet(network: Network) -> Answer:
    maps = [layer.kernels for layer in network.layers if isinstance(layer, Conv)]
    ratios = [own / lenet for own, lenet in zip(maps, LENET_MAPS, strict=False)]
    shown = " and ".join(f"{ratio:g}" for ratio in ratios)
    note = f"maps of the first two convolutions over LeNet-5's {' and '.join(map(str, LENET_MAPS))}"
    return Answer(f"{shown} times", min(ratios) >= TENS, note)


def _units(network: Network) -> Answer:
    units = [row.output_shape[0] for row in _hidden_dense(network)]
    return Answer(" and ".join(f"{count:,}" for count in units), units == [4096, 4096])


def _gigabyte(network: Network) -> Answer:
    count = sum(row.parameter_count for row in _hidden_dense(network))
    held = count * FLOAT_BYTES
    note = f"{count:,} parameters of float32; with gradient and velocity {3 * held / GIGABYTE:.3f} GB"
    return Answer(f"{held / GIGABYTE:.3f} GB", abs(held / GIGABYTE - 1) <= ROUNDING, note)


def _fills_a_card(network: Network) -> Answer:
    """Float32 of one training step: every layer's output and its gradient; weights, their gradients and velocity."""
    rows, batch = derive.facts(network), network.recipe.batch_size
    outputs = sum(derive.volume(row.output_shape) for row in rows) * batch
    needed = (2 * outputs + 3 * derive.parameter_count(network)) * FLOAT_BYTES
    note = f"{needed / CARD:.0%} of 3 GB in a step of {batch} images; with twice as many maps it would not fit"
    return Answer(f"{needed / GIGABYTE:.2f} GB", 2 * needed > CARD, note if 2 * needed > CARD else f"{batch} images")


def _half_on_each(network: Network) -> Answer:
    """The share of all parameters that one of two GPUs holds."""
    plan = split.plan(network, "model", 2)
    shapes = derive.parameter_shapes(network)
    held = 0
    for name, shape in shapes.items():
        part = plan.share(name, shape, 0)
        held += derive.volume(shape) // shape[-1] * (part.stop - part.start)
    share = held / derive.parameter_count(network)
    return Answer(f"{share:.1%}", share == 0.5, f"{held:,} parameters on each of two GPUs")


def views_printed(printed: int, worked: int) -> Callable[[Network], Answer]:
    """The views of an image, and what the printed sum really comes to."""

    def check(network: Network) -> Answer:
        found = note_counts.as_the_paper("crops and reflections increase the training set by this factor")(network)
        note = found.note if worked == printed else f"{found.note}; the printed sum gives {worked:,}"
        return Answer(found.ours, found.ours == f"{printed:,}" and worked == printed, note)

    return check


def _overlaps(network: Network) -> Answer:
    found = {(layer.size, layer.stride) for layer in network.layers if isinstance(layer, MaxPool)}
    shown = ", ".join(f"{size} x {size}, step {stride}" for size, stride in sorted(found))
    return Answer(shown, all(stride < size for size, stride in found) and found == {(3, 2)})


def _twice_the_time(network: Network) -> Answer:
    """What the paper says; nothing here measures it."""
    del network
    (said,) = [claim for claim in claims_of_results.CLAIMS if claim.claim.startswith("dropout roughly doubles")]
    return Answer(said.paper, said.paper.startswith("2 "), f"as the paper's section {said.section} has it: {said.note}")


def _keeps_its_size(network: Network) -> Answer:
    """Dropping units changes no shape."""
    changed = [
        row.layer.name
        for row in derive.facts(network)
        if isinstance(row.layer, Dropout) and row.input_shape != row.output_shape
    ]
    return Answer(f"changed in {', '.join(changed)}" if changed else "unchanged", not changed)


def _side(network: Network) -> Answer:
    found = (images.resized_side(network.width), network.width)
    return Answer(" to ".join(f"{side} x {side}" for side in found), found == (256, 224))


PAPER = catalog.get("paper")
LARGER, SMALLER = images.resized_side(PAPER.width), PAPER.width

CLAIMS: tuple[NoteClaim, ...] = (
    Claim(
        place="AlexNet model", claim="8 layers: 5 convolutions, 2 fully connected hidden layers and 1 output layer",
        figure="5, 2 and 1", check=_depth,
    ),
    Claim(
        place="AlexNet model", claim="windows of 11 x 11 in the first convolution, 5 x 5 in the second, then 3 x 3",
        figure="11, 5, 3, 3, 3", check=note_counts.windows((11, 5, 3, 3, 3)),
    ),
    Claim(
        place="AlexNet model", claim="max-pools of 3 x 3 with stride 2 after the first, second and fifth convolution",
        figure="3 x 3, stride 2", check=note_counts.pools(3, 2, ("conv1", "conv2", "conv5")),
    ),
    Claim(
        place="AlexNet model", claim="several tens of times as many channels as LeNet", figure="tens of times",
        check=_lenet, known="contradicted",
    ),
    Claim(
        place="AlexNet model", claim="two fully connected layers with 4,096 outputs", figure="4,096", check=_units,
    ),
    Claim(
        place="AlexNet model", claim="these two huge layers bring nearly 1 GB of parameters", figure="nearly 1 GB",
        check=_gigabyte, known="contradicted",
    ),
    Claim(
        place="AlexNet model", claim="one GPU needs to handle only half of the model", figure="half",
        check=_half_on_each,
    ),
    Claim(
        place="AlexNet model", claim="where the sigmoid's output is close to 0 or 1 its gradient is almost 0",
        figure="almost 0", check=note_probes.sigmoid_saturates,
    ),
    Claim(
        place="AlexNet model", claim="ReLU's gradient in the positive range is always 1", figure="1",
        check=note_probes.slope_where_positive,
    ),
    Claim(
        place="1, ReLU", claim="ReLU is linear, and its derivative is always 1", figure="1",
        check=note_probes.is_linear, known="contradicted",
    ),
    Claim(
        place="2, (1)", claim="images of 256 x 256 are cropped at random to 224 x 224", figure="256 to 224",
        check=_side,
    ),
    Claim(
        place="2, (1)", claim="equal to ((256 - 224)^2) x 2 = 2048 times as many samples", figure="2048",
        check=views_printed(2048, (LARGER - SMALLER) ** 2 * 2), known="contradicted",
    ),
    Claim(
        place="2, (2)", claim="in testing 5 crops and their mirror images, 10 in all", figure="10",
        check=note_counts.of_the_paper("test views of an image"),
    ),
    Claim(
        place="2, (2)", claim="then the results are averaged", figure="averaged",
        check=note_counts.of_the_paper("averaged over the test views"),
    ),
    Claim(
        place="2, (3)", claim="PCA of RGB space, the principal components disturbed by a Gaussian (0, 0.1)",
        figure="(0, 0.1)", check=note_counts.of_the_paper("colour noise along the principal components"),
    ),
    Claim(
        place="2, (3)", claim="which lowered the error rate by another 1 %", figure="1 %",
        check=note_counts.effect("colour-noise", top1=1.0),
    ),
    Claim(
        place="3, overlapping pooling", claim="pools of 3 x 3 moved by 2, so that they overlap", figure="3 x 3, step 2",
        check=_overlaps,
    ),
    Claim(
        place="3, overlapping pooling", claim="which contributed 0.3 % of top-5 error", figure="0.3 %",
        check=note_counts.effect("overlapping-pooling", top5=0.3),
    ),
    Claim(
        place="4, LRN", claim="ReLU's response is unbounded", figure="unbounded", check=note_probes.is_unbounded,
    ),
    Claim(
        place="5, Dropout", claim="the number of neurons of the layers is kept as it is", figure="unchanged",
        check=_keeps_its_size,
    ),
    Claim(
        place="5, Dropout", claim="dropout needs only twice the training time", figure="2 times", check=_twice_the_time,
    ),
    Claim(
        place="6, GPUs", claim="a GTX 580 has only 3 GB, which limits the largest network that it can train",
        figure="3 GB", check=_fills_a_card,
    ),
    Claim(
        place="6, GPUs", claim="half of the kernels (or neurons) on each GPU", figure="half", check=_half_on_each,
    ),
)  # fmt: skip
