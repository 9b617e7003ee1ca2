"""The vocabulary of a network: layers, networks and training recipes as frozen dataclasses.

Only the standard library is imported here, because everything else imports this module. A `Network` is data: every
implementation, parameter count and FLOP count derives from it (see `impls.derive`).

Layout conventions, everywhere in this project:
    images       [N, H, W, C] float32
    conv weight  [h, w, in_channels / groups, kernels]
    dense weight [in, out], where a 4-D input is flattened in the order H, W, C
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple


class Padding(NamedTuple):
    """Pixels added on each side of a feature map: zeros for a convolution, minus infinity for a max-pool."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    @classmethod
    def same(cls, pixels: int) -> Padding:
        """The same number of pixels on all four sides."""
        return cls(pixels, pixels, pixels, pixels)


class Init(StrEnum):
    """Initial weight distributions that depend on the layer's fan instead of a fixed standard deviation."""

    TORCH = "torch"  # U(-1/sqrt(fan_in), 1/sqrt(fan_in)), weights and biases: torch.nn.Linear.reset_parameters
    GLOROT = "glorot"  # U(-a, a), a = sqrt(6 / (fan_in + fan_out)), biases 0: Keras' glorot_uniform


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    name: str
    source: str = ""  # the paper's section or the file this layer was read from


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv(_Named):
    """2-D cross-correlation. Output side: floor((input + padding - size) / stride) + 1."""

    kernels: int
    size: int
    stride: int = 1
    padding: Padding = Padding()
    groups: int = 1
    init: float | Init = 0.01  # a number is the standard deviation of a zero-mean Gaussian
    init_bias: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense(_Named):
    """Fully connected layer, y = x W + b. A 4-D input is flattened H, W, C first."""

    units: int
    init: float | Init = 0.01
    init_bias: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReLU(_Named):
    """max(0, x), with derivative 0 at x = 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tanh(_Named):
    """Hyperbolic tangent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LRN(_Named):
    """Local response normalisation across channels: y_i = x_i / (k + alpha * sum_j x_j^2) ** beta.

    The sum runs over `size` channels centred on i, clipped at the edges of the group that holds i: with groups = 2 the
    window never crosses from one tower into the other. `alpha` multiplies the plain sum, as in the paper's section 3.3
    and in TensorFlow; PyTorch, Caffe and ONNX multiply the mean and so want alpha * size.
    """

    size: int
    alpha: float
    beta: float
    k: float
    groups: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialNorm(_Named):
    """Response normalisation within one map: the sum runs over a size x size window of pixels, clipped at the edges."""

    size: int
    alpha: float  # on the plain sum
    beta: float
    k: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPool(_Named):
    """Maximum over size x size windows. Output side: floor((input + padding - size) / stride) + 1.

    Padding counts as minus infinity; the ceil mode of Caffe and cuda-convnet is padding on the right and bottom.
    """

    size: int
    stride: int
    padding: Padding = Padding()


class DropoutScaling(StrEnum):
    """Where a dropout layer makes up for the units it drops."""

    AT_TEST = "at-test"  # the paper, section 4.2: outputs times (1 - rate) at test time, plain masks in training
    IN_TRAINING = "in-training"  # "inverted" dropout: masks divided by (1 - rate) in training, identity at test time


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout(_Named):
    """Units are zeroed with probability `rate` in training. Masks are inputs: 1 keeps a unit, 0 drops it."""

    rate: float
    scaling: DropoutScaling = DropoutScaling.AT_TEST


Layer = Conv | Dense | ReLU | Tanh | LRN | SpatialNorm | MaxPool | Dropout

# What happens to a crop of whole numbers 0..255 before the first layer:
#   mean-image          minus the mean training image, cut where the crop was cut (paper, section 2; Caffe)
#   mean-image-centre   minus the centre of the mean image wherever the crop was cut (2012 source)
#   mean-colour         minus the training images' mean colour
#   mean-and-std        over 255, minus ImageNet's mean, over its standard deviation, by channel (torchvision)
#   per-image-standard  minus the crop's mean, over its standard deviation (tf.image.per_image_standardization)
#   unit-scale          over 255: torchvision.transforms.ToTensor
#   none                nothing
Preprocessing = Literal[
    "mean-image", "mean-image-centre", "mean-colour", "mean-and-std", "per-image-standard", "unit-scale", "none"
]
Crop = Literal["random", "centre"]
ColourNoise = Literal["none", "paper", "original-2012"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a recipe does otherwise from an epoch on, counted from 0; None leaves a thing as it was."""

    epoch: int
    bias_factor: float | None = None  # learning rate of biases, in learning rates
    layer_factors: tuple[tuple[str, float], ...] | None = None  # of these layers' tensors; 0 freezes a layer
    colour_noise: ColourNoise | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained: stochastic gradient descent with momentum, in the paper's form (section 5).

        v <- momentum * v - weight_decay * rate * w - rate * gradient
        w <- w + v

    The learning rate is inside the velocity, so a drop of the rate acts on new gradients only.
    """

    batch_size: int = 128
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0005
    decay_biases: bool = True
    epochs: int = 90
    drop_factor: float = 0.1  # the learning rate is multiplied by this at each drop
    drop_epochs: tuple[int, ...] = ()  # empty: dropped when the validation error stops improving
    drops: int = 3  # of a rate without drop_epochs; where it would drop once more, training ends
    patience: int = 4  # epochs without a lower validation error before such a drop; the paper gives no number
    changes: tuple[Change, ...] = ()
    crop: Crop = "random"  # of the size of the network's input out of the larger image; centre: always the same
    flip: bool = True  # left to right, half of the images
    colour_noise: ColourNoise = "none"
    source: str = "paper, section 5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network: its input, its layers in order, and the recipe it is trained with."""

    name: str
    summary: str  # what sets it apart, in one line
    source: str
    height: int
    width: int
    channels: int = 3
    classes: int = 1000
    layers: tuple[Layer, ...]
    preprocessing: Preprocessing = "mean-image"
    recipe: Recipe = field(default_factory=Recipe)
    large: bool = False  # needs tens of gigabytes: commands run it only with --large

    def layer(self, name: str) -> Layer:
        """The layer called `name`. Raises KeyError."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"network {self.name!r} has no layer {name!r}; it has {', '.join(x.name for x in self.layers)}")

    @property
    def logits(self) -> str:
        """Name of the last layer, whose output the softmax takes."""
        return self.layers[-1].name
