"""What note 004 says: remarks on the paper in Chinese, with a network in Keras for CIFAR-10."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import numpy as np

from harness.data import draws
from harness.data.preprocessing import standardize
from harness.paper import note_counts, note_probes
from harness.paper.claims import Answer, NoteClaim
from impls import derive
from impls.spec import Conv, Dense, MaxPool, Network

Claim = partial(NoteClaim, note="004")

IMAGES, HELD_OUT = 50_000, 5000  # CIFAR-10's training images, and how many the listing takes off their front
TAKEN = slice(5000, 10_000)  # what it names its test images


def _kernel_depth(printed: str) -> note_counts.Check:
    """Kernels of the fifth convolution."""

    def check(network: Network) -> Answer:
        rows = [row for row in derive.facts(network) if isinstance(row.layer, Conv)]
        height, width, depth, count = rows[4].parameters[f"{rows[4].layer.name}/weight"]
        found = f"{count}x{height}x{width}x{depth}"
        return Answer(found, found == printed)

    return check


def _pool_strides(network: Network) -> Answer:
    """Strides of the pools, and what they leave of the maps."""
    rows = [row for row in derive.facts(network) if isinstance(row.layer, MaxPool)]
    strides = [row.layer.stride for row in rows if isinstance(row.layer, MaxPool)]
    left = " - ".join(str(row.output_shape[0]) for row in rows)
    return Answer(", ".join(map(str, strides)), strides[:2] == [1, 1], f"sides of the maps after each pool: {left}")


def _first_dense(network: Network) -> Answer:
    """What pools of stride 1 make of the first dense layer."""
    row = next(row for row in derive.facts(network) if isinstance(row.layer, Dense))
    share = row.parameter_count / derive.parameter_count(network)
    shown = f"{row.parameter_count:,} parameters in {row.layer.name}"
    return Answer(shown, row.input_shape == (6, 6, 256), f"{note_counts.sides(row.input_shape)} in, {share:.0%} of all")


def _loss(probabilities: list[Fraction], label: int) -> Fraction:
    """Keras' mean squared error of a row of probabilities against one whole number, which is stretched over it."""
    return sum(((p - label) ** 2 for p in probabilities), Fraction(0)) / len(probabilities)


def _losses(classes: int) -> tuple[Fraction, Fraction]:
    """The lowest mean squared error of softmax outputs against labels 0 to classes - 1, and that of the right classes.

    sum (p - y)^2 = sum p^2 - 2 y + classes y^2, since the p add up to 1: it is lowest where they are equal.
    """
    even = [Fraction(1, classes)] * classes
    right = [[Fraction(int(place == label)) for place in range(classes)] for label in range(classes)]
    least = sum((_loss(even, label) for label in range(classes)), Fraction(0)) / classes
    sure = sum((_loss(right[label], label) for label in range(classes)), Fraction(0)) / classes
    return least, sure


def _label_moves_nothing(network: Network) -> Answer:
    """The gradient of that loss with respect to the outputs, under two labels: it must not differ by a constant alone.

    d/dp = 2 (p - y) / classes; what all outputs share is lost in the softmax.
    """
    outputs = [Fraction(place + 1, network.classes) for place in range(network.classes)]
    gradients = [[2 * (p - label) / network.classes for p in outputs] for label in (0, network.classes - 1)]
    apart = {one - other for one, other in zip(*gradients, strict=True)}
    least, sure = _losses(network.classes)
    note = "through the softmax the gradient of every label is the same, so the network cannot learn which class it is"
    note += f"; the loss is least, {float(least):.2f}, at {1 / network.classes:g} for each class"
    note += f", and {float(sure):.2f} where the right one has 1"
    return Answer("nothing of the label", len(apart) > 1, note if len(apart) == 1 else "")


def _own_test_images(network: Network) -> Answer:
    """What `train_labels[5000:10000]`, taken after the validation images, really holds."""
    del network
    kept = range(IMAGES)[HELD_OUT:]  # train_images, train_labels = train_images[5000:], train_labels[5000:]
    taken = kept[TAKEN]
    trained = sum(place in kept for place in taken)
    note = f"they are the labels of training images {taken.start:,} to {taken.stop - 1:,}, and no images at all"
    return Answer(f"{trained:,} of {len(taken):,} trained on", trained == 0, note)


