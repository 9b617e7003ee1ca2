"""Data sets of a few small images in the true formats of the published ones."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from PIL import Image

SYNSETS = ("n02119789", "n02100735", "n01440764")  # in the kit's order, which is not that of the names
NAMES = ("kit fox, Vulpes macrotis", "English setter", "tench, Tinca tinca")


def picture(seed: int, width: int = 60, height: int = 48) -> np.ndarray:
    """[H, W, 3] uint8, smooth as photographs are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def jpeg(seed: int, width: int = 60, height: int = 48) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(seed, width, height)).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def bmp(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(seed)).save(stream, "BMP")
    return stream.getvalue()


def write_images(folder: Path, count: int, seed: int = 0, name: str = "{:03d}.jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        (folder / name.format(index)).write_bytes(jpeg(seed + index, 60 + index % 3))


def image_folder(root: Path, classes: Sequence[str] = ("cat", "dog"), count: int = 10) -> Path:
    for place, name in enumerate(classes):
        write_images(root / name, count, seed=1000 * place)
    return root


def tar(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def meta(year: int = 2012, synsets: Sequence[str] = SYNSETS, names: Sequence[str] = NAMES, **changes: Any) -> bytes:
    """meta.mat: the leaves, numbered from 1, and one inner synset behind them."""
    rows = [(n + 1, synset, name, 0) for n, (synset, name) in enumerate(zip(synsets, names, strict=True))]
    rows.append((len(rows) + 1, "n00001740", "entity", len(rows)))
    key = f"ILSVRC{year}_ID"
    dtype = [(key, object), ("WNID", object), ("words", object), ("gloss", object), ("num_children", object)]
    table = np.empty((len(rows), 1), dtype)
    for place, (number, synset, words, children) in enumerate(rows):
        table[place, 0] = (float(changes.get("number", number)), synset, words, "a thing", float(children))
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"synsets": table}, do_compression=True)
    return stream.getvalue()


def kit_files(labels: Sequence[int], year: int = 2012) -> dict[str, bytes]:
    """What a development kit holds below data/; labels count from 1."""
    truth = "".join(f"{label}\n" for label in labels).encode()
    return {"data/meta.mat": meta(year), f"data/ILSVRC{year}_validation_ground_truth.txt": truth}


def write_kit(root: Path, labels: Sequence[int], *, packed: bool = False, year: int = 2012) -> None:
    name = "ILSVRC2012_devkit_t12" if year == 2012 else "devkit-1.0"
    files = {f"{name}/{inside}": data for inside, data in kit_files(labels, year).items()}
    root.mkdir(parents=True, exist_ok=True)
    if packed:
        (root / f"ILSVRC{year}_devkit.tar.gz").write_bytes(gzip.compress(tar(files)))
    else:
        for inside, data in files.items():
            (root / inside).parent.mkdir(parents=True, exist_ok=True)
            (root / inside).write_bytes(data)


def train_files() -> dict[str, dict[str, bytes]]:
    """Synset -> file name -> JPEG, in the order of the names; four images each."""
    return {
        synset: {f"{synset}_{number}.JPEG": jpeg(100 * place + number) for number in range(4)}
        for place, synset in enumerate(sorted(SYNSETS))
    }


def val_files(count: int, year: int = 2012) -> dict[str, bytes]:
    return {f"ILSVRC{year}_val_{number:08d}.JPEG": jpeg(500 + number) for number in range(1, count + 1)}


def write_train(root: Path, how: str) -> None:
    """The training images as folders, as a tar per synset, or as the one tar of tars."""
    root.mkdir(parents=True, exist_ok=True)
    if how == "tar of tars":
        tars = {f"{synset}.tar": tar(files) for synset, files in train_files().items()}
        (root / "ILSVRC2012_img_train.tar").write_bytes(tar(tars))
        return
    for synset, files in train_files().items():
        folder = root / "train" / (synset if how == "folders" else "")
        folder.mkdir(parents=True, exist_ok=True)
        if how == "tars":
            (folder / f"{synset}.tar").write_bytes(tar(files))
        else:
            for name, data in files.items():
                (folder / name).write_bytes(data)


def write_val(root: Path, count: int, how: str, year: int = 2012) -> None:
    files = val_files(count, year)
    if how == "tar":
        name = "ILSVRC2012_img_val.tar" if year == 2012 else "ILSVRC2010_images_val.tar"
        (root / name).write_bytes(tar(files))
    else:
        (root / "val").mkdir(parents=True)
        for name, data in files.items():
            (root / "val" / name).write_bytes(data)


CIFAR_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def cifar_batch(place: int, count: int = 12) -> tuple[np.ndarray, list[int]]:
    """Pixels [N, 3072], planes of red, green, blue, and labels."""
    random = np.random.default_rng(place)
    return random.integers(0, 256, (count, 3072)).astype(np.uint8), [int(n) for n in random.integers(0, 10, count)]


def cifar_pickle(place: int, **changes: Any) -> bytes:
    pixels, labels = cifar_batch(place)
    entries = {"batch_label": f"batch {place}", "labels": labels, "data": pixels}
    entries["filenames"] = [f"image_s_{place}_{n:06d}.png" for n in range(len(labels))]
    return pickle.dumps({name.encode(): value for name, value in (entries | changes).items()}, protocol=2)


def cifar_python() -> dict[str, bytes]:
    files = {name: cifar_pickle(place) for place, name in enumerate(CIFAR_BATCHES)}
    names = {b"label_names": [name.encode() for name in CIFAR_NAMES], b"num_vis": 3072}
    return files | {"batches.meta": pickle.dumps(names, protocol=2)}


def cifar_binary() -> dict[str, bytes]:
    files = {}
    for place, name in enumerate(CIFAR_BATCHES):
        pixels, labels = cifar_batch(place)
        files[f"{name}.bin"] = np.column_stack([np.array(labels, np.uint8), pixels]).tobytes()
    return files | {"batches.meta.txt": ("\n".join(CIFAR_NAMES) + "\n\n").encode()}


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x800 | array.ndim, *array.shape) + array.tobytes()


def mnist(root: Path, *, packed: bool = False, train: int = 18, test: int = 7) -> dict[str, np.ndarray]:
    """Four idx files; returns the arrays by their files' names."""
    random = np.random.default_rng(5)
    arrays = {}
    for stem, count in (("train", train), ("t10k", test)):
        arrays[f"{stem}-images-idx3-ubyte"] = random.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        arrays[f"{stem}-labels-idx1-ubyte"] = random.integers(0, 10, count).astype(np.uint8)
    for name, array in arrays.items():
        data = idx(array)
        write_files(root, {f"{name}.gz": gzip.compress(data)} if packed else {name: data})
    return arrays
