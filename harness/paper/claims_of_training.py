"""Claims on preprocessing, views, dropout and the update: sections 2, 4 and 5. Derived, or worked out on numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from harness.data import images, views
from harness.evaluation import metrics
from harness.paper.claims import ExactClaim, Finding
from impls import weights
from impls.oracle import sgd
from impls.protocol import UpdateRule
from impls.spec import Conv, Dense, Dropout, DropoutScaling, Network, Padding

# The recipe's kinds, as sums along the eigenvectors of the training colours' covariance.
COLOUR_NOISES = {
    "paper": "eigenvectors x eigenvalues x N(0, 0.1)",
    "original-2012": "eigenvectors x roots of the eigenvalues x N(0, 0.1), the image divided by 1.1",
    "none": "none",
}


def _side(network: Network) -> Finding:
    side = images.resized_side(network.width)
    return Finding(f"{side} x {side}", side == 256, "shorter side scaled, centre cut out")


def _preprocessing(network: Network) -> Finding:
    return Finding(network.preprocessing, network.preprocessing == "mean-image")


def _views(network: Network) -> Finding:
    """How many different views an image of 256 x 256 has: places of the crop, times two for the mirror image."""
    places = images.resized_side(network.width) - network.width + 1
    views = places**2 * 2
    note = f"offsets 0..{places - 1} are {places} places each way, mirrored or not; 2048 is 32 x 32 x 2"
    return Finding(f"{views:,}", views == 2048, note)


def _test_views(network: Network) -> Finding:
    """Ten crops of a picture in which no two places are alike."""
    side = images.resized_side(network.width)
    ramp = np.arange(side * side, dtype=np.uint32).reshape(side, side)
    picture = np.stack([ramp >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)
    crops = views.ten_crops(picture, network.width)
    different = len({crop.tobytes() for crop in crops})
    mirrored = all(np.array_equal(crops[i + 5], crops[i][:, ::-1]) for i in range(5))
    note = f"{', '.join(views.VIEWS)}; each and its mirror image"
    return Finding(str(different), different == 10 and mirrored, note)


def _averaging(network: Network) -> Finding:
    """Two views, one of them sure: the mean of the probabilities is another thing than that of the logits."""
    logits = np.zeros((1, 2, network.classes))
    logits[0, 0, 0] = 8.0
    sure = math.exp(8.0) / (math.exp(8.0) + network.classes - 1)
    ours, wanted = float(metrics.averaged(logits)[0, 0]), (sure + 1 / network.classes) / 2
    other = math.exp(4.0) / (math.exp(4.0) + network.classes - 1)
    agrees = abs(ours - wanted) <= 1e-12 and abs(wanted - other) > 1e-3
    note = f"of logits 8 and 0 beside zeros: {ours:.6f}; averaged before the softmax it would be {other:.6f}"
    return Finding("softmax outputs" if agrees else f"{ours:.6f}", agrees, note)


def _colour_noise(network: Network) -> Finding:
    noise = network.recipe.colour_noise
    return Finding(COLOUR_NOISES[noise], noise == "paper")


def _dropout(network: Network) -> Finding:
    """Rate, and behind which layers."""
    found: dict[str, float] = {}
    learned = ""
    for layer in network.layers:
        if isinstance(layer, Conv | Dense):
            learned = layer.name
        elif isinstance(layer, Dropout):
            found[learned] = layer.rate
    dense = [layer.name for layer in network.layers if isinstance(layer, Dense)]
    shown = ", ".join(f"{rate:g} after {name}" for name, rate in found.items())
    return Finding(shown or "none", found == dict.fromkeys(dense[:2], 0.5))


def _dropout_at_test(network: Network) -> Finding:
    drops = [layer for layer in network.layers if isinstance(layer, Dropout)]
    factors = {1 - layer.rate if layer.scaling is DropoutScaling.AT_TEST else 1.0 for layer in drops}
    return Finding(", ".join(f"x {factor:g}" for factor in factors) or "none", factors == {0.5})


def _batch(network: Network) -> Finding:
    return Finding(str(network.recipe.batch_size), network.recipe.batch_size == 128)


def _momentum_and_decay(network: Network) -> Finding:
    found = (network.recipe.momentum, network.recipe.weight_decay)
    return Finding(f"{found[0]:g}, {found[1]:g}", found == (0.9, 0.0005))


def updated(steps: list[tuple[Fraction, Fraction]], momentum: Fraction, decay: Fraction, *, outside: bool) -> Fraction:
    """A weight of 1 after steps of (rate, gradient), worked out exactly.

    v <- m v - d e w - e g, w <- w + v, as section 5 prints it; or with the rate `outside`: v <- m v + d w + g,
    w <- w - e v, which is another thing once the rate changes.
    """
    weight, velocity = Fraction(1), Fraction(0)
    for rate, gradient in steps:
        if outside:
            velocity = momentum * velocity + decay * weight + gradient
            weight -= rate * velocity
        else:
            velocity = momentum * velocity - decay * rate * weight - rate * gradient
            weight += velocity
    return weight


def _update(network: Network) -> Finding:
    """Three steps with a drop of the rate, by the reference the frameworks are held to, against exact fractions."""
    recipe = network.recipe
    rates = [recipe.learning_rate, recipe.learning_rate, recipe.learning_rate * recipe.drop_factor]
    gradients = [0.5, -0.25, 0.75]
    weight, velocity = np.ones(1), np.zeros(1)
    for rate, gradient in zip(rates, gradients, strict=True):
        rule = UpdateRule(rate, recipe.momentum, recipe.weight_decay)
        sgd.update(weight, velocity, np.array([gradient]), rule, recipe.weight_decay)
    steps = [(Fraction(rate), Fraction(gradient)) for rate, gradient in zip(rates, gradients, strict=True)]
    printed = Fraction("0.9"), Fraction("0.0005")
    right, other = (float(updated(steps, *printed, outside=outside)) for outside in (False, True))
    agrees = abs(float(weight[0]) - right) <= 4 * np.spacing(right) and abs(right - other) > 1e-6
    note = f"a weight of 1 after three steps and one drop: {right:.9f}; with the rate outside v it would be {other:.9f}"
    return Finding(f"{float(weight[0]):.9f}", bool(agrees), note)


def _initial_weights(network: Network) -> Finding:
    found = {layer.init for layer in network.layers if isinstance(layer, Conv | Dense)}
    return Finding(", ".join(f"standard deviation {init}" for init in found), found == {0.01})


def _drawn_weights(network: Network) -> Finding:
    """Mean and spread of the first layer's kernels as the recipe draws them."""
    first = network.layers[0]
    if not isinstance(first, Conv):
        return Finding(f"the first layer is {first.name}", False)
    # A tensor's values depend on its name and the seed alone: the rest of the network need not be drawn.
    bare = replace(first, padding=Padding())
    alone = replace(network, height=first.size, width=first.size, layers=(bare, Dense(name="last", units=1)), classes=1)
    values = weights.generate(alone, "own", 0)[f"{first.name}/weight"]
    mean, spread = float(values.mean()), float(values.std())
    bound = 4 * 0.01 / values.size**0.5
    agrees = abs(mean) <= bound and abs(spread - 0.01) <= bound
    return Finding(f"mean {mean:.1e}, standard deviation {spread:.5f}", agrees, f"{first.name}, {values.size:,} values")


