"""The paper's network with one setting changed, and what an audit must call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from impls import catalog
from impls.spec import (
    LRN,
    Conv,
    Dense,
    Dropout,
    DropoutScaling,
    Init,
    Layer,
    MaxPool,
    Network,
    Padding,
    ReLU,
    SpatialNorm,
    Tanh,
)

PAPER = catalog.get("paper")
Change = Callable[[Network], Network]


@dataclass(frozen=True)
class Case:
    """A change and the one departure it is."""

    name: str
    change: Change
    facet: str
    place: str
    theirs: str
    reference: str
    says: str = ""  # a part of the reason

    @property
    def network(self) -> Network:
        """The paper's network with it."""
        return replace(self.change(PAPER), name=self.name)


def layers(change: Callable[[list[Layer]], list[Layer]]) -> Change:
    return lambda network: replace(network, layers=tuple(change(list(network.layers))))


def at(names: str, **fields: Any) -> Change:
    """Fields of these layers."""
    return layers(lambda found: [replace(one, **fields) if one.name in names.split() else one for one in found])


def without(*names: str) -> Change:
    return layers(lambda found: [one for one in found if one.name not in names])


def after(name: str, *added: Layer) -> Change:
    def change(found: list[Layer]) -> list[Layer]:
        place = [one.name for one in found].index(name) + 1
        return [*found[:place], *added, *found[place:]]

    return layers(change)


def swapped(one: str, other: str) -> Change:
    def change(found: list[Layer]) -> list[Layer]:
        names = [layer.name for layer in found]
        i, j = names.index(one), names.index(other)
        found[i], found[j] = found[j], found[i]
        return found

    return layers(change)


def exchanged(name: str, new: Layer) -> Change:
    return layers(lambda found: [new if one.name == name else one for one in found])


def both(*changes: Change) -> Change:
    def change(network: Network) -> Network:
        for one in changes:
            network = one(network)
        return network

    return change


def whole(**fields: Any) -> Change:
    return lambda network: replace(network, **fields)


LRN_TEXT = "LRN n=5 alpha=0.0001 beta=0.75 k=2"
IMAGE = "224x224, pad bottom 3 right 3"
SAME_OF_5 = Padding(top=1, bottom=2, left=1, right=2)
MORE = Dropout(name="drop5", rate=0.5)
CONV = Conv(name="conv6", kernels=256, size=3, padding=Padding.same(1), groups=2, init_bias=1.0)
DENSE = Dense(name="fc9", units=4096, init_bias=1.0)

