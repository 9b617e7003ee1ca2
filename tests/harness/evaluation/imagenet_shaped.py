"""A folder as ImageNet's files lie once they are unpacked, with ten classes and small made images.

The development kit numbers its classes in an order of its own: its ids are not those of the sorted WordNet names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

WNIDS = [f"n{number:08}" for number in (1440764, 1443537, 1484850, 1491361, 1494475, 2007558, 2123045, 2504458,
                                        3016953, 9835506)]  # fmt: skip
IDS = (7, 3, 10, 1, 5, 9, 2, 8, 4, 6)  # of the development kit, for the names in their order
ABOVE = 2  # synsets that are no classes, as the real kit has 860
SIZES = ((52, 40), (40, 61), (47, 47), (90, 44), (41, 80), (200, 130))


def picture(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Coarse coloured noise, so that crops of it differ."""
    coarse = rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def images(root: Path, count: int) -> None:
    """Training images in a folder per class, validation images in one folder."""
    rng = np.random.default_rng(12)
    for wnid in WNIDS:
        (root / "ILSVRC2012_img_train" / wnid).mkdir(parents=True)
        for number in range(1, 4):
            path = root / "ILSVRC2012_img_train" / wnid / f"{wnid}_{number}.JPEG"
            picture(rng, SIZES[number % len(SIZES)]).save(path, quality=95)
    (root / "ILSVRC2012_img_val").mkdir()
    for index, path in enumerate(validation_files(root, count)):
        picture(rng, SIZES[index % len(SIZES)]).save(path, quality=95)


def training_files(root: Path) -> list[Path]:
    return sorted((root / "ILSVRC2012_img_train").glob("*/*.JPEG"))


def validation_files(root: Path, count: int) -> list[Path]:
    return [root / "ILSVRC2012_img_val" / f"ILSVRC2012_val_{number:08}.JPEG" for number in range(1, count + 1)]


def development_kit(root: Path, labels: list[int]) -> None:
    """meta.mat, its rows in no order, and the ground truth, an id per line; label i is the class of id i + 1."""
    data = root / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    kinds = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("gloss", object),
             ("num_children", object), ("children", object), ("wordnet_height", object),
             ("num_train_images", object)]  # fmt: skip
    classes = list(zip(IDS, WNIDS, strict=True))
    above = [(len(IDS) + 1 + number, f"n{90000000 + number:08}") for number in range(ABOVE)]
    synsets = np.empty((len(classes) + len(above), 1), kinds)
    for row, (number, wnid) in enumerate([*classes[:4], *above, *classes[4:]]):
        children = [] if number <= len(IDS) else [1, 2]
        synsets[row, 0] = (
            float(number), wnid, f"thing {wnid}, made thing", "a thing that was made", float(len(children)),
            np.array(children, np.float64), float(bool(children)), 3.0,
        )  # fmt: skip
    savemat(data / "meta.mat", {"synsets": synsets})
    lines = "".join(f"{label + 1}\n" for label in labels)
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text(lines)