def _biases(network: Network) -> Finding:
    ones = [layer.name for layer in network.layers if isinstance(layer, Conv | Dense) and layer.init_bias == 1]
    others = {layer.init_bias for layer in network.layers if isinstance(layer, Conv | Dense)} - {1.0}
    agrees = ones == ["conv2", "conv4", "conv5", "fc6", "fc7"] and others == {0.0}
    return Finding(", ".join(ones) or "none", agrees, "the others " + ", ".join(f"{value:g}" for value in others))


def _schedule(network: Network) -> Finding:
    recipe = network.recipe
    drops = len(recipe.drop_epochs) or recipe.drops
    rates = [recipe.learning_rate * recipe.drop_factor**drop for drop in range(drops + 1)]
    agrees = recipe.learning_rate == 0.01 and abs(recipe.drop_factor - 0.1) < 1e-12 and drops == 3
    when = f"after epochs {recipe.drop_epochs}" if recipe.drop_epochs else "when the validation error stops improving"
    return Finding(" - ".join(f"{rate:.0e}" for rate in rates), agrees, when)


def _equal_rates(network: Network) -> Finding:
    recipe = network.recipe
    special = [change for change in recipe.changes if change.layer_factors or change.bias_factor not in (None, 1.0)]
    return Finding("equal" if not special else f"{len(special)} changes", not special)


def _cycles(network: Network) -> Finding:
    return Finding(str(network.recipe.epochs), network.recipe.epochs == 90)


CLAIMS: tuple[ExactClaim, ...] = (
    ExactClaim(section="2", claim="size of the images before crops are cut", paper="256 x 256", check=_side),
    ExactClaim(
        section="2", claim="preprocessing: the training set's mean, pixel by pixel", paper="mean-image",
        check=_preprocessing,
    ),
    ExactClaim(
        section="4.1", claim="crops and reflections increase the training set by this factor", paper="2048",
        source="the 2012 source draws offsets 0..32", check=_views, known="contradicted",
    ),
    ExactClaim(section="4.1", claim="test views of an image", paper="10", check=_test_views),
    ExactClaim(section="4.1", claim="averaged over the test views", paper="softmax outputs", check=_averaging),
    ExactClaim(
        section="4.1", claim="colour noise along the principal components", paper=COLOUR_NOISES["paper"],
        source=f"the 2012 source: {COLOUR_NOISES['original-2012']}", check=_colour_noise,
    ),
    ExactClaim(
        section="4.2", claim="dropout in the first two fully-connected layers", paper="0.5 after fc6, 0.5 after fc7",
        check=_dropout,
    ),
    ExactClaim(section="4.2", claim="outputs at test time", paper="x 0.5", check=_dropout_at_test),
    ExactClaim(section="5", claim="batch size", paper="128", check=_batch),
    ExactClaim(section="5", claim="momentum and weight decay", paper="0.9, 0.0005", check=_momentum_and_decay),
    ExactClaim(
        section="5", claim="update v <- 0.9 v - 0.0005 e w - e g, w <- w + v, the rate e inside v",
        paper="as printed", check=_update,
    ),
    ExactClaim(
        section="5", claim="initial weights", paper="standard deviation 0.01", check=_initial_weights,
        source="the 2012 source has 0.03 in conv3 to conv5",
    ),
    ExactClaim(
        section="5", claim="initial weights as they are drawn", paper="mean 0, standard deviation 0.01",
        check=_drawn_weights,
    ),
    ExactClaim(
        section="5", claim="biases of 1, the others 0", check=_biases,
        paper="conv2, conv4, conv5 and the hidden fully-connected layers",
    ),
    ExactClaim(
        section="5", claim="learning rate divided by 10 three times", paper="0.01, three drops", check=_schedule,
        source="the 2012 source drops after epochs 23, 51 and 78",
    ),
    ExactClaim(
        section="5", claim="learning rates of the layers", paper="equal", check=_equal_rates,
        source="the 2012 source begins with twice the rate for biases",
    ),
    ExactClaim(section="5", claim="cycles through the training set", paper="roughly 90", check=_cycles),
)  # fmt: skip