CASES = (
    Case("kernels", at("conv3", kernels=400), "kernels", "conv3", "400", "384"),
    Case("kernel size", at("conv4", size=5, padding=Padding.same(2)), "kernel-size", "conv4", "5x5, pad 2",
         "3x3, pad 1"),
    Case("kernel size of conv1", at("conv1", size=7), "kernel-size", "conv1", "7x7", "11x11"),
    Case("stride", at("conv1", stride=2), "stride", "conv1", "2", "4"),
    Case("padding", at("conv2", padding=Padding.same(1)), "padding", "conv2", "pad 1", "pad 2"),
    Case("SAME padding", at("conv2", padding=SAME_OF_5), "padding", "conv2", "pad top 1 bottom 2 left 1 right 2",
         "pad 2", "SAME"),
    Case("groups", at("conv2 conv4 conv5", groups=1), "groups", "conv2, conv4, conv5", "1", "2", "no towers"),
    Case("groups of one layer", at("conv4", groups=1), "groups", "conv4", "1", "2"),
    Case("more groups", at("conv5", groups=4), "groups", "conv5", "4", "2"),
    Case("n", at("norm1 norm2", size=3), "lrn-size", "norm1, norm2", "3", "5"),
    Case("depth_radius for size", at("norm1 norm2", size=11), "lrn-size", "norm1, norm2", "11", "5", "depth_radius"),
    Case("alpha", at("norm1 norm2", alpha=3e-4), "lrn-alpha", "norm1, norm2", "0.0003", "0.0001", "3 times"),
    Case("alpha over n", at("norm1 norm2", alpha=1e-4 / 5), "lrn-alpha", "norm1, norm2", "2e-05", "0.0001",
         "divided by n = 5: PyTorch's"),
    Case("alpha times n", at("norm1 norm2", alpha=5e-4), "lrn-alpha", "norm1, norm2", "0.0005", "0.0001",
         "times n = 5"),
    Case("beta", at("norm1 norm2", beta=0.5), "lrn-beta", "norm1, norm2", "0.5", "0.75"),
    Case("k", at("norm1 norm2", k=1.0), "lrn-k", "norm1, norm2", "1", "2", "1.68 times as large"),
    Case("k of one layer", at("norm2", k=1.0), "lrn-k", "norm2", "1", "2"),
    Case("towers", at("norm1 norm2", groups=2), "lrn-towers", "norm1, norm2", "2 towers", "across all channels"),
    Case("no LRN", without("norm1", "norm2"), "lrn", "norm1, norm2", "none", LRN_TEXT, "1.4 %"),
    Case("no LRN in layer 2", without("norm2"), "lrn", "norm2", "none", LRN_TEXT),
    Case("LRN in layer 3", after("relu3", LRN(name="norm3", size=5, alpha=1e-4, beta=0.75, k=2.0)), "lrn",
         "after conv3", LRN_TEXT, "none"),
    Case("spatial norm", after("norm2", SpatialNorm(name="c", size=5, alpha=4e-5, beta=0.75, k=1.0)), "spatial-norm",
         "after conv2", "5x5 alpha=4e-05 beta=0.75 k=1", "none"),
    Case("non-overlapping pooling", at("pool1 pool2 pool5", size=2), "pooling", "pool1, pool2, pool5", "2x2 / 2",
         "3x3 / 2", "do not overlap"),
    Case("pool stride", at("pool5", stride=1), "pooling", "pool5", "3x3 / 1", "3x3 / 2", "stride 1"),
    Case("pool of 5", at("pool1", size=5), "pooling", "pool1", "5x5 / 2", "3x3 / 2"),
    Case("231", both(at("conv1", padding=Padding()), whole(height=231, width=231)), "input", "conv1",
         "231x231, no padding", IMAGE),
    Case("padded pooling", at("pool1", padding=Padding.same(1)), "pooling", "pool1", "3x3 / 2, pad 1", "3x3 / 2"),
    Case("no pooling", without("pool5"), "pooling", "pool5", "none", "3x3 / 2"),
    Case("one more pooling", after("relu4", MaxPool(name="pool4", size=2, stride=2)), "pooling", "after conv4",
         "2x2 / 2", "none"),
    Case("pooling before LRN", both(swapped("norm1", "pool1"), swapped("norm2", "pool2")), "order", "conv1, conv2",
         "ReLU, pool, LRN", "ReLU, LRN, pool", "before or after pooling"),
    Case("LRN before ReLU", swapped("relu1", "norm1"), "order", "conv1", "LRN, ReLU, pool", "ReLU, LRN, pool",
         "before the rectifier"),
    Case("pooling before ReLU", swapped("relu5", "pool5"), "order", "conv5", "pool, ReLU", "ReLU, pool",
         "same function"),
    Case("no ReLU", without("relu6", "relu7"), "activation", "relu6, relu7", "none", "ReLU", "linear"),
    Case("tanh", both(*(exchanged(f"relu{n}", Tanh(name=f"relu{n}")) for n in (3, 4))), "activation", "relu3, relu4",
         "tanh", "ReLU", "saturates"),
    Case("ReLU on the logits", after("fc8", ReLU(name="relu8")), "activation", "after fc8", "ReLU", "none"),
    Case("dropout rate", at("drop6 drop7", rate=0.3), "dropout-rate", "drop6, drop7", "0.3", "0.5"),
    Case("dropout scaling", at("drop6 drop7", scaling=DropoutScaling.IN_TRAINING), "dropout-scaling", "drop6, drop7",
         "in training", "at test", "inverted"),
    Case("dropout position", both(without("drop7"), after("pool5", MORE)), "dropout-position", "drop6, drop7",
         "before fc6 and fc7", "before fc7 and fc8"),
    Case("no dropout", without("drop6", "drop7"), "dropout", "drop6, drop7", "none", "before fc7 and fc8",
         "overfits"),
    Case("one dropout", without("drop7"), "dropout", "drop6, drop7", "before fc7", "before fc7 and fc8"),
    Case("one more dropout", after("pool5", MORE), "dropout", "drop6, drop7", "before fc6, fc7 and fc8",
         "before fc7 and fc8"),
    Case("units", at("fc6 fc7", units=2048), "units", "fc6, fc7", "2048, 2048", "4096, 4096"),
    Case("std", at("conv3", init=0.03), "init", "conv3", "Gaussian, std 0.03", "Gaussian, std 0.01"),
    Case("Keras' init", at("fc8", init=Init.GLOROT), "init", "fc8", "Glorot's uniform", "Gaussian, std 0.01", "Keras"),
    Case("bias 1", at("conv2 conv4 conv5", init_bias=0.0), "init-bias", "conv2, conv4, conv5", "0", "1"),
    Case("input side", whole(height=256, width=256), "input", "conv1", "256x256, pad bottom 3 right 3", IMAGE),
    Case("padding of conv1", at("conv1", padding=Padding.same(2)), "input", "conv1", "224x224, pad 2", IMAGE, "55x55"),
    Case("227", both(at("conv1", padding=Padding()), whole(height=227, width=227)), "input", "conv1",
         "227x227, no padding", IMAGE, "real pixels"),
    Case("grey", whole(channels=1), "channels", "input", "1", "3", "colour"),
    Case("classes", both(at("fc8", units=10), whole(classes=10)), "classes", "fc8", "10", "1000"),
    Case("preprocessing", whole(preprocessing="mean-and-std"), "preprocessing", "input", "mean-and-std", "mean-image"),
    Case("one more convolution", after("relu5", CONV, ReLU(name="relu5b")), "depth", "after conv4", "6 convolutions",
         "5 convolutions"),
    Case("one convolution less", without("conv3", "relu3"), "depth", "conv3", "4 convolutions", "5 convolutions"),
    Case("one more dense layer", after("drop7", DENSE, ReLU(name="relu9"), Dropout(name="drop9", rate=0.5)), "depth",
         "after conv5", "4 dense layers", "3 dense layers"),
    Case("one dense layer less", without("fc6", "relu6", "drop6"), "depth", "fc6", "2 dense layers", "3 dense layers"),
)  # fmt: skip
