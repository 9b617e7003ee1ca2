"""The networks called AlexNet, as data. Standard library only.

Every network names its source; every departure from the paper is a field, not code. Sources in short:
    paper        Krizhevsky, Sutskever, Hinton, NIPS 2012
    2012 source  github.com/computerhistory/AlexNet-Source-Code, layers/layers-145.cfg and layer-params-145.cfg
    Caffe        github.com/BVLC/caffe, models/bvlc_alexnet and models/bvlc_reference_caffenet
    torchvision  torchvision/models/alexnet.py, after "One weird trick" (arXiv 1404.5997)
    note 000-004 five public study notes on AlexNet, each with the network it prints or describes
"""

from __future__ import annotations

from collections.abc import Iterable

from impls.nearest import question
from impls.spec import (
    LRN,
    Change,
    Conv,
    Dense,
    Dropout,
    DropoutScaling,
    Init,
    Layer,
    MaxPool,
    Network,
    Padding,
    Recipe,
    ReLU,
    SpatialNorm,
)


class UnknownNetwork(ValueError):
    """No network of that name; the message gives the nearest one."""

    exit_code = 2


# The paper says 224x224 in and 55x55 out. The original source resolves it: 1 + ceil((224 - 11) / 4) = 55, the missing
# three pixels being zeros on the right and bottom, after the mean is subtracted.
RIGHT_AND_BOTTOM = Padding(bottom=3, right=3)

INVERTED = DropoutScaling.IN_TRAINING


def _relu(*numbers: int, source: str = "") -> tuple[Layer, ...]:
    return tuple(ReLU(name=f"relu{n}", source=source) for n in numbers)


def _pool(number: int, stride: int = 2, size: int = 3, source: str = "", padding: Padding = Padding()) -> MaxPool:
    return MaxPool(name=f"pool{number}", size=size, stride=stride, source=source, padding=padding)


def _stack(*parts: Layer | Iterable[Layer]) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for part in parts:
        layers.extend(part if isinstance(part, Iterable) else (part,))
    return tuple(layers)


def _conv1(**changes: object) -> Conv:
    settings: dict[str, object] = {"name": "conv1", "kernels": 96, "size": 11, "stride": 4}
    return Conv(**{**settings, **changes})  # type: ignore[arg-type]


def _paper_norm(number: int) -> LRN:
    return LRN(name=f"norm{number}", size=5, alpha=1e-4, beta=0.75, k=2.0, source="paper 3.3")


def _paper_dense(units: int, number: int, source: str = "paper 3.5") -> tuple[Layer, ...]:
    return (
        Dense(name=f"fc{number}", units=units, init_bias=1.0, source=source),
        ReLU(name=f"relu{number}", source="paper 3.1"),
        Dropout(name=f"drop{number}", rate=0.5, source="paper 4.2"),
    )


PAPER_RECIPE = Recipe(colour_noise="paper", source="paper, sections 4.1 and 5")

PAPER = Network(
    name="paper",
    summary="the 2012 paper's text; 224 padded right and bottom to give 55",
    source="paper, sections 3 to 5; padding: the 2012 source",
    height=224,
    width=224,
    recipe=PAPER_RECIPE,
    layers=_stack(
        _conv1(padding=RIGHT_AND_BOTTOM, source="paper 3.5"),
        _relu(1, source="paper 3.1"),
        _paper_norm(1),
        _pool(1, source="paper 3.4"),
        Conv(name="conv2", kernels=256, size=5, padding=Padding.same(2), groups=2, init_bias=1.0, source="paper 3.5"),
        _relu(2, source="paper 3.1"),
        _paper_norm(2),
        _pool(2, source="paper 3.4"),
        Conv(name="conv3", kernels=384, size=3, padding=Padding.same(1), source="paper 3.5"),
        _relu(3, source="paper 3.1"),
        Conv(name="conv4", kernels=384, size=3, padding=Padding.same(1), groups=2, init_bias=1.0, source="paper 3.5"),
        _relu(4, source="paper 3.1"),
        Conv(name="conv5", kernels=256, size=3, padding=Padding.same(1), groups=2, init_bias=1.0, source="paper 3.5"),
        _relu(5, source="paper 3.1"),
        _pool(5, source="paper 3.4"),
        _paper_dense(4096, 6),
        _paper_dense(4096, 7),
        Dense(name="fc8", units=1000, source="paper 3.5"),
    ),
)

