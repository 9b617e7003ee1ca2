"""A few small images in the forms of the downloads that the notes train on.

References:
    Kaggle, Dogs vs. Cats (train/cat.0.jpg, train/dog.0.jpg); torchvision.datasets.ImageFolder (root/dog/xxx.png)
    https://www.cs.toronto.edu/~kriz/cifar.html, "Dataset layout" of the python version
    LeCun, Cortes, Burges, The MNIST database of handwritten digits, "File formats"
"""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
from PIL import Image

CIFAR_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def photo(seed: int) -> Image.Image:
    """80 x 60 pixels, smooth as photographs are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((80, 60))


def cats_and_dogs(root: Path, *, flat: bool, count: int = 5) -> Path:
    """Flat as the competition has it, whose test images have no labels; or train/ and test/ of note 003's script."""
    for part, first in (("train", 0), ("test", 100)):
        for place, name in enumerate(("cat", "dog")):
            folder = root / part / ("" if flat else name)
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(first, first + count):
                file = f"{name}.{number}.jpg" if flat and part == "train" else f"{number}.jpg"
                photo(1000 * place + number).save(folder / file, quality=92)
    return root


def cifar_10(root: Path, count: int = 4) -> Path:
    """The unpacked cifar-10-python.tar.gz: pickled dictionaries of planes of red, green and blue."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for place, name in enumerate(CIFAR_FILES):
        random = np.random.default_rng(place)
        entries = {
            b"batch_label": name.encode(),
            b"labels": [int(label) for label in random.integers(0, 10, count)],
            b"data": random.integers(0, 256, (count, 3072)).astype(np.uint8),
            b"filenames": [f"{place}_{number}.png".encode() for number in range(count)],
        }
        (folder / name).write_bytes(pickle.dumps(entries, protocol=2))
    meta = {b"label_names": [name.encode() for name in CIFAR_NAMES], b"num_cases_per_batch": count, b"num_vis": 3072}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    return folder


def mnist(root: Path, train: int = 12, test: int = 4) -> Path:
    """The four idx files."""
    root.mkdir(parents=True)
    random = np.random.default_rng(5)
    for stem, count in (("train", train), ("t10k", test)):
        images = random.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = random.integers(0, 10, count).astype(np.uint8)
        for name, array in ((f"{stem}-images-idx3-ubyte", images), (f"{stem}-labels-idx1-ubyte", labels)):
            header = struct.pack(f">{1 + array.ndim}I", 0x800 | array.ndim, *array.shape)
            (root / name).write_bytes(header + array.tobytes())
    return root
