"""Why a departure matters, in one sentence each."""

from __future__ import annotations

from collections.abc import Sequence

from harness.audit.blocks import Token
from harness.audit.wording import NONE, between, number, same
from impls.reading import Foreign, ReadLayer
from impls.spec import (
    LRN,
    Conv,
    Dropout,
    DropoutScaling,
    Init,
    Layer,
    MaxPool,
    Padding,
    Preprocessing,
    SpatialNorm,
    Tanh,
)

KERNELS = "other widths: no weights of the reference fit, and cost and capacity change with them"
KERNEL_SIZE = "another receptive field, and weights of another shape"
STRIDE = "another step between windows: every map behind it has another size"
CLASSES = "another number of classes: the classifier is another, the features may be the reference's"
UNITS = "another width of a dense layer, where most of the parameters are"
NO_BIAS = "nothing is added to the sums: where inputs are 0, so are outputs"
INIT_BIAS = (
    "decides how many ReLUs are fed positive numbers early on (paper, section 5); trained weights do not show it"
)
SPATIAL_NORM = "the strength of the normalisation within a map is another"
DROPOUT_RATE = "another share of units is dropped in training, and made up for by another factor"

FAR = 100.0  # beyond such numbers a file is damaged rather than telling
_OF_THE_MEAN = "PyTorch's, Caffe's and ONNX's convention"


def of_input(theirs: tuple[int, int], a: Conv | None, ours: tuple[int, int], b: Conv | None) -> str:
    """Image size and first padding, theirs and the reference's; several pairs of them give 55x55 maps."""
    sides, reference = _first_maps(theirs, a), _first_maps(ours, b)
    if a is None or b is None or not sides or not reference:
        return "images of another size"
    said = f"its first maps are {sides[0]}x{sides[1]}"
    if sides != reference:
        return f"{said}, the reference's {reference[0]}x{reference[1]}"
    if (a.size, a.stride) != (b.size, b.stride):
        return f"{said} like the reference's, of other windows"
    if any(a.padding) and any(b.padding):
        edge = "zeros stand at other edges"
    elif any(a.padding):
        edge = "zeros stand where the reference has real pixels"
    else:
        edge = "real pixels stand where the reference has zeros" if any(b.padding) else "images of another size"
    return f"{said} all the same: {edge}, so only the outermost windows see something else"