_CFG = "layers-145.cfg"

ORIGINAL_2012_RECIPE = Recipe(
    decay_biases=False,
    epochs=93,
    drop_epochs=(23, 51, 78),
    changes=(
        Change(epoch=0, bias_factor=2.0),
        Change(epoch=23, bias_factor=1.0),
        Change(epoch=68, layer_factors=(("conv1", 0.1),), colour_noise="none"),
        Change(epoch=72, layer_factors=(("conv1", 0.0),)),
    ),
    colour_noise="original-2012",
    source="2012 source, layer-params files and its training log",
)

ORIGINAL_2012 = Network(
    name="original-2012",
    summary="the released 2012 code: LRN before pooling before ReLU in layer 1, LRN per tower, spatial norm in layer 2",
    source="2012 source, layers/layers-145.cfg",
    height=224,
    width=224,
    preprocessing="mean-image-centre",
    recipe=ORIGINAL_2012_RECIPE,
    layers=_stack(
        _conv1(padding=RIGHT_AND_BOTTOM, source=_CFG),
        LRN(name="norm1", size=5, alpha=2e-5, beta=0.75, k=2.0, groups=2, source=_CFG),
        _pool(1, source=_CFG),
        _relu(1, source=_CFG),
        Conv(name="conv2", kernels=256, size=5, padding=Padding.same(2), groups=2, init_bias=1.0, source=_CFG),
        _relu(2, source=_CFG),
        LRN(name="norm2", size=5, alpha=2e-5, beta=0.75, k=2.0, groups=2, source=_CFG),
        SpatialNorm(name="cnorm2", size=5, alpha=0.001 / 25, beta=0.75, k=1.0, source=_CFG),
        _pool(2, source=_CFG),
        Conv(name="conv3", kernels=384, size=3, padding=Padding.same(1), init=0.03, source=_CFG),
        _relu(3, source=_CFG),
        Conv(
            name="conv4", kernels=384, size=3, padding=Padding.same(1), groups=2, init=0.03, init_bias=1.0, source=_CFG
        ),
        _relu(4, source=_CFG),
        Conv(
            name="conv5", kernels=256, size=3, padding=Padding.same(1), groups=2, init=0.03, init_bias=1.0, source=_CFG
        ),
        _pool(5, source=_CFG),
        _relu(5, source=_CFG),
        _paper_dense(4096, 6, _CFG),
        _paper_dense(4096, 7, _CFG),
        Dense(name="fc8", units=1000, source=_CFG),
    ),
)

ONE_TOWER = Network(
    name="one-tower",
    summary="the paper's one-GPU net: half the kernels in conv1-4, no groups, conv5 and the dense layers whole",
    source="paper, section 3.2 and its footnote; layers/layers-145-half.cfg",
    height=224,
    width=224,
    recipe=PAPER_RECIPE,
    layers=_stack(
        _conv1(kernels=48, padding=RIGHT_AND_BOTTOM, source="paper 3.2"),
        _relu(1),
        _paper_norm(1),
        _pool(1),
        Conv(name="conv2", kernels=128, size=5, padding=Padding.same(2), init_bias=1.0, source="paper 3.2"),
        _relu(2),
        _paper_norm(2),
        _pool(2),
        Conv(name="conv3", kernels=192, size=3, padding=Padding.same(1), source="paper 3.2"),
        _relu(3),
        Conv(name="conv4", kernels=192, size=3, padding=Padding.same(1), init_bias=1.0, source="paper 3.2"),
        _relu(4),
        Conv(name="conv5", kernels=256, size=3, padding=Padding.same(1), init_bias=1.0, source="paper 3.2"),
        _relu(5),
        _pool(5),
        _paper_dense(4096, 6),
        _paper_dense(4096, 7),
        Dense(name="fc8", units=1000, source="paper 3.5"),
    ),
)


def _caffe_dense(number: int, bias: float) -> tuple[Layer, ...]:
    return (
        Dense(name=f"fc{number}", units=4096, init=0.005, init_bias=bias),
        ReLU(name=f"relu{number}"),
        Dropout(name=f"drop{number}", rate=0.5, scaling=INVERTED),
    )


