"""The networks that the paper compares itself with, each made from a network by changing one thing.

They work on the catalog's `paper`, for whoever has ImageNet, as on `MINIATURE`, the same kinds of layers in the same
order at a size that trains in seconds on digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from impls.spec import LRN, Conv, Dense, Dropout, Layer, MaxPool, Network, Padding, Recipe, ReLU, SpatialNorm, Tanh

# Digits of 8 x 8 are enlarged to this side; crops of MINIATURE's input then have 5 x 5 places.
MINIATURE_SIDE = 23
MINIATURE_LIMIT = 500  # training images: with all of them every variant is nearly right and differences drown


def _mini_norm(number: int) -> LRN:
    return LRN(name=f"norm{number}", size=5, alpha=1e-4, beta=0.75, k=2.0, source="paper 3.3")


def _mini_pool(number: int) -> MaxPool:
    return MaxPool(name=f"pool{number}", size=3, stride=2, source="paper 3.4")


# Sides 15 - 7 - 3 are odd as the paper's 55 - 27 - 13 are, so that both kinds of pooling give maps of one size. The
# first layer's responses are as large as the paper's, so that normalisation has something to do; the next ones keep
# their size (a Gaussian of 0.01 would let it vanish in layers so small).
MINIATURE = Network(
    name="miniature",
    summary="two towers with ReLU, LRN, overlapping pools and dropout, for ablations on digits",
    source="paper, section 3.5, made small",
    height=19,
    width=19,
    channels=1,
    classes=10,
    recipe=Recipe(
        batch_size=50, learning_rate=0.005, epochs=20, drop_epochs=(16,), flip=False, source="made for digits"
    ),
    layers=(
        Conv(name="conv1", kernels=16, size=5, init=0.03),
        ReLU(name="relu1"),
        _mini_norm(1),
        _mini_pool(1),
        Conv(name="conv2", kernels=32, size=3, padding=Padding.same(1), groups=2, init=0.17),
        ReLU(name="relu2"),
        _mini_norm(2),
        _mini_pool(2),
        Conv(name="conv3", kernels=32, size=3, padding=Padding.same(1), init=0.08),
        ReLU(name="relu3"),
        Dense(name="fc4", units=128, init=0.08),
        ReLU(name="relu4"),
        Dropout(name="drop4", rate=0.5),
        Dense(name="fc5", units=10, init=0.01),
    ),
)


def _with(network: Network, change: Callable[[Layer], Layer | None]) -> Network:
    """The network with every layer put through `change`; None takes a layer out."""
    changed = (change(layer) for layer in network.layers)
    return replace(network, layers=tuple(layer for layer in changed if layer is not None))


def tanh(network: Network) -> Network:
    """Section 3.1: tanh in the place of every ReLU."""
    return _with(network, lambda layer: Tanh(name=layer.name) if isinstance(layer, ReLU) else layer)


def without_normalisation(network: Network) -> Network:
    """Section 3.3: no response normalisation, over maps or within one."""
    return _with(network, lambda layer: None if isinstance(layer, LRN | SpatialNorm) else layer)


def non_overlapping(network: Network) -> Network:
    """Section 3.4: pooling windows as large as their stride."""
    return _with(network, lambda layer: replace(layer, size=layer.stride) if isinstance(layer, MaxPool) else layer)


def without_dropout(network: Network) -> Network:
    """Section 4.2: no dropout."""
    return _with(network, lambda layer: None if isinstance(layer, Dropout) else layer)


def without_augmentation(network: Network) -> Network:
    """Section 4.1: always the centre crop, as it is."""
    return replace(network, recipe=replace(network.recipe, crop="centre", flip=False, colour_noise="none"))


def without_colour_noise(network: Network) -> Network:
    """Section 4.1: crops and reflections, and no change of colours."""
    return replace(network, recipe=replace(network.recipe, colour_noise="none"))


def mirrored(network: Network) -> Network:
    """Section 4.1: trained with horizontal reflections, as the ten test views want it."""
    return replace(network, recipe=replace(network.recipe, flip=True))


def one_tower(network: Network) -> Network:
    """Section 3.2 and its footnote: half the kernels in every convolution but the last, all in one tower."""
    convolutions = [layer for layer in network.layers if isinstance(layer, Conv)]
    if all(layer.groups == 1 for layer in convolutions):
        return network  # that has one tower already
    last = convolutions[-1].name

    def change(layer: Layer) -> Layer:
        if isinstance(layer, Conv):
            return replace(layer, groups=1, kernels=layer.kernels if layer.name == last else layer.kernels // 2)
        return replace(layer, groups=1) if isinstance(layer, LRN) else layer

    return _with(network, change)


def without_a_convolution(network: Network) -> Network:
    """Sections 1 and 7: one of the middle convolutions taken out, with the ReLU behind it."""
    out = middle_convolution(network)
    kept: list[Layer] = []
    previous = ""
    for layer in network.layers:
        if layer.name != out and not (previous == out and isinstance(layer, ReLU)):
            kept.append(layer)
        previous = layer.name
    return replace(network, layers=tuple(kept))


def middle_convolution(network: Network) -> str:
    """The last of the convolutions that no pooling follows: without it the maps keep their size."""
    unpooled: list[str] = []
    current = ""
    for layer in network.layers:
        if isinstance(layer, Conv):
            current = layer.name
            unpooled.append(current)
        elif isinstance(layer, MaxPool) and current in unpooled:
            unpooled.remove(current)
    return unpooled[-1] if unpooled else ""


@dataclass(frozen=True, slots=True)
class Ablation:
    """One question: what does the error become when this is changed? Trained on one stream from equal weights."""

    name: str
    section: str
    variant: Callable[[Network], Network]
    baseline: Callable[[Network], Network] = lambda network: network
    baseline_name: str = "base"
    crops: tuple[int, int] = (1, 1)  # views that baseline and variant are scored with
    note: str = ""

    def applies(self, network: Network) -> bool:
        """Whether the change changes anything in this network."""
        return self.crops[0] != self.crops[1] or self.variant(network) != self.baseline(network)


# ReLU against tanh is a question of speed, each at its own learning rate: see `figure_one_training`.
ABLATIONS: tuple[Ablation, ...] = (
    Ablation("one-tower", "3.2", one_tower),
    Ablation("no-lrn", "3.3", without_normalisation),
    Ablation("non-overlapping", "3.4", non_overlapping),
    Ablation("no-augmentation", "4.1", without_augmentation),
    Ablation("no-colour-noise", "4.1", without_colour_noise),
    Ablation("one-crop", "4.1", mirrored, mirrored, "mirrored", crops=(10, 1), note="trained with mirror images"),
    Ablation("no-dropout", "4.2", without_dropout),
    Ablation("one-layer-less", "7", without_a_convolution),
)
