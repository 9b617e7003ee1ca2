"""The score of cifar-4layer's weights on an ImageNet-shaped folder, by Pillow and NumPy alone.

Nothing of this project is imported: the folder's layout, the resizing, the crops, the network, the softmax and the
counting of errors are written here a second time, from the paper and from the layers' own definitions. A weights file
is read by the safetensors library.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

INPUT = 32


def read_image(path: Path, side: int) -> np.ndarray:
    """The centre square of the image whose shorter side is `side` (paper, section 2), [side, side, 3]."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    width, height = rgb.size
    short = min(width, height)
    corner = ((width - short) / 2, (height - short) / 2)
    box = (corner[0], corner[1], corner[0] + short, corner[1] + short)
    return np.array(rgb.resize((side, side), Image.Resampling.BILINEAR, box))


def mean_image(paths: list[Path], side: int) -> np.ndarray:
    total = np.zeros((side, side, 3))
    for path in paths:
        total += read_image(path, side)
    return (total / len(paths)).astype(np.float32)


def crops_of(image: np.ndarray, mean: np.ndarray, count: int) -> np.ndarray:
    """Centre, or corners, centre and the mirror images of the five (paper, section 4.1): [count, 32, 32, 3] float64."""
    centred = image.astype(np.float32) - mean
    far = len(image) - INPUT
    middle = far // 2
    places = [(middle, middle)] if count == 1 else [(0, 0), (0, far), (far, 0), (far, far), (middle, middle)]
    # The mean belongs to the pixel: mirrored after it is subtracted.
    upright = [centred[y : y + INPUT, x : x + INPUT] for y, x in places]
    return np.array(upright if count == 1 else upright + [np.fliplr(crop) for crop in upright], np.float64)


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """5 x 5 with padding 2, as a sum over the 25 places of the kernel."""
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    height, width = x.shape[1:3]
    y = np.zeros((*x.shape[:3], weight.shape[3])) + bias
    for i in range(5):
        for j in range(5):
            y += padded[:, i : i + height, j : j + width] @ weight[i, j]
    return y


def pooled(x: np.ndarray) -> np.ndarray:
    """Maximum over 3 x 3 at stride 2; at the right and bottom edges over what there is."""
    out = x.shape[1] // 2
    y = np.empty((len(x), out, out, x.shape[3]))
    for i in range(out):
        for j in range(out):
            y[:, i, j] = x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max(axis=(1, 2))
    return y


def normalised(x: np.ndarray) -> np.ndarray:
    """Within one map: over 1 + 0.00005 / 9 times the sum of squares in a 3 x 3 window, to the power of 0.75."""
    padded = np.pad(x**2, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    squares = sum(padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3))
    return x / (1 + 0.00005 / 9 * squares) ** 0.75


def logits(images: list[np.ndarray], mean: np.ndarray, weights: dict[str, np.ndarray], crops: int) -> np.ndarray:
    """[N, crops, 10]."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    answers = []
    for image in images:
        x = crops_of(image, mean, crops)
        x = normalised(pooled(np.maximum(convolved(x, w["conv1/weight"], w["conv1/bias"]), 0)))
        x = normalised(pooled(np.maximum(convolved(x, w["conv2/weight"], w["conv2/bias"]), 0)))
        x = pooled(np.maximum(convolved(x, w["conv3/weight"], w["conv3/bias"]), 0))
        answers.append(x.reshape(len(x), -1) @ w["fc4/weight"] + w["fc4/bias"])
    return np.array(answers)


def probabilities(images: list[np.ndarray], mean: np.ndarray, weights: dict[str, np.ndarray], crops: int) -> np.ndarray:
    """[N, 10]: the views' softmax outputs, averaged."""
    powers = np.exp(logits(images, mean, weights, crops))
    outputs = powers / powers.sum(axis=2, keepdims=True)
    return outputs.sum(axis=1) / crops


def error(answers: np.ndarray, labels: list[int], k: int) -> float:
    """The share of images whose label is not among the k most probable classes."""
    wrong = sum(label not in np.argsort(-one)[:k] for one, label in zip(answers, labels, strict=True))
    return wrong / len(labels)