def _caffe_layers(normalise_after_pooling: bool, bias: float) -> tuple[Layer, ...]:
    def norm_and_pool(number: int) -> tuple[Layer, ...]:
        norm = LRN(name=f"norm{number}", size=5, alpha=2e-5, beta=0.75, k=1.0)
        pool = _pool(number)
        return (pool, norm) if normalise_after_pooling else (norm, pool)

    return _stack(
        _conv1(),
        _relu(1),
        norm_and_pool(1),
        Conv(name="conv2", kernels=256, size=5, padding=Padding.same(2), groups=2, init_bias=bias),
        _relu(2),
        norm_and_pool(2),
        Conv(name="conv3", kernels=384, size=3, padding=Padding.same(1)),
        _relu(3),
        Conv(name="conv4", kernels=384, size=3, padding=Padding.same(1), groups=2, init_bias=bias),
        _relu(4),
        Conv(name="conv5", kernels=256, size=3, padding=Padding.same(1), groups=2, init_bias=bias),
        _relu(5),
        _pool(5),
        _caffe_dense(6, bias),
        _caffe_dense(7, bias),
        Dense(name="fc8", units=1000),
    )


# 450,000 steps of 256 are 90 epochs of ILSVRC 2012's 1,281,167 images, a drop every 100,000 steps every 20.
CAFFE_RECIPE = Recipe(
    batch_size=256,
    decay_biases=False,
    drop_epochs=(20, 40, 60, 80),
    changes=(Change(epoch=0, bias_factor=2.0),),
    source="Caffe, solver.prototxt (a fixed drop every 20 epochs), lr_mult and decay_mult of train_val.prototxt",
)

CAFFE = Network(
    name="caffe",
    summary="Caffe's AlexNet: 227 input, LRN with k = 1 and alpha on the mean, biases 0.1, inverted dropout",
    source="Caffe, models/bvlc_alexnet/train_val.prototxt",
    height=227,
    width=227,
    recipe=CAFFE_RECIPE,
    layers=_caffe_layers(normalise_after_pooling=False, bias=0.1),
)

CAFFENET = Network(
    name="caffenet",
    summary="Caffe's reference CaffeNet: as caffe, with pooling before LRN and biases 1",
    source="Caffe, models/bvlc_reference_caffenet/train_val.prototxt",
    height=227,
    width=227,
    recipe=CAFFE_RECIPE,
    layers=_caffe_layers(normalise_after_pooling=True, bias=1.0),
)


def _torch_conv(number: int, kernels: int, size: int, padding: int = 0, stride: int = 1) -> tuple[Layer, ...]:
    conv = Conv(
        name=f"conv{number}",
        kernels=kernels,
        size=size,
        stride=stride,
        padding=Padding.same(padding),
        init=Init.TORCH,
    )
    return (conv, ReLU(name=f"relu{number}"))


def _torch_dense(number: int, units: int) -> Dense:
    return Dense(name=f"fc{number}", units=units, init=Init.TORCH)


def _inverted(number: int) -> Dropout:
    return Dropout(name=f"drop{number}", rate=0.5, scaling=INVERTED)


TORCHVISION = Network(
    name="torchvision",
    summary="the 'one weird trick' net: 64-192-384-256-256 kernels, no groups, no LRN, dropout before fc6 and fc7",
    source="torchvision/models/alexnet.py; arXiv 1404.5997",
    height=224,
    width=224,
    preprocessing="mean-and-std",
    recipe=Recipe(
        batch_size=256,
        weight_decay=1e-4,
        drop_epochs=(30, 60),
        source="torchvision, references/classification (8 x 32 images); its crops also change their size",
    ),
    layers=_stack(
        _torch_conv(1, 64, 11, padding=2, stride=4),
        _pool(1),
        _torch_conv(2, 192, 5, padding=2),
        _pool(2),
        _torch_conv(3, 384, 3, padding=1),
        _torch_conv(4, 256, 3, padding=1),
        _torch_conv(5, 256, 3, padding=1),
        _pool(5),
        _inverted(6),
        _torch_dense(6, 4096),
        _relu(6),
        _inverted(7),
        _torch_dense(7, 4096),
        _relu(7),
        _torch_dense(8, 1000),
    ),
)


def _cifar_block(number: int, kernels: int, init: float) -> tuple[Layer, ...]:
    return (
        Conv(name=f"conv{number}", kernels=kernels, size=5, padding=Padding.same(2), init=init),
        ReLU(name=f"relu{number}"),
        # cuda-convnet pools in ceil mode: 32 -> 16 -> 8 -> 4
        _pool(number, padding=Padding(bottom=1, right=1)),
    )