def _first_maps(image: tuple[int, int], conv: Conv | None) -> tuple[int, int] | None:
    """Height and width of what the first convolution gives; None where it gives nothing."""
    if conv is None or conv.stride < 1:
        return None
    pad = conv.padding
    lengths = (image[0] + pad.top + pad.bottom, image[1] + pad.left + pad.right)
    rows, columns = ((length - conv.size) // conv.stride + 1 for length in lengths)
    return (rows, columns) if min(rows, columns) > 0 else None


def of_channels(theirs: int) -> str:
    """Grey or colour."""
    return "grey images: no colour reaches the network" if theirs == 1 else "another number of colours in its images"


def of_depth(noun: str, *, missing: bool) -> str:
    """A learned layer more or fewer."""
    return f"a {noun} {'less' if missing else 'more'}, and with it what follows up to the next learned layer"


def of_groups(theirs: int, ours: int) -> str:
    """Towers."""
    if theirs == 1:
        return f"every kernel sees all channels: {ours} times the weights and work there, and no towers"
    return f"each kernel sees 1/{theirs} of the channels" if theirs > 2 else "each kernel sees its own tower only"


def of_padding(theirs: Padding) -> str:
    """Zeros around a map."""
    if theirs.bottom > theirs.top or theirs.right > theirs.left:
        return "more zeros on the right and bottom, as TensorFlow's and Keras' SAME has them"
    return "other zeros around the map: its edge, or the size of all that follow, is another"


def of_init(theirs: float | Init) -> str:
    """Where training starts."""
    named = {Init.TORCH: "the default of PyTorch's layers", Init.GLOROT: "the default of Keras' layers"}
    said = f"{named[theirs]}: " if isinstance(theirs, Init) else ""
    return f"{said}training starts elsewhere; trained weights do not show it"


def of_preprocessing(theirs: Preprocessing, ours: Preprocessing) -> str:
    """What the first layer is fed."""
    means = {"mean-image", "mean-image-centre", "mean-colour"}
    if {theirs, ours} <= means:
        return "another mean is subtracted; the pixels keep their scale"
    scaled = {"unit-scale", "mean-and-std", "per-image-standard"}
    if (theirs in scaled) != (ours in scaled):
        return "pixels on another scale: weights trained on one are of no use with the other"
    return "pixels reach the first layer with another offset or scale"


def of_activation(theirs: Layer) -> str:
    """Another nonlinearity."""
    if isinstance(theirs, Tanh):
        return "it saturates: the paper's section 3.1 trains six times slower with it"
    return "it does not saturate (paper, section 3.1)"


def missing(ours: Layer, others: Sequence[ReadLayer] = ()) -> str:
    """A layer between learned ones that the other lacks; `others` are those that it has there."""
    match ours:
        case LRN():
            return "no normalisation across channels: the paper's section 3.3 puts it at 1.4 % top-1 error"
        case SpatialNorm():
            return "no normalisation within a map"
        case MaxPool():
            return "no pooling: the maps keep their size"
    if all(isinstance(other, Dropout) for other in others):
        return "without it two linear layers in a row are one"
    return "negative values are passed on"


def added(theirs: Layer) -> str:
    """A layer between learned ones that only the other has."""
    match theirs:
        case LRN():
            return "normalises across channels where the reference does not"
        case SpatialNorm():
            return "normalises within each map, which the paper does not mention"
        case MaxPool():
            return "halves the maps where the reference does not" if theirs.stride == 2 else "pools once more"
    return f"{between(theirs)} where the reference has none"


def of_foreign(layer: Foreign, instead: str) -> str:
    """A layer without a class here."""
    if instead == NONE:
        return f"AlexNet has no {layer.kind}: what it does to the numbers is not measured here"
    return f"AlexNet has {instead} in its place: what {layer.kind} does to the numbers is not measured here"


def of_alpha(a: LRN, b: LRN) -> str:
    """A ratio of n gives a confused convention away."""
    for size in dict.fromkeys((b.size, a.size)):
        if same(a.alpha * size, b.alpha):
            return f"it is the reference's divided by n = {size}: {_OF_THE_MEAN}, whose alpha multiplies the mean"
        if same(a.alpha, b.alpha * size):
            return f"it is the reference's times n = {size}: an alpha of {_OF_THE_MEAN}, applied to the plain sum"
    for size in dict.fromkeys((b.size, a.size)):
        if same(a.alpha * size * 10, b.alpha):
            return f"it is a tenth of the reference's divided by n = {size}: {_OF_THE_MEAN}, and another alpha besides"
    factor = a.alpha / b.alpha if b.alpha else float("inf")
    return f"the squares count {number(factor)} times as much"


def of_towers(theirs: LRN) -> str:
    """Which edges cut the window off."""
    if theirs.groups > 1:
        return "at the tower's edge the window is cut off: only channels beside that edge are normalised otherwise"
    return "the window reaches into the next tower: only channels beside that edge are normalised otherwise"


def of_lrn_size(a: LRN, b: LRN) -> str:
    """Radius taken for size, or another window."""
    if a.size == 2 * b.size + 1:
        return f"it is 2 * {b.size} + 1: a size given where TensorFlow takes a depth_radius"
    return f"each channel is normalised by {a.size} neighbours instead of {b.size}"


def of_beta(a: LRN, b: LRN) -> str:
    """The exponent."""
    del b
    return "the exponent of the sum: at 1 large activations are levelled out" if a.beta >= 1 else "another exponent"


def of_k(a: LRN, b: LRN) -> str:
    """The constant under the exponent scales everything."""
    if not (1 / FAR < a.k < FAR and 0 < b.k < FAR and 0 < b.beta < FAR):
        return "the constant beside the sum"
    factor = (b.k / a.k) ** b.beta
    power = f"({number(b.k)}/{number(a.k)})^{number(b.beta)}"
    return f"where the sum is small, outputs are {factor:.3g} times as large: {power}"


def of_pool(a: MaxPool, b: MaxPool, *, padded: bool) -> str:
    """Size, stride, rounding."""
    if a.size == a.stride and b.size != b.stride:
        return "windows do not overlap: the paper's section 3.4 puts that at 0.4 % top-1 error"
    if a.stride == 1 and b.stride > 1:
        return f"at stride 1 the maps stay large: {b.stride**2} times the pixels, and what follows pays for them"
    if padded and any(a.padding) and not (a.padding.top or a.padding.left):
        return "the output size is rounded up: ceil mode, as cuda-convnet and Caffe have it"
    if padded and any(a.padding):
        return "windows start beyond the map's edge: padding, as SAME or a number gives it"
    if padded and not (b.padding.top or b.padding.left):
        return "the output size is rounded down, the reference's up: ceil mode"
    return "other windows, or maps of another size"


def of_order(theirs: Sequence[Token], ours: Sequence[Token], *, foreign: bool) -> str:
    """Which layers change places decides whether it matters; of `foreign` ones nothing is known."""
    if foreign:
        return "the same kinds of layers in another order"
    turned = [
        {a[0], b[0]}
        for i, a in enumerate(theirs)
        for b in theirs[i + 1 :]
        if ours.index(a) > ours.index(b)
    ]  # fmt: skip
    if all(pair == {"activation", "pool"} for pair in turned):
        return "a rising function and a maximum change places freely: the same function, at less or more work"
    if {"LRN", "activation"} in turned:
        if _first(theirs, "LRN") < _first(theirs, "activation"):
            return "the normalisation sees activations before the rectifier: negative ones count among its squares"
        return "the normalisation sees what the rectifier has left: negative activations do not count among its squares"
    if any("LRN" in pair or "spatial norm" in pair for pair in turned):
        return "normalising before or after pooling: the maximum is taken of other numbers"
    return "the same layers in another order"


def _first(order: Sequence[Token], kind: str) -> int:
    """Where the first of a kind stands."""
    return next(place for place, token in enumerate(order) if token[0] == kind)


def of_dropout(theirs: int, ours: int) -> str:
    """Presence or place."""
    if not theirs:
        return "no dropout: the paper's section 4.2 says that its network then overfits substantially"
    if theirs != ours:
        return "another number of layers drop units"
    return "units are dropped in front of other layers: other features are made not to rely on each other"


def of_scaling(theirs: DropoutScaling) -> str:
    """Paper's, or inverted."""
    if theirs is DropoutScaling.IN_TRAINING:
        return "inverted dropout: trained weights carry over only with a factor of 1 - rate in the layer that follows"
    return "the paper's: outputs are multiplied by 1 - rate at test time"
