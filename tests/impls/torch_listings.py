"""Modules as people write them, for `test_reading_torch.py`. Read in a worker: nothing here is imported by pytest."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from impls import catalog
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, MaxPool, Network, ReLU, SpatialNorm


class Note000(nn.Module):
    """The widths, the order and the shared layers of note 000."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, kernel_size=11, stride=4, padding=2)
        self.conv2 = nn.Conv2d(96, 256, kernel_size=5, padding=2)
        self.conv3 = nn.Conv2d(256, 384, kernel_size=3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, kernel_size=3, padding=1)
        self.conv5 = nn.Conv2d(384, 256, kernel_size=3, padding=1)
        self.fc1 = nn.Linear(256 * 6 * 6, 4096)
        self.fc2 = nn.Linear(4096, 4096)
        self.fc3 = nn.Linear(4096, num_classes)
        self.lrn = nn.LocalResponseNorm(size=5, alpha=0.00001, beta=0.75, k=1)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lrn(self.maxpool(F.relu(self.conv1(x))))
        x = self.lrn(self.maxpool(F.relu(self.conv2(x))))
        x = F.relu(self.conv4(F.relu(self.conv3(x))))
        x = torch.flatten(self.maxpool(F.relu(self.conv5(x))), 1)
        x = self.dropout(self.fc2(self.dropout(self.fc1(x))))
        return self.fc3(x)


def _block(*sizes: int, stride: int = 1, padding: int = 0, pool: bool = False) -> nn.Sequential:
    inputs, outputs, size = sizes
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, size, stride, padding), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.MaxPool2d(3, 2)] if pool else []))


class Note003(nn.Module):
    """Blocks as in note 003, which fit images of 227 pixels alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _block(3, 96, 11, stride=4, pool=True)
        self.conv2 = _block(96, 256, 5, padding=2, pool=True)
        self.conv3 = _block(256, 384, 3, padding=1)
        self.conv4 = _block(384, 384, 3, padding=1)
        self.conv5 = _block(384, 256, 3, padding=1, pool=True)
        hidden = [nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5)]
        self.lostlayer = nn.Sequential(*hidden, nn.Linear(4096, 2))

    def forward(self, x: Tensor) -> Tensor:
        found = self.conv5(self.conv4(self.conv3(self.conv2(self.conv1(x)))))
        return self.lostlayer(found.view(found.size(0), -1))


class Torchvision(nn.Module):
    """Two sequences with an adaptive pool in between, which does nothing at 224 pixels."""

    def __init__(self) -> None:
        super().__init__()
        relu, pool = nn.ReLU(inplace=True), nn.MaxPool2d(kernel_size=3, stride=2)
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2), relu, pool,
            nn.Conv2d(64, 192, kernel_size=5, padding=2), relu, pool,
            nn.Conv2d(192, 384, kernel_size=3, padding=1), relu,
            nn.Conv2d(384, 256, kernel_size=3, padding=1), relu,
            nn.Conv2d(256, 256, kernel_size=3, padding=1), relu, pool,
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(p=0.5), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True),
            nn.Dropout(p=0.5), nn.Linear(4096, 4096), nn.ReLU(inplace=True),
            nn.Linear(4096, 1000),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class TwoTowers(nn.Module):
    """The paper's figure 2, an eighth as wide: towers that meet before the third convolution and the dense layers."""

    def __init__(self) -> None:
        super().__init__()
        shapes = [(3, 6, 11, 4, 0), (6, 16, 5, 1, 2), (32, 24, 3, 1, 1), (24, 24, 3, 1, 1), (24, 16, 3, 1, 1)]
        self.left = nn.ModuleList([nn.Conv2d(*shape) for shape in shapes])
        self.right = nn.ModuleList([nn.Conv2d(*shape) for shape in shapes])
        self.fc6 = nn.ModuleList([nn.Linear(32 * 36, 8), nn.Linear(32 * 36, 8)])
        self.fc7 = nn.Linear(16, 10)
        self.lrn = nn.LocalResponseNorm(5, alpha=5e-4, k=2.0)

    def forward(self, x: Tensor) -> Tensor:
        a, b = x, x
        for index, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            if index == 2:
                a, b = torch.cat([a, b], 1), torch.cat([a, b], 1)
            a, b = F.relu(left(a)), F.relu(right(b))
            if index in (0, 1):
                a, b = self.lrn(a), self.lrn(b)
            if index in (0, 1, 4):
                a, b = F.max_pool2d(a, 3, 2), F.max_pool2d(b, 3, 2)
        x = torch.cat([a.flatten(1), b.flatten(1)], dim=1)
        x = torch.cat([torch.tanh(dense(x)) for dense in self.fc6], dim=-1)
        return F.log_softmax(self.fc7(x), dim=1)