CIFAR_4LAYER = Network(
    name="cifar-4layer",
    summary="the four-layer CIFAR-10 net of the paper's Figure 1, which prints no table: the source's, with max pools",
    source="paper, Figure 1; 2012 source, example-layers/layers-18pct.cfg (its pools 2 and 3 are averages)",
    height=32,
    width=32,
    classes=10,
    preprocessing="mean-image",
    recipe=Recipe(
        learning_rate=0.001,
        weight_decay=0.004,
        epochs=130,
        drop_epochs=(120,),
        crop="centre",
        flip=False,
        source="2012 source, example-layers/layer-params-18pct.cfg",
    ),
    layers=_stack(
        _cifar_block(1, 32, 0.0001),
        SpatialNorm(name="norm1", size=3, alpha=0.00005 / 9, beta=0.75, k=1.0),
        _cifar_block(2, 32, 0.01),
        SpatialNorm(name="norm2", size=3, alpha=0.00005 / 9, beta=0.75, k=1.0),
        _cifar_block(3, 64, 0.01),
        Dense(name="fc4", units=10),
    ),
)


# What the notes 000 and 002 print ends before training.
_NOTE_RECIPE = Recipe(crop="centre", flip=False, source="paper, section 5; the note prints no training")


def _note_norm(number: int, alpha: float, k: float) -> LRN:
    """A torch.nn.LocalResponseNorm(size=5): its alpha multiplies the mean of five squares."""
    return LRN(name=f"norm{number}", size=5, alpha=alpha / 5, beta=0.75, k=k)


NOTE_000 = Network(
    name="note-000",
    summary="PyTorch study note: paper widths, no groups, pooling before a weak LRN, no ReLU after fc6 and fc7",
    source="note 000, its PyTorch listing",
    height=224,
    width=224,
    preprocessing="unit-scale",
    recipe=_NOTE_RECIPE,
    layers=_stack(
        _torch_conv(1, 96, 11, padding=2, stride=4),
        _pool(1),
        _note_norm(1, 1e-5, 1.0),
        _torch_conv(2, 256, 5, padding=2),
        _pool(2),
        _note_norm(2, 1e-5, 1.0),
        _torch_conv(3, 384, 3, padding=1),
        _torch_conv(4, 384, 3, padding=1),
        _torch_conv(5, 256, 3, padding=1),
        _pool(5),
        _torch_dense(6, 4096),
        _inverted(6),
        _torch_dense(7, 4096),
        _inverted(7),
        _torch_dense(8, 1000),
    ),
)

NOTE_001 = Network(
    name="note-001",
    summary="the Dive into Deep Learning net: grey 224 input without padding, 54-26-12-5 maps, no groups, no LRN",
    source="note 001 (prose); d2l.ai, section AlexNet, for Fashion-MNIST",
    height=224,
    width=224,
    channels=1,
    classes=10,
    preprocessing="unit-scale",
    recipe=Recipe(
        momentum=0.0,
        weight_decay=0.0,
        epochs=10,
        drop_epochs=(10,),  # at the end, so never
        crop="centre",
        flip=False,
        source="d2l.ai, section AlexNet: SGD at 0.01, 10 epochs, one rate throughout",
    ),
    layers=_stack(
        _torch_conv(1, 96, 11, stride=4),
        _pool(1),
        _torch_conv(2, 256, 5, padding=2),
        _pool(2),
        _torch_conv(3, 384, 3, padding=1),
        _torch_conv(4, 384, 3, padding=1),
        _torch_conv(5, 256, 3, padding=1),
        _pool(5),
        _torch_dense(6, 4096),
        _relu(6),
        _inverted(6),
        _torch_dense(7, 4096),
        _relu(7),
        _inverted(7),
        _torch_dense(8, 10),
    ),
)


def _note_002_conv(number: int, kernels: int, size: int, padding: int = 0, stride: int = 1) -> Conv:
    return Conv(
        name=f"conv{number}", kernels=kernels, size=size, stride=stride, padding=Padding.same(padding), init=Init.TORCH
    )


