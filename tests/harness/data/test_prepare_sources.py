"""Every source in its published form: the right pixels under the right labels, in the right part."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import made_sources as made
import numpy as np
import pytest

from harness.data import images
from harness.data.prepare import prepare, side_for
from harness.data.prepared import Prepared
from harness.data.sources.opening import open_source
from impls import catalog


def prepared(text: str, out: Path, side: int | None = None) -> Prepared:
    source = open_source(text)
    return prepare(source, out, side or side_for(source, None), jobs=1).prepared


def square(data: bytes, side: int) -> np.ndarray:
    """What the one decoder and the one resizer make of a file."""
    return images.resize_and_crop(np.asarray(images.decode(Path("made"), data)), side)


def by_name(found: Prepared, part: str) -> dict[str, tuple[str, np.ndarray]]:
    """Name -> class and pixels."""
    one = found.part(part)
    labels = [found.classes[label] for label in one.labels]
    return dict(zip(one.names(), zip(labels, one.images, strict=True), strict=True))


@pytest.fixture(scope="module")
def scikit_learns_digits(tmp_path_factory) -> tuple[np.ndarray, np.ndarray]:
    """Images [1797, 8, 8] in 0..16 and labels, by a process of its own: here it is not to be imported."""
    file = tmp_path_factory.mktemp("digits") / "digits.npz"
    code = "import numpy, sklearn.datasets as d; x = d.load_digits(); numpy.savez({!r}, x.images, x.target)"
    subprocess.run([sys.executable, "-c", code.format(str(file))], check=True, timeout=60)
    with np.load(file) as arrays:
        return arrays["arr_0"], arrays["arr_1"]


def test_digits_are_scikit_learns(tmp_path, scikit_learns_digits):
    pixels, labels = scikit_learns_digits
    found = prepared("digits", tmp_path / "out")
    seen = []
    for part in found.parts.values():
        for name, label, image in zip(part.names(), part.labels, part.images, strict=True):
            index = int(name.removeprefix("digit "))
            assert label == labels[index]
            assert np.abs(image[..., 0] / 255 * 16 - pixels[index]).max() < 0.04
            seen.append(index)
    assert sorted(seen) == list(range(1797))
    assert found.channels == 1 and found.side == 8 and found.classes == tuple("0123456789")
    assert np.bincount(found.parts["val"].labels).tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]


def test_tiles_of_the_photographs_are_in_one_part_only(tmp_path):
    found = prepared("photos", tmp_path / "out", side=160)
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 64, "val": 8}
    assert found.classes == ("china", "flower")
    pictures = {path.name: images.load(path) for path in images.photographs()}
    lefts = {}
    for part in found.parts:
        for name, (label, tile) in by_name(found, part).items():
            file, _, place = name.partition(" at ")
            left, top = map(int, place.split(","))
            assert file == f"{label}.jpg"
            assert np.array_equal(tile, pictures[file][top : top + 160, left : left + 160])
            lefts.setdefault(part, []).append(left)
    assert max(lefts["train"]) + 160 <= min(lefts["val"]) <= 640 - 160


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_keeps_the_last_sixth_of_its_training_images_for_validation(tmp_path, packed):
    arrays = made.mnist(tmp_path / "in", packed=packed)
    found = prepared(f"mnist:{tmp_path}/in", tmp_path / "out")
    pixels, labels = arrays["train-images-idx3-ubyte"], arrays["train-labels-idx1-ubyte"]
    for part, wanted in (("train", slice(0, 15)), ("val", slice(15, 18))):
        assert np.array_equal(found.part(part).images[..., 0], pixels[wanted])
        assert np.array_equal(found.part(part).labels, labels[wanted])
    assert np.array_equal(found.part("test").images[..., 0], arrays["t10k-images-idx3-ubyte"])
    assert found.channels == 1 and found.side == 28


def test_mnist_takes_the_side_of_a_network(tmp_path):
    made.mnist(tmp_path)
    assert side_for(open_source(f"mnist:{tmp_path}"), catalog.get("cifar-4layer")) == 32


def cifar_place(root: Path, form: str) -> Path:
    files = made.cifar_binary() if "binary" in form else made.cifar_python()
    if form.startswith("folder"):
        return made.write_files(root, files)
    if form.startswith("parent"):
        return made.write_files(root / ("cifar-10-batches-" + ("bin" if "binary" in form else "py")), files).parent
    name = "cifar-10-binary.tar.gz" if "binary" in form else "cifar-10-python.tar.gz"
    made.write_files(root, {name: gzip.compress(made.tar({f"inside/{n}": data for n, data in files.items()}))})
    return root / name if form.startswith("archive") else root


@pytest.mark.parametrize("form", ["folder", "folder binary", "parent", "parent binary", "archive", "packed binary"])
def test_cifar10_in_all_its_forms(tmp_path, form):
    found = prepared(f"cifar10:{cifar_place(tmp_path / 'in', form)}", tmp_path / "out")
    assert found.classes == made.CIFAR_NAMES
    assert (found.side, found.channels) == (32, 3)
    batches = {"train": (0, 1, 2, 3), "val": (4,), "test": (5,)}
    for part, places in batches.items():
        pixels = np.concatenate([made.cifar_batch(place)[0] for place in places])
        labels = [label for place in places for label in made.cifar_batch(place)[1]]
        assert np.array_equal(found.part(part).images, pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        assert found.part(part).labels.tolist() == labels


def test_imagefolder_holds_out_every_fifth_of_a_class(tmp_path):
    made.image_folder(tmp_path / "in")
    found = prepared(f"imagefolder:{tmp_path}/in", tmp_path / "out", side=32)
    assert found.classes == ("cat", "dog") and found.source == "imagefolder:in"
    train, val = by_name(found, "train"), by_name(found, "val")
    assert sorted(val) == ["cat/004.jpg", "cat/009.jpg", "dog/004.jpg", "dog/009.jpg"]
    assert len(train) == 16 and not set(train) & set(val)
    for name, (label, pixels) in (train | val).items():
        assert name.startswith(f"{label}/")
        assert np.array_equal(pixels, square((tmp_path / "in" / name).read_bytes(), 32))


def test_imagefolder_takes_the_parts_that_are_there(tmp_path):
    for part, count in (("train", 3), ("val", 2), ("test", 1)):
        made.image_folder(tmp_path / "in" / part, count=count)
    found = prepared(f"imagefolder:{tmp_path}/in", tmp_path / "out", side=32)
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 6, "val": 4, "test": 2}


def test_cats_and_dogs_in_one_folder_are_sorted_by_their_names(tmp_path):
    for seed, name in enumerate(("cat", "dog")):
        made.write_images(tmp_path / "in" / "train", 11, seed=100 * seed, name=name + ".{}.jpg")
    found = prepared(f"imagefolder:{tmp_path}/in", tmp_path / "out", side=32)
    assert found.classes == ("cat", "dog")
    assert sorted(by_name(found, "val")) == [f"train/{name}.{n}.jpg" for name in ("cat", "dog") for n in (4, 9)]
    assert all(name.startswith(f"train/{label}.") for name, (label, _) in by_name(found, "train").items())


LABELS = (3, 1, 2, 2, 1)  # of the validation images, as the kit counts


@pytest.mark.parametrize(
    ("train", "val", "packed", "year"),
    [
        ("folders", "folder", False, 2012),
        ("tars", "tar", True, 2012),
        ("tar of tars", "tar", False, 2012),
        ("folders", "tar", False, 2010),
    ],
)
def test_imagenet_in_all_its_forms_has_the_classes_of_the_kit(tmp_path, train, val, packed, year):
    root = tmp_path / "in"
    made.write_train(root, train)
    made.write_val(root, len(LABELS), val, year)
    made.write_kit(root, LABELS, packed=packed, year=year)
    found = prepared(f"imagenet:{root}", tmp_path / "out", side=32)
    assert found.classes == tuple(f"{s} {name}" for s, name in zip(made.SYNSETS, made.NAMES, strict=True))
    assert found.source == f"imagenet:ILSVRC{year}"
    files = {f"{synset}/{name}": data for synset, inside in made.train_files().items() for name, data in inside.items()}
    images_of = by_name(found, "train")
    assert sorted(images_of) == sorted(files)
    for name, (label, pixels) in images_of.items():
        assert label.split()[0] == name.split("/")[0]
        assert np.array_equal(pixels, square(files[name], 32))
    for number, (name, data) in enumerate(made.val_files(len(LABELS), year).items()):
        label, pixels = by_name(found, "val")[name]
        assert found.classes.index(label) == LABELS[number] - 1
        assert np.array_equal(pixels, square(data, 32))


def test_imagenets_test_set_of_2010_is_there_with_its_ground_truth(tmp_path):
    root = tmp_path / "in"
    made.write_kit(root, [1], year=2010)
    files = {f"test/ILSVRC2010_test_{number:08d}.JPEG": made.jpeg(number) for number in (1, 2)}
    made.write_files(root, {"ILSVRC2010_images_test.tar": made.tar(files)})
    made.write_val(root, 1, "tar", 2010)
    assert set(prepared(f"imagenet:{root}", tmp_path / "without", side=32).parts) == {"val"}
    made.write_files(root, {"ILSVRC2010_test_ground_truth.txt": b"2\n3\n"})
    assert prepared(f"imagenet:{root}", tmp_path / "with", side=32).part("test").labels.tolist() == [1, 2]


def test_sorted_folders_of_imagenet_need_no_kit(tmp_path):
    made.write_train(tmp_path / "in", "folders")
    (tmp_path / "in" / "train").rename(tmp_path / "in" / "val")
    found = prepared(f"imagenet:{tmp_path}/in", tmp_path / "out", side=32)
    assert found.classes == tuple(sorted(made.SYNSETS))
    assert found.part("val").labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_photographs_get_room_for_crops():
    source = open_source("photos")
    assert side_for(source, None) == 256
    assert side_for(source, catalog.get("caffe")) == 256
    assert side_for(source, catalog.get("cifar-4layer")) == images.resized_side(32)
