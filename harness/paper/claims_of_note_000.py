"""What note 000 says: a summary of the paper in Chinese, with a class in PyTorch."""

from __future__ import annotations

from functools import partial

from harness.paper import note_counts, note_probes
from harness.paper.claims import Answer, NoteClaim
from impls import catalog, derive, split
from impls.spec import LRN, Conv, Dense, Dropout, Network

Claim = partial(NoteClaim, note="000")


def _rate(network: Network) -> Answer:
    rates = {layer.rate for layer in network.layers if isinstance(layer, Dropout)}
    return Answer(", ".join(f"{rate:g}" for rate in rates) or "none", rates == {0.5})


def _for_one_gpu(network: Network) -> Answer:
    """The convolutions whose kernels see all maps, where those of the paper see their own tower's."""
    paper = {layer.name: layer.groups for layer in catalog.get("paper").layers if isinstance(layer, Conv)}
    joined = [
        layer.name
        for layer in network.layers
        if isinstance(layer, Conv) and layer.groups == 1 < paper.get(layer.name, 1)
    ]
    towers = sum(groups > 1 for groups in paper.values())
    note = "the kernels of these see all maps, the paper's those of one GPU" if joined else ""
    return Answer(", ".join(joined) or "none", len(joined) == towers, note)


def _apart(network: Network) -> Answer:
    """Which kinds of layers each of two GPUs holds a share of, where the network is split into its towers."""
    stages = split.plan(network, "model", 2).stages
    shared = [stage for stage in stages if stage.sharded and isinstance(stage.whole.layer, Conv | Dense)]
    kinds = {"convolutions" if isinstance(stage.whole.layer, Conv) else "dense layers" for stage in shared}
    learned = [row for row in derive.facts(network) if row.parameters]
    halves = sum(row.parameter_count for row in learned) // 2
    shown = f"a share of {len(shared)} of {len(learned)} learned layers on each"
    return Answer(shown, not shared, f"{' and '.join(sorted(kinds))} alike: about {halves:,} parameters each")


def constants(k: float, alpha: float, beta: float, size: int) -> note_counts.Check:
    """Constants handed to torch.nn.LocalResponseNorm, whose alpha multiplies the mean, against the network's."""

    def check(network: Network) -> Answer:
        found = {(layer.k, layer.size, layer.alpha, layer.beta) for layer in network.layers if isinstance(layer, LRN)}
        shown = "; ".join(f"base {one[0]:g} + {one[2]:g} x sum of {one[1]}, beta {one[3]:g}" for one in found)
        note = f"the listing's base is {k:g} + {alpha / size:g} x sum: PyTorch's alpha multiplies the mean"
        return Answer(shown, found == {(k, size, alpha / size, beta)}, note)

    return check


def _behind_dense(network: Network) -> Answer:
    """What follows the first dense layer; where no activation does, the dense layers are one linear map."""
    place = next(place for place, layer in enumerate(network.layers) if isinstance(layer, Dense))
    behind = [type(layer).__name__ for layer in network.layers[place + 1 : place + 3] if not isinstance(layer, Dense)]
    inputs = derive.volume(derive.facts(network)[place].input_shape)
    note = f"without a ReLU all dense layers are one map of {inputs:,} x {network.classes:,} when they predict"
    return Answer(", ".join(behind) or "nothing", behind == ["Dropout"], note)


CLAIMS: tuple[NoteClaim, ...] = (
    Claim(
        place="2, ReLU", claim="the activation function: Relu = max(0, x)", figure="max(0, x)",
        check=note_probes.rectifies,
    ),
    Claim(place="2, Dropout", claim="the probability of dropout is set to 0.5", figure="0.5", check=_rate),
    Claim(
        place="2, Dropout", claim="neurons that pass the layer are dropped at random, half of their number",
        figure="half", check=note_probes.drops_half,
    ),
    Claim(
        place="2, Dropout", claim="the dropout layer is used in training only, not in the test phase",
        figure="not used", check=note_probes.keeps_all_at_test,
    ),
    Claim(
        place="2, data augmentation",
        claim="first PCA colour noise, then scaling to a fixed size, then a random crop, then a flip",
        figure="colour, scale, crop, flip", check=note_probes.colour_before_scaling, known="contradicted",
    ),
    Claim(
        place="2, data augmentation", claim="flipped left to right with probability 0.5", figure="0.5",
        check=lambda network: Answer("0.5" if network.recipe.flip else "0", network.recipe.flip),
    ),
    Claim(
        place="2, GPUs", claim="convolutional layers and fully connected layers are put on different GPUs",
        figure="different GPUs", check=_apart, known="contradicted",
    ),
    Claim(
        place="2, LRN", claim="for each place of a feature map, the sum of squares of the pixels around that place",
        figure="pixels around", check=note_probes.sums_over_neighbouring_pixels, known="contradicted",
    ),
    Claim(
        place="2, LRN", claim="then the pixel at that place is divided by this sum", figure="divided by the sum",
        check=note_probes.divides_by_the_sum, known="contradicted",
    ),
    Claim(
        place="3", claim="the code is of a model for one GPU, and differs somewhat from the paper",
        figure="differs", check=_for_one_gpu, of="note-000",
    ),
    Claim(
        place="3, listing", claim="nn.LocalResponseNorm(size=5, alpha=0.00001, beta=0.75, k=1)",
        figure="alpha 0.00001, k 1", check=constants(1.0, 1e-5, 0.75, 5), known="contradicted",
    ),
    Claim(
        place="3, listing", claim="conv1 with padding=2 feeds fc1 with 256 * 6 * 6", figure="256 * 6 * 6",
        check=note_counts.inputs("fc6", (6, 6, 256)), of="note-000",
    ),
    Claim(
        place="3, listing", claim="x = self.dropout(self.fc1(x))", figure="Dropout", check=_behind_dense,
        known="contradicted",
    ),
    Claim(
        place="3, listing", claim="x = self.lrn(self.maxpool(x))",
        figure="conv1 ReLU pool LRN", check=note_counts.first_block("conv1 ReLU pool LRN"), known="contradicted",
    ),
)  # fmt: skip