NOTE_002 = Network(
    name="note-002",
    summary="study note repaired: its Conv3d with kernel 363 as the 11x11 it means; pooling, LRN, then ReLU; no groups",
    source="note 002: widths and order of its listing, paddings of its table",
    height=227,
    width=227,
    preprocessing="unit-scale",
    recipe=_NOTE_RECIPE,
    layers=_stack(
        _note_002_conv(1, 96, 11, stride=4),
        _pool(1),
        _note_norm(1, 1e-4, 2.0),
        _relu(1),
        _note_002_conv(2, 256, 5, padding=2),
        _pool(2),
        _note_norm(2, 1e-4, 2.0),
        _relu(2),
        _note_002_conv(3, 384, 3, padding=1),
        _relu(3),
        _note_002_conv(4, 384, 3, padding=1),
        _relu(4),
        _note_002_conv(5, 256, 3, padding=1),
        _pool(5),
        _relu(5),
        _inverted(5),
        _torch_dense(6, 4096),
        _inverted(6),
        _relu(6),
        _torch_dense(7, 4096),
        _relu(7),
        _torch_dense(8, 1000),
    ),
)

NOTE_003 = Network(
    name="note-003",
    summary="cats-and-dogs study note: 227 input, paper widths, no groups, no LRN, two classes",
    source="note 003, AlexNet.py",
    height=227,
    width=227,
    classes=2,
    preprocessing="unit-scale",
    recipe=Recipe(
        batch_size=32,
        learning_rate=0.001,
        weight_decay=0.0,
        epochs=10,
        drop_epochs=(10,),  # at the end, so never
        crop="centre",
        flip=False,
        source="note 003: batch 32, rate 0.001, 10 epochs; SGD with momentum in the place of its Adam",
    ),
    layers=_stack(
        _torch_conv(1, 96, 11, stride=4),
        _pool(1),
        _torch_conv(2, 256, 5, padding=2),
        _pool(2),
        _torch_conv(3, 384, 3, padding=1),
        _torch_conv(4, 384, 3, padding=1),
        _torch_conv(5, 256, 3, padding=1),
        _pool(5),
        _torch_dense(6, 4096),
        _relu(6),
        _inverted(6),
        _torch_dense(7, 4096),
        _relu(7),
        _inverted(7),
        _torch_dense(8, 2),
    ),
)


def _keras_conv(number: int, kernels: int, size: int, padding: int = 0, stride: int = 1) -> tuple[Layer, ...]:
    conv = Conv(
        name=f"conv{number}",
        kernels=kernels,
        size=size,
        stride=stride,
        padding=Padding.same(padding),
        init=Init.GLOROT,
    )
    return (conv, ReLU(name=f"relu{number}"))


def _keras_dense(number: int) -> tuple[Layer, ...]:
    return (Dense(name=f"fc{number}", units=4096, init=Init.GLOROT), ReLU(name=f"relu{number}"), _inverted(number))


NOTE_004 = Network(
    name="note-004",
    summary="Keras CIFAR-10 study note: 256 input, four convolutions, pools of stride 1, 0.88 billion weights in fc5",
    source="note 004, its Keras listing",
    height=256,
    width=256,
    classes=10,
    preprocessing="per-image-standard",
    large=True,
    recipe=Recipe(
        batch_size=32,
        momentum=0.0,
        weight_decay=0.0,
        epochs=50,
        drop_epochs=(50,),  # at the end, so never
        crop="centre",
        flip=False,
        source="note 004: Keras' 'sgd', 50 epochs; cross-entropy in the place of its mean squared error of labels",
    ),
    layers=_stack(
        _keras_conv(1, 96, 11, stride=4),
        _pool(1, stride=1),
        _keras_conv(2, 256, 5, padding=2),
        _pool(2, stride=1),
        _keras_conv(3, 384, 3, padding=1),
        _keras_conv(4, 256, 3, padding=1),
        _pool(4, size=2),
        _keras_dense(5),
        _keras_dense(6),
        Dense(name="fc7", units=10, init=Init.GLOROT),
    ),
)

NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        PAPER,
        ORIGINAL_2012,
        ONE_TOWER,
        CAFFE,
        CAFFENET,
        TORCHVISION,
        CIFAR_4LAYER,
        NOTE_000,
        NOTE_001,
        NOTE_002,
        NOTE_003,
        NOTE_004,
    )
}


def get(name: str) -> Network:
    """The network called `name`. Raises UnknownNetwork, which names the nearest one."""
    if name in NETWORKS:
        return NETWORKS[name]
    raise UnknownNetwork(f"unknown network {name!r}: {question(name, NETWORKS)}the catalog has {', '.join(NETWORKS)}")
