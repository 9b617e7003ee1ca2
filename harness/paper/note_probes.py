"""Checks of what a note says that an operator does: the reference computes a few numbers, and they decide.

The numbers are small and exact where they can be; the operators are the first of their kind in the network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data import draws, images
from harness.paper.claims import Answer
from impls import derive
from impls.oracle import dense, operators
from impls.spec import LRN, Dropout, MaxPool, Network, ReLU, SpatialNorm, Tanh

Numbers = NDArray[np.float64]

FEW = np.array([[-3.0, -1.0, -0.25, 0.0, 0.25, 1.0, 3.0]])
FAR = 1e6


def activation(network: Network) -> ReLU | Tanh:
    """The network's first activation function. Raises StopIteration where there is none."""
    return next(layer for layer in network.layers if isinstance(layer, ReLU | Tanh))


def respond(network: Network, values: Numbers) -> Numbers:
    """What the network's activation makes of values [N, C]."""
    return np.asarray(operators.forward(activation(network), values, {}))


def slope(network: Network, values: Numbers) -> Numbers:
    """The derivative of the network's activation at values [N, C]."""
    return np.asarray(operators.vjp(activation(network), values, {}, np.ones_like(values)).dx)


def listed(values: Numbers) -> str:
    """`0, 0.25, 1`."""
    return ", ".join(f"{value:.4g}" for value in values.ravel())


def _named(found: Numbers) -> str:
    """What the responses to `FEW` are, by its formula where it is that of a ReLU."""
    return "max(0, x)" if np.array_equal(found, np.maximum(FEW, 0)) else listed(found)


def rectifies(network: Network) -> Answer:
    """Whether the activation is max(0, x)."""
    found = respond(network, FEW)
    return Answer(_named(found), bool(np.array_equal(found, np.maximum(FEW, 0))), f"{listed(found)} of {listed(FEW)}")


def rectified_tanh(network: Network) -> Answer:
    """max(0, tanh(x)), taken for the activation."""
    printed = np.maximum(0, np.tanh(FEW))
    found = respond(network, FEW)
    same = bool(np.array_equal(printed, np.tanh(np.maximum(FEW, 0))))
    note = f"{listed(found)} of {listed(FEW)}, where the printed one gives {listed(printed)}"
    note += ": it is tanh(max(0, x)) and never passes 1" if same else ""
    return Answer(_named(found), bool(np.allclose(found, printed, rtol=0, atol=1e-12)), note)


def saturates(network: Network) -> Answer:
    """Whether the activation stops growing for large inputs."""
    near, far = respond(network, np.array([[FAR / 1000, FAR]])).ravel()
    said = "saturating" if near == far else "non-saturating"
    return Answer(said, bool(near == far), f"{near:g} at {FAR / 1000:g}, {far:g} at {FAR:g}")


def is_unbounded(network: Network) -> Answer:
    """Whether the response grows with the input."""
    near, far = respond(network, np.array([[FAR / 1000, FAR]])).ravel()
    return Answer("unbounded" if far > near else f"at most {far:g}", bool(far > near), f"{far:g} at {FAR:g}")


def slope_where_positive(network: Network) -> Answer:
    """A derivative of 1 at every positive input."""
    found = slope(network, FEW[FEW > 0][None])
    return Answer(listed(found), bool(np.all(found == 1)), f"at {listed(FEW[FEW > 0])}")


def is_linear(network: Network) -> Answer:
    """A derivative of 1 everywhere, and f(a + b) = f(a) + f(b)."""
    found = slope(network, FEW)
    apart, together = respond(network, np.array([[-1.0]])) + respond(network, np.array([[3.0]])), np.array([[2.0]])
    agrees = bool(np.all(found == 1)) and bool(np.array_equal(apart, respond(network, together)))
    two = respond(network, together).item()
    note = f"derivatives at {listed(FEW)}; f(-1) + f(3) = {apart.item():.4g}, f(2) = {two:.4g}"
    return Answer(listed(found), agrees, note)


def sigmoid_saturates(network: Network) -> Answer:
    """The sigmoid's derivative where its output is close to 0 or 1, and the network's own there."""
    outputs = np.array([0.001, 0.5, 0.999])
    found = outputs * (1 - outputs)
    own = slope(network, np.log(outputs / (1 - outputs))[None])[0]
    agrees = bool(found[0] < 0.01 and found[2] < 0.01 and own[2] == 1)
    note = f"s(1 - s) at outputs {listed(outputs)}; the slope of the network's own activation there {listed(own)}"
    return Answer(listed(found), agrees, note)


def first_pool(network: Network) -> MaxPool:
    """The network's first pooling layer."""
    return next(layer for layer in network.layers if isinstance(layer, MaxPool))


