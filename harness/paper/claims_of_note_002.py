"""What note 002 says of the paper's ideas and of its listing in PyTorch. Its layer-by-layer counts stand apart."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from harness.paper import claims_of_note_002_layers, claims_of_shape, note_counts, note_probes
from harness.paper.claims import Answer, NoteClaim
from harness.paper.claims_of_note_000 import constants
from harness.paper.figure_one import KINDS
from impls import derive
from impls.derive import InvalidNetwork
from impls.spec import LRN, Conv, Dense, Network, Padding

Claim = partial(NoteClaim, note="002")

FLOAT_BYTES = 4
# Kernel sizes of the listing's five Conv3d, as it works them out: all three sides of each are that long.
CUBES = (11 * 11 * 3, 5 * 5 * 48, 3 * 3 * 256, 3 * 3 * 192, 3 * 3 * 256)
_PAPERS_KERNELS = "a kernel is as large as the product of its sides here, in all three directions"


def _cubic_weights(network: Network, cubes: tuple[int, ...]) -> tuple[int, int]:
    """Weights of convolutions whose kernels are cubes of these sides, without groups, and of the network's own."""
    rows = claims_of_shape.convolutions(network)[: len(cubes)]
    cubic = sum(
        side**3 * row.input_shape[-1] * row.output_shape[-1] for side, row in zip(cubes, rows, strict=True)
    )  # fmt: skip
    return cubic, sum(derive.volume(row.parameters[f"{row.layer.name}/weight"]) for row in rows)


def _first_cube(network: Network) -> Answer:
    cubic, own = _cubic_weights(network, CUBES[:1])
    note = f"as printed {cubic:,}, {cubic * FLOAT_BYTES / 1e9:.1f} GB of float32; {_PAPERS_KERNELS}"
    return Answer(f"{own:,} weights", cubic == own, note)


def _reproduces(network: Network) -> Answer:
    cubic, own = _cubic_weights(network, CUBES)
    note = f"the listing's convolutions would have {cubic:.3g} weights, {cubic * FLOAT_BYTES / 1e15:.1f} PB of float32"
    return Answer(f"{own:,} weights in the convolutions", cubic == own, note)


def _fits(network: Network) -> Answer:
    """Whether a window of 363 finds a place on the image."""
    first = network.layers[0]
    assert isinstance(first, Conv)
    bare = replace(first, size=CUBES[0], padding=Padding())
    try:
        side = derive.layer_facts(bare, (network.height, network.width, network.channels)).output_shape[0]
    except InvalidNetwork:
        return Answer(
            f"at most {network.height}", False, f"a window of {CUBES[0]} finds no place on {network.height} pixels"
        )
    return Answer(f"{side} x {side}", True)


def _every_norm(network: Network) -> Answer:
    """The convolutions that a normalisation follows, before the next learned layer."""
    found: dict[str, bool] = {}
    learned = ""
    for layer in network.layers:
        if isinstance(layer, Conv):
            learned = layer.name
            found[learned] = False
        elif isinstance(layer, Dense):
            break
        elif isinstance(layer, LRN) and learned:
            found[learned] = True
    named = [name for name, has in found.items() if has]
    return Answer(f"after {', '.join(named)}" if named else "none", all(found.values()))


def _against(network: Network) -> Answer:
    """The activations of figure 1: those that `alexbench paper --ablations --only figure-1` trains."""
    del network
    note = "the paper's figure 1; the note's own picture is not in its text"
    return Answer(" and ".join(KINDS), "sigmoid" in KINDS, note)


def _rate_and_momentum(network: Network) -> Answer:
    found = (network.recipe.learning_rate, network.recipe.momentum)
    return Answer(f"{found[0]:g}, {found[1]:g}", found == (0.01, 0.9))


def _decay(network: Network) -> Answer:
    """The recipe has one momentum throughout: what 0.0005 is of, it says."""
    recipe = network.recipe
    instead = "the weight decay" if recipe.weight_decay == 0.0005 else ""
    note = f"the momentum is {recipe.momentum:g} to the end"
    return Answer(f"weight decay {recipe.weight_decay:g}", False, note, instead)


def _pools(network: Network) -> Answer:
    """z and s of the pools."""
    found = note_counts.of_the_paper("overlapping pooling")(network)
    return Answer(found.ours, found.agrees)


def _dropped(printed: tuple[str, ...]) -> note_counts.Check:
    """The dense layers whose output is dropped."""

    def check(network: Network) -> Answer:
        found = note_counts.of_the_paper("dropout in the first two fully-connected layers")(network)
        return Answer(found.ours, found.ours == ", ".join(f"0.5 after {name}" for name in printed))

    return check