def _standardized(network: Network) -> Answer:
    """Mean and deviation of an image as the note prepares it."""
    del network
    view = draws.integers(0, "notes", 4, 32 * 32 * 3, 256).astype(np.float32).reshape(32, 32, 3)
    standardize(view)
    mean, deviation = abs(float(view.mean(dtype=np.float64))), float(view.std(dtype=np.float64))
    return Answer(f"{mean:.0e}, {deviation:.6f}", mean < 1e-6 and abs(deviation - 1) < 1e-6, "before it is enlarged")


def _classifier(network: Network) -> Answer:
    """Softmax over the last layer with one output per class, trained by cross-entropy."""
    last = network.layers[-1]
    units = last.units if isinstance(last, Dense) else 0
    return Answer(f"softmax of {units:,}", units == network.classes, "the note's own listing has mean squared error")


CLAIMS: tuple[NoteClaim, ...] = (
    Claim(
        place="The Dataset", claim="images are scaled to 256x256", figure="256x256",
        check=note_counts.of_the_paper("size of the images before crops are cut"),
    ),
    Claim(
        place="The Dataset", claim="from each pixel the mean activity over the training set is subtracted",
        figure="mean of the training set",
        check=note_counts.of_the_paper("preprocessing: the training set's mean, pixel by pixel"),
    ),
    Claim(
        place="The Architeture", claim="8 learning layers = 5Conv + 3Dense", figure="5 and 3",
        check=note_counts.depth(5, 3),
    ),
    Claim(
        place="ReLU Nonlinearity", claim="relu, a saturating nonlinearity, trains clearly slower than a non-saturating"
        " one", figure="saturating", check=note_probes.saturates, known="contradicted",
    ),
    Claim(
        place="ReLU Nonlinearity", claim="ReLU is y = max(0,tanh(x))", figure="max(0,tanh(x))",
        check=note_probes.rectified_tanh, known="contradicted",
    ),
    Claim(
        place="Overall Arichiteture", claim="the model uses multinomial logistic regression",
        figure="logistic regression", check=_classifier,
    ),
    Claim(
        place="Overall Arichiteture", claim="1. 11x11x3,strides=4", figure="11x11x3, 4",
        check=note_counts.kernels("conv1", 96, 11, 3, 4),
    ),
    Claim(
        place="Overall Arichiteture", claim="2. 5x5x48", figure="5x5x48",
        check=note_counts.kernels("conv2", 256, 5, 48),
    ),
    Claim(
        place="Overall Arichiteture", claim="3. 3x3x256", figure="3x3x256",
        check=note_counts.kernels("conv3", 384, 3, 256),
    ),
    Claim(
        place="Overall Arichiteture", claim="4. 3x3x192", figure="3x3x192",
        check=note_counts.kernels("conv4", 384, 3, 192),
    ),
    Claim(
        place="Overall Arichiteture", claim="5. 256x3x3x142", figure="256x3x3x142", check=_kernel_depth("256x3x3x142"),
        known="contradicted",
    ),
    Claim(
        place="listing", claim="the reproduction in code, of 8 learning layers = 5Conv + 3Dense", figure="5 and 3",
        of="note-004", check=note_counts.depth(5, 3), known="contradicted",
    ),
    Claim(
        place="listing", claim="normalised to a mean of 0 and a standard deviation of 1", figure="0, 1", of="note-004",
        check=_standardized,
    ),
    Claim(
        place="listing", claim="MaxPooling2D(pool_size=(3,3),strides=1), twice", figure="1, 1",
        check=_pool_strides, known="contradicted",
    ),
    Claim(
        place="listing", claim="the reproduction in code: Flatten(), Dense(4096)", figure="Dense(4096)", of="note-004",
        check=_first_dense, known="contradicted",
    ),
    Claim(
        place="listing", claim="activation='softmax' with loss='mse' and whole numbers as labels", figure="mse",
        of="note-004", check=_label_moves_nothing, known="contradicted",
    ),
    Claim(
        place="listing", claim="test_images,test_labels = train_labels[5000:10000],train_labels[5000:10000]",
        figure="test images", of="note-004", check=_own_test_images, known="contradicted",
    ),
)  # fmt: skip
