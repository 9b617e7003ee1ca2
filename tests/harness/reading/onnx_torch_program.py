"""ONNX files that PyTorch itself exports, with the values it put into them: run in a process of its own on a FOLDER."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

warnings.filterwarnings("ignore")
folder = Path(sys.argv[1])
torch.manual_seed(5)


class Normalised(nn.Module):
    """LRN, groups, a pool in ceil mode that makes a difference, tanh, softmax: kernels of an odd number everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5, stride=2, padding=1)
        self.norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(6, 4, 3, padding=1, groups=2)
        self.drop = nn.Dropout(0.3)
        self.fc1 = nn.Linear(4 * 3 * 3, 7)
        self.fc2 = nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.norm(torch.relu(self.conv1(x))))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.tanh(self.fc1(self.drop(torch.flatten(x, 1))))
        return torch.softmax(self.fc2(self.drop(x)), 1)


class Torchvision(nn.Module):
    """The layers of torchvision.models.alexnet under its names, an eighth as wide."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 11, stride=4, padding=2), nn.ReLU(True), nn.MaxPool2d(3, 2),
            nn.Conv2d(8, 24, 5, padding=2), nn.ReLU(True), nn.MaxPool2d(3, 2),
            nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(True),
            nn.Conv2d(48, 32, 3, padding=1), nn.ReLU(True),
            nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(32 * 36, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 16), nn.ReLU(True),
            nn.Linear(16, 10),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class Modern(nn.Module):
    """What this project has no layers for."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.gelu(self.norm(self.conv1(x)))
        x = torch.relu(x + self.conv2(x))
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


def export(name: str, module: nn.Module, side: int, *, dynamo: bool, batch: bool = False, train: bool = False) -> None:
    module = module.train(train)
    x = torch.zeros(2 if batch or train else 1, 3, side, side + (0 if side == 224 else -4))
    more: dict[str, object] = {"training": torch.onnx.TrainingMode.TRAINING, "do_constant_folding": False}
    more = more if train else {}
    if batch and dynamo:
        more["dynamic_shapes"] = {"x": {0: torch.export.Dim("batch")}}
    elif batch:
        more |= {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(module, (x,), folder / f"{name}.onnx", dynamo=dynamo, verbose=False, **more)
    np.savez(folder / f"{name}.npz", **{key: value.numpy() for key, value in module.state_dict().items()})


normalised, torchvision = Normalised(), Torchvision()
export("normalised-dynamo", normalised, 32, dynamo=True)
export("normalised-dynamo-batch", normalised, 32, dynamo=True, batch=True)
export("normalised-script", normalised, 32, dynamo=False)
export("normalised-script-batch", normalised, 32, dynamo=False, batch=True)
export("normalised-script-train", normalised, 32, dynamo=False, train=True)
export("torchvision-dynamo", torchvision, 224, dynamo=True)
export("torchvision-script", torchvision, 224, dynamo=False)
export("modern-script-train", Modern(), 16, dynamo=False, train=True)