CLAIMS: tuple[NoteClaim, ...] = (
    Claim(
        place="1 and 2.1, depth", claim="5 convolutional and 3 fully connected layers", figure="5 and 3",
        check=note_counts.depth(5, 3),
    ),
    Claim(
        place="1 and 2.1, depth", claim="6 billion parameters in all", figure="6 billion",
        check=note_counts.total(6_000_000_000), known="contradicted",
    ),
    Claim(
        place="1", claim="lowered the error rate by 10 percentage points", figure="10", check=note_counts.lead(10),
    ),
    Claim(
        place="1", claim="the network reached an error of 15.3 %", figure="15.3 %",
        check=note_counts.one_networks_error(15.3), known="misnamed",
    ),
    Claim(
        place="2.1, activation", claim="ReLU after each convolutional and fully connected layer", figure="each",
        check=note_counts.as_the_paper("ReLU on the output of every convolutional and fully-connected layer"),
        known="contradicted",
    ),
    Claim(
        place="2.1, LRN", claim="LRN works after each convolutional layer", figure="each", check=_every_norm,
        known="contradicted",
    ),
    Claim(
        place="2.1, data augmentation", claim="brightness and contrast are changed at random",
        figure="brightness, contrast", check=note_probes.colour_noise_changes_contrast, known="contradicted",
    ),
    *claims_of_note_002_layers.CLAIMS,
    Claim(
        place="2.3, dropout", claim="dropout after F9 and F10", figure="F9, F10", check=_dropped(("fc6", "fc7")),
    ),
    Claim(
        place="2.3, dropout", claim="their output is multiplied by 0.5", figure="0.5",
        check=note_counts.of_the_paper("outputs at test time"),
    ),
    Claim(
        place="2.4, ReLU", claim="the figure shows convergence with ReLU and with sigmoid", figure="sigmoid",
        check=_against, known="contradicted",
    ),
    Claim(place="2.4, ReLU", claim="Relu=max(0,x)", figure="max(0,x)", check=note_probes.rectifies),
    Claim(
        place="2.4, why", claim="without activations several layers are the same as one", figure="one layer",
        check=note_probes.collapses_without_activation,
    ),
    Claim(
        place="2.4, when", claim="max or min pooling before or after the activation has the same effect",
        figure="the same", check=note_probes.rectifying_commutes_with_pooling,
    ),
    Claim(
        place="2.4, when", claim="activation after it greatly reduces the computation", figure="greatly",
        check=note_probes.fewer_activations_after_pooling,
    ),
    Claim(
        place="2.4, when", claim="with average pooling, activation first", figure="not the same",
        check=note_probes.average_wants_rectifying_first,
    ),
    Claim(
        place="2.5, LRN", claim="the formula: sum from max(0, i - n/2) to min(N - 1, i + n/2), power beta",
        figure="the formula", check=note_probes.normalises_as_printed,
    ),
    Claim(
        place="2.5, LRN", claim="the squares of the neighbouring n feature maps at the same place",
        figure="feature maps", check=note_probes.sums_over_neighbouring_maps,
    ),
    Claim(
        place="2.5, LRN", claim="in the paper k=2, n=5, alpha=10^-4, beta=0.75", figure="2, 5, 10^-4, 0.75",
        check=note_counts.of_the_paper("constants of the response normalisation"),
    ),
    Claim(
        place="2.6, pooling", claim="the author uses z=3, s=2", figure="z=3, s=2", check=_pools,
    ),
    Claim(
        place="2.7, optimiser", claim="learning rate 0.01, momentum 0.9", figure="0.01, 0.9", check=_rate_and_momentum,
    ),
    Claim(
        place="2.7, optimiser", claim="momentum decay of 0.0005", figure="0.0005", check=_decay, known="misnamed",
    ),
    Claim(
        place="2.4, listing", claim="nn.Conv3d(3, 96, kernel_size=(11*11*3), stride=4)", figure="kernel 363",
        check=_first_cube, known="contradicted",
    ),
    Claim(
        place="2.4, listing", claim="self.features(x), whose first kernel_size is (11*11*3)", figure="363", check=_fits,
        known="contradicted",
    ),
    Claim(
        place="2.4, listing", claim="the code fully reproduces the details", figure="fully", check=_reproduces,
        known="contradicted",
    ),
    Claim(
        place="2.4, listing", claim="nn.LocalResponseNorm(size=5, alpha=0.0001, beta=0.75, k=2)",
        figure="alpha 0.0001, k 2", check=constants(2.0, 1e-4, 0.75, 5), known="contradicted",
    ),
    Claim(
        place="2.4, listing", claim="MaxPool3d, LocalResponseNorm, ReLU, in this order", figure="conv1 pool LRN ReLU",
        check=note_counts.first_block("conv1 pool LRN ReLU"), known="contradicted",
    ),
    Claim(
        place="2.4, listing", claim="Dropout(0.5), Linear(256 * 6 * 6, 4096), Dropout(0.5)",
        figure="before and after F9", check=_dropped(("conv5", "fc6")), known="contradicted",
    ),
)  # fmt: skip