class ByHand(nn.Module):
    """A norm composed of a three-dimensional average pool, as modules had it before there was one."""

    def __init__(self, size: int, alpha: float, k: float, across: bool) -> None:
        super().__init__()
        self.alpha, self.k, self.across = alpha, k, across
        pad = (size - 1) // 2
        self.average = nn.AvgPool3d((size, 1, 1), 1, (pad, 0, 0)) if across else nn.AvgPool2d(size, 1, pad)

    def forward(self, x: Tensor) -> Tensor:
        squares = x.pow(2)
        mean = self.average(squares.unsqueeze(1)).squeeze(1) if self.across else self.average(squares)
        return x.div(mean.mul(self.alpha).add(self.k).pow(0.75))


class Idioms(nn.Module):
    """One of each: what has no class here stands between what has one."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 5, padding="same", bias=False), nn.BatchNorm2d(8), nn.GELU(),
            ByHand(5, 1e-4, 1.0, across=True), ByHand(3, 2e-3, 2.0, across=False),
            nn.ZeroPad2d((0, 3, 0, 3)), nn.Conv2d(8, 8, 3, 2), nn.Hardtanh(0, float("inf")),
            nn.ZeroPad2d(1), nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(4), nn.Dropout(0.3),
            nn.Conv2d(8, 8, (3, 1)), nn.AdaptiveAvgPool2d((4, 4)), nn.ZeroPad2d(1), nn.Tanh(),
        )  # fmt: skip
        self.head = nn.Linear(8 * 36, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x).reshape(x.shape[0], -1)
        x = F.dropout(F.dropout(x, 0.5, training=False), 0.4, self.training) * 0.6
        return F.softmax(self.head(x.clamp(min=0)), 1)


class Chunks(nn.Module):
    """Grouped convolutions as slices that are convolved apart."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Linear(12 * 28 * 28, 5)
        self.halves = nn.ModuleList([nn.Conv2d(4, 6, 3), nn.Conv2d(4, 6, 3)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu_()
        parts = [half(part) for half, part in zip(self.halves, (x[:, :4], x[:, 4:]), strict=True)]
        return self.last(torch.cat(parts, 1).flatten(1))


class CrossedChunks(Chunks):
    """The second half's slice comes first: no grouped convolution does that."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(x).relu().chunk(2, dim=1)
        return self.last(torch.cat([self.halves[0](b), self.halves[1](a)], 1).flatten(1))


class Tied(nn.Module):
    """One convolution for both halves, and another twice in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.piece, self.whole = nn.Conv2d(3, 8, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(8, 8, 3)
        self.last = nn.Linear(8 * 24 * 24, 5)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(x).relu().chunk(2, dim=1)
        x = torch.cat([self.piece(a), self.piece(b)], 1)
        return self.last(self.whole(self.whole(x).relu()).flatten(1))


class Residual(nn.Module):
    """A value that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3 * 32 * 32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(x + self.conv(x)).flatten(1))


class Initialised(nn.Module):
    """Weights and biases of the file's own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc, self.last = nn.Conv2d(3, 32, 5), nn.Linear(32 * 28 * 28, 16), nn.Linear(16, 4)
        nn.init.normal_(self.conv.weight, 0, 0.03)
        nn.init.constant_(self.conv.bias, 1)
        nn.init.xavier_uniform_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.fc(self.conv(x).flatten(1)))


class NormBySlices(nn.Module):
    """The window's sum as slices of padded squares, in a loop."""

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x * x, (0, 0, 0, 0, 2, 2))
        total = padded[:, : x.shape[1]]
        for shift in range(1, 5):
            total = total + padded[:, shift : shift + x.shape[1]]
        return x / (2 + 1e-4 * total) ** 0.75


class DropsByHand(nn.Module):
    """Dropout in the three forms that people write with masks, and one that never ends."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, 2)
        self.norm = NormBySlices()
        self.layers = nn.ModuleList([nn.Linear(8 * 14 * 14, 512), nn.Linear(512, 512), nn.Linear(512, 512)])
        self.last = nn.Linear(512, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(F.relu(self.conv(x), inplace=True)).view(-1, 8 * 14 * 14)
        x = self.layers[0](x)
        x = x * (torch.rand_like(x) > 0.5).float() if self.training else x * 0.5
        x = self.layers[1](x)
        if self.training:
            x = x * (torch.bernoulli(torch.full_like(x, 0.75)) / 0.75)
        return self.last(F.dropout(self.layers[2](x), 0.1))


class Unscaled(nn.Module):
    """Plain masks in training, and no word about it at test time."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.last = nn.Linear(3 * 32 * 32, 512), nn.Linear(512, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(torch.flatten(x, 1))
        if self.training:
            x = x * torch.empty_like(x).bernoulli_(0.5)
        return self.last(x)


class Masks(nn.Module):
    """Masks that are no dropout: a ReLU by hand, and connections that are cut for good."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.last = nn.Linear(3 * 32 * 32, 64), nn.Linear(64, 4)
        self.register_buffer("kept", (torch.arange(64) % 2).float()[None])

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(torch.flatten(x, 1))
        x = x * (x > 0).float()
        return self.last(x * self.kept)


class CeilMode(nn.Module):
    """Caffe's pools."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 5, padding=2), nn.Linear(4 * 8 * 8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv(x)), 3, 2, ceil_mode=True)
        return self.fc(torch.flatten(F.max_pool2d(x, kernel_size=2, stride=2, ceil_mode=True), 1))


class Strange(nn.Module):
    """A dilated convolution, a transposed one, an index by numbers, a pool by two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.dilated, self.up = nn.Conv2d(3, 4, 3, dilation=2), nn.ConvTranspose2d(4, 2, 2, 2)
        self.fc = nn.Linear(2 * 28 * 18, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.dilated(x))[:, torch.tensor([1, 0])]
        x = F.max_pool2d(x, (2, 3))
        return self.fc(input=torch.flatten(input=x, start_dim=1))


class Huge(nn.Module):
    """3.5 GB of weights in one layer, as note 004 has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 256, 3, 8), nn.Linear(256 * 28 * 28, 4400)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).flatten(1))