def _pool_input(layer: MaxPool) -> Numbers:
    """[1, H, W, 2], of both signs."""
    side = layer.size + 3 * layer.stride
    drawn = draws.normals(0, "notes", 0, side * side * 2).astype(np.float64)
    return drawn.reshape(1, side, side, 2)


def _pooled(layer: MaxPool, x: Numbers, how: Any) -> Numbers:
    """Windows of [1, H, W, C] without padding, each put through `how`."""
    starts = range(0, x.shape[1] - layer.size + 1, layer.stride)
    rows = [[how(x[:, i : i + layer.size, j : j + layer.size], axis=(1, 2)) for j in starts] for i in starts]
    return np.moveaxis(np.array(rows), 2, 0)


def sums_two_by_two(network: Network) -> Answer:
    """Whether a pool adds up a field of 2 x 2."""
    layer = first_pool(network)
    x = _pool_input(layer)
    found = operators.forward(layer, x, {})[0, 0, 0, 0]
    added, largest = float(x[0, :2, :2, 0].sum()), float(x[0, : layer.size, : layer.size, 0].max())
    agrees = bool(np.isclose(found, added))
    said = f"maximum of {layer.size} x {layer.size}" if found == largest else f"{found:.4g}"
    return Answer(said, agrees, f"on the same field the pool gives {found:.4f}, the sum of 2 x 2 is {added:.4f}")


def rectifying_commutes_with_pooling(network: Network) -> Answer:
    """Max-pool and min-pool before or after the activation."""
    layer = first_pool(network)
    x = _pool_input(layer)
    before = operators.forward(layer, respond(network, x), {})
    after = respond(network, operators.forward(layer, x, {}))
    least = np.array_equal(_pooled(layer, respond(network, x), np.min), respond(network, _pooled(layer, x, np.min)))
    same = bool(np.array_equal(before, after)) and bool(least)
    return Answer("the same" if same else "not the same", same, "to the last bit, of maxima and of minima")


def average_wants_rectifying_first(network: Network) -> Answer:
    """Average pooling gives another thing before the activation than after it."""
    layer = first_pool(network)
    x = _pool_input(layer)
    apart = _pooled(layer, respond(network, x), np.mean) - respond(network, _pooled(layer, x, np.mean))
    largest = float(np.abs(apart).max())
    return Answer("not the same" if largest else "the same", largest > 0, f"up to {largest:.3f} apart")


def fewer_activations_after_pooling(network: Network) -> Answer:
    """How many values the first activation takes before and after the first pool."""
    row = next(row for row in derive.facts(network) if isinstance(row.layer, MaxPool))
    before, after = derive.volume(row.input_shape), derive.volume(row.output_shape)
    return Answer(f"{after:,} instead of {before:,}", after * 2 < before, f"{before / after:.2f} times fewer values")


def first_norm(network: Network) -> LRN | SpatialNorm:
    """The network's first normalisation."""
    return next(layer for layer in network.layers if isinstance(layer, LRN | SpatialNorm))


def _middle(layer: LRN | SpatialNorm, change: tuple[int, int] | None = None) -> float:
    """The response in the middle of [1, 5, 5, 10] of ones, with a neighbour (column, channel) changed to 30."""
    x = np.ones((1, 5, 5, 10))
    if change is not None:
        x[0, 2, 2 + change[0], 2 + change[1]] = 30.0
    return float(operators.forward(layer, x, {})[0, 2, 2, 2])


def sums_over_neighbouring_pixels(network: Network) -> Answer:
    """Which neighbours the sum of squares runs over: pixels around in the same map, or the same pixel of other maps."""
    layer = first_norm(network)
    plain = _middle(layer)
    beside, across = (_middle(layer, change) != plain for change in ((1, 0), (0, 1)))
    said = {(True, False): "pixels around", (False, True): "neighbouring maps at the same pixel"}
    note = f"a pixel beside changes it: {'yes' if beside else 'no'}; a map beside: {'yes' if across else 'no'}"
    return Answer(said.get((beside, across), "neither alone"), beside and not across, note)


def sums_over_neighbouring_maps(network: Network) -> Answer:
    """The same question, of a note that says it the other way."""
    found = sums_over_neighbouring_pixels(network)
    return Answer(found.ours, found.ours.startswith("neighbouring maps"), found.note)


def divides_by_the_sum(network: Network) -> Answer:
    """Whether the response is divided by the sum of squares itself."""
    layer = first_norm(network)
    found, plain = _middle(layer), 1 / min(layer.size, 10)
    shown = f"(k + {layer.alpha:g} x sum)^{layer.beta:g}, k = {layer.k:g}"
    note = f"ones become {found:.4f}; divided by the sum of squares they would be {plain:.4f}"
    return Answer(shown, bool(np.isclose(found, plain)), note)