class ThreeDimensional(nn.Module):
    """What note 002 prints."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 96, kernel_size=(11 * 11 * 3), stride=4)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class WithArguments(nn.Module):
    def __init__(self, options: object) -> None:
        super().__init__()


class AsksForValues(nn.Module):
    """A module that cannot be built without values, and a dead branch that nothing returns."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 32 * 32, 4)
        self.scale = float(self.fc.weight.abs().max().item())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)
        torch.tanh(flat).sum(1, keepdim=True)
        return self.fc(flat), flat


def constant() -> nn.Module:
    """What it returns has nothing to do with the images."""

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones(x.shape[0], 3)

    return Constant()


def lazy() -> nn.Module:
    """Sizes that the first images decide, and what needs no weights at the end."""
    return nn.Sequential(nn.LazyConv2d(8, 11, 4, 1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5), nn.LogSoftmax(dim=1))


def scripted() -> nn.Module:
    return torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)))


instance = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 26 * 26, 10))
number = 3


def thinner(network: Network) -> Network:
    """A catalog network with an eighth of its widths."""
    layers = tuple(
        replace(layer, kernels=layer.kernels // 8) if isinstance(layer, Conv) else
        replace(layer, units=10 if layer.name == network.logits else 32) if isinstance(layer, Dense) else layer
        for layer in network.layers
    )  # fmt: skip
    return replace(network, layers=layers, classes=10)


class Written(nn.Module):
    """A catalog network written out in PyTorch: what PyTorch has no word for is composed."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = thinner(network)
        self.parts = nn.ModuleDict()
        channels = network.channels
        for layer in self.network.layers:
            if isinstance(layer, Conv):
                conv = nn.Conv2d(channels, layer.kernels, layer.size, layer.stride, groups=layer.groups)
                self.parts[layer.name], channels = conv, layer.kernels
            elif isinstance(layer, Dense):
                self.parts[layer.name] = nn.LazyLinear(layer.units)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.network.layers:
            x = self.apply_one(layer, x)
        return x

    def apply_one(self, layer: object, x: Tensor) -> Tensor:
        match layer:
            case Conv():
                pad = layer.padding
                return self.parts[layer.name](F.pad(x, (pad.left, pad.right, pad.top, pad.bottom)))
            case Dense():
                return self.parts[layer.name](x.flatten(1))
            case MaxPool():
                pad = layer.padding
                padded = F.pad(x, (pad.left, pad.right, pad.top, pad.bottom), value=-torch.inf)
                return F.max_pool2d(padded, layer.size, layer.stride)
            case LRN():
                parts = x.chunk(layer.groups, dim=1)
                alpha = layer.alpha * layer.size
                normed = [F.local_response_norm(part, layer.size, alpha, layer.beta, layer.k) for part in parts]
                return torch.cat(normed, 1) if layer.groups > 1 else normed[0]
            case SpatialNorm():
                sums = F.avg_pool2d(x * x, layer.size, 1, layer.size // 2, divisor_override=1)
                return x * (layer.k + layer.alpha * sums) ** -layer.beta
            case Dropout():
                dropped = F.dropout(x, layer.rate, self.training)
                return dropped * (1 - layer.rate) if layer.scaling is DropoutScaling.AT_TEST else dropped
            case ReLU():
                return torch.relu(x)
        return torch.tanh(x)


def paper() -> nn.Module:
    return Written(catalog.PAPER)


def original() -> nn.Module:
    return Written(catalog.ORIGINAL_2012)


def caffe() -> nn.Module:
    return Written(catalog.CAFFE)


def cifar() -> nn.Module:
    return Written(catalog.CIFAR_4LAYER)