def normalises_as_printed(network: Network) -> Answer:
    """The formula x / (k + alpha x sum over max(0, i - n/2)..min(N - 1, i + n/2)) ^ beta, term by term."""
    layer = first_norm(network)
    x = draws.normals(0, "notes", 1, 9).astype(np.float64) * 20
    half = layer.size // 2
    sums = [sum(x[j] ** 2 for j in range(max(0, i - half), min(8, i + half) + 1)) for i in range(9)]
    wanted = [value / (layer.k + layer.alpha * total) ** layer.beta for value, total in zip(x, sums, strict=True)]
    found = operators.forward(layer, x.reshape(1, 1, 1, 9), {}).ravel()
    worst = float(np.abs(found - wanted).max())
    return Answer(f"within {worst:.0e}" if worst else "equal", worst < 1e-12, "nine maps of one pixel")


def drops_half(network: Network) -> Answer:
    """Whether half of the units of the first dropout layer are dropped, on average over 16 draws."""
    row = next(row for row in derive.facts(network) if isinstance(row.layer, Dropout))
    layer, units = row.layer, derive.volume(row.input_shape)
    assert isinstance(layer, Dropout)
    dropped = [units - int(draws.mask(0, "notes", step, (units,), layer.rate).sum()) for step in range(16)]
    share = sum(dropped) / (len(dropped) * units)
    deviation = 0.5 / (len(dropped) * units) ** 0.5  # of that mean, where each unit falls out with probability 1/2
    note = f"each of {units:,} units for itself: {min(dropped):,} to {max(dropped):,} in {len(dropped)} draws"
    return Answer(f"{share:.1%}", abs(share - 0.5) <= 4 * deviation, note)


def keeps_all_at_test(network: Network) -> Answer:
    """How many units the first dropout layer drops where it is not in training."""
    layer = next(layer for layer in network.layers if isinstance(layer, Dropout))
    found = operators.forward(layer, np.ones((1, 1000)), {})
    dropped = int((found == 0).sum())
    factor = float(found.max())
    note = "" if factor == 1 else f"the outputs are multiplied by {factor:g} instead, paper, section 4.2"
    return Answer(f"{dropped} of {found.size:,} dropped", dropped == 0, note)


def collapses_without_activation(network: Network) -> Answer:
    """Two dense layers without an activation between them are one, with W1 W2 and b1 W2 + b2."""
    del network  # whole numbers: every sum is exact
    x, first, second = (np.arange(a * b, dtype=np.float64).reshape(a, b) - 5 for a, b in ((2, 3), (3, 4), (4, 2)))
    b1, b2 = np.arange(4.0), np.arange(2.0)
    twice = dense.forward(dense.forward(x, first, b1), second, b2)
    once = dense.forward(x, first @ second, b1 @ second + b2)
    same = bool(np.array_equal(twice, once))
    between = dense.forward(np.maximum(dense.forward(x, first, b1), 0), second, b2)
    note = "with a ReLU between them they are another thing" if not np.array_equal(between, once) else ""
    return Answer("one layer" if same else "two layers", same, note)


def colour_before_scaling(network: Network) -> Answer:
    """Colour noise added before an image of 8 bits is scaled, against after it: the paper scales first."""
    drawn = draws.integers(0, "notes", 2, 40 * 48 * 3, 256).astype(np.uint8).reshape(40, 48, 3)
    noise = 0 if network.recipe.colour_noise == "none" else 25

    def coloured(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.clip(picture.astype(np.int64) + noise, 0, 255).astype(np.uint8)

    first = images.square(Image.fromarray(coloured(drawn)), 24).astype(np.int64)
    last = coloured(images.square(Image.fromarray(drawn), 24)).astype(np.int64)
    apart = int(np.abs(first - last).max())
    side = images.resized_side(network.width)
    note = f"section 2 scales to {side} x {side}, section 4.1 adds colour: up to {apart} of 255 apart on an example"
    return Answer("scale, crop, flip, colour" if apart else "no difference", not apart, note)


def colour_noise_changes_contrast(network: Network) -> Answer:
    """One colour is added to every pixel: the mean moves, the spread does not."""
    picture = draws.integers(0, "notes", 3, 300, 200).astype(np.float64).reshape(10, 10, 3)
    noise = 0.0 if network.recipe.colour_noise == "none" else 25.0
    divided = 1.1 if network.recipe.colour_noise == "original-2012" else 1.0
    moved = (picture + noise) / divided
    brightness, contrast = float(moved.mean() - picture.mean()), float(moved.std() / picture.std())
    agrees = brightness != 0 and not np.isclose(contrast, 1.0)
    shown = f"brightness {brightness:+.1f}, contrast x {contrast:.3g}"
    return Answer(shown, bool(agrees), "one colour along the principal components is added to every pixel")
