"""Keras' files: those that Keras has made give the values it put in; those made to do harm give one line."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from harness.errors import CannotMeasure
from harness.exchange import keras_file
from harness.exchange.foreign import ForeignWeights, FormatError

KINDS = [".keras", ".h5", ".weights.h5"]


def expected(folder: Path, name: str) -> list[np.ndarray]:
    """Values in order: weight, bias, weight, bias."""
    stored = np.load(folder / f"{name}.npz")
    return [stored[key] for key in stored.files]


def values(found: ForeignWeights) -> list[np.ndarray]:
    return [t.read() for layer in found.layers for t in (layer.weight, layer.bias) if t is not None]


def assert_same(found: ForeignWeights, wanted: list[np.ndarray]) -> None:
    got = values(found)
    assert [array.shape for array in got] == [array.shape for array in wanted]
    assert all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))


@pytest.mark.needs("tensorflow")
@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("name", ["plain", "tiny"])
def test_what_keras_saved_comes_back_bit_for_bit(keras_files: Path, name: str, suffix: str) -> None:
    found = keras_file.read(keras_files / f"{name}{suffix}")
    assert_same(found, expected(keras_files, name))
    assert found.flatten == "hwc"
    assert [layer.axes for layer in found.layers][-1] == "io" and found.layers[0].axes == "hwio"


@pytest.mark.needs("tensorflow")
def test_weights_of_the_older_kind_without_a_model_come_back(keras_files: Path) -> None:
    assert_same(keras_file.read(keras_files / "plain_weights_only.h5"), expected(keras_files, "plain"))


@pytest.mark.needs("tensorflow")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_model_inside_a_model_keeps_its_order(keras_files: Path, suffix: str) -> None:
    assert_same(keras_file.read(keras_files / f"functional{suffix}"), expected(keras_files, "functional"))


@pytest.mark.needs("tensorflow")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_the_optimiser_of_a_trained_model_is_no_part_of_the_network(keras_files: Path, suffix: str) -> None:
    assert_same(keras_file.read(keras_files / f"trained{suffix}"), expected(keras_files, "trained"))


@pytest.mark.needs("tensorflow")
def test_a_whole_model_brings_its_structure_and_weights_alone_say_how_they_were_ordered(keras_files: Path) -> None:
    whole, alone = (keras_file.read(keras_files / f"plain{suffix}") for suffix in (".keras", ".weights.h5"))
    assert whole.reading is not None and whole.reading.preprocessing == "unit-scale"
    assert whole.notes == ()
    assert alone.reading is None and "ordered by the numbers in their names" in alone.notes[0]


@pytest.mark.needs("tensorflow")
def test_weights_that_no_network_here_has_are_refused_by_name(keras_files: Path) -> None:
    with pytest.raises(FormatError, match="batch_normalization"):
        keras_file.read(keras_files / "batch_normalised.keras")


# Files in the true layout, made by h5py.


def keras_3(file: h5py.File) -> None:
    for layer, shape in (("conv2d", (2, 2, 3, 2)), ("dense", (8, 2))):
        group = file.create_group(f"layers/{layer}/vars")
        group["0"] = np.arange(np.prod(shape), dtype="f4").reshape(shape)
        group["1"] = np.ones(shape[-1], "f4")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[tuple[Path, h5py.File]]:
    path = tmp_path / "made.weights.h5"
    with h5py.File(path, "w") as file:
        yield path, file


def refused(path: Path, said: str) -> None:
    with pytest.raises(FormatError, match=said) as caught:
        values(keras_file.read(path))
    assert "\n" not in str(caught.value)


def test_layers_of_one_class_go_by_their_number_not_by_the_alphabet(made: tuple[Path, h5py.File]) -> None:
    path, file = made
    for number in (10, 2, 1, 0):
        group = file.create_group("layers/dense" + (f"_{number}" if number else "") + "/vars")
        group["0"] = np.full((number + 1, 1), number, "f4")
    file.close()
    assert [layer.weight.shape[0] for layer in keras_file.read(path).layers] == [1, 2, 3, 11]


def test_a_layer_without_a_bias_has_none(made: tuple[Path, h5py.File]) -> None:
    path, file = made
    keras_3(file)
    del file["layers/dense/vars/1"]
    file.close()
    assert keras_file.read(path).layers[1].bias is None


def test_half_and_double_precision_keep_their_type(made: tuple[Path, h5py.File]) -> None:
    path, file = made
    file["layers/conv2d/vars/0"] = np.full((1, 1, 3, 2), 1 / 3, "f8")
    file["layers/dense/vars/0"] = np.full((2, 2), 0.5, ">f2")
    file.close()
    conv, dense = keras_file.read(path).layers
    assert (conv.weight.dtype, dense.weight.dtype) == ("float64", "float16")
    assert conv.weight.read()[0, 0, 0, 0] == 1 / 3
    assert dense.weight.read().tolist() == [[0.5, 0.5], [0.5, 0.5]]


def external_link(file: h5py.File) -> None:
    file["layers/other"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file: h5py.File) -> None:
    file["layers/other"] = h5py.SoftLink("/layers/dense")


def circle(file: h5py.File) -> None:
    file["layers/dense/vars/round"] = file["layers"]


def external_storage(file: h5py.File) -> None:
    file["layers"].create_dataset("other", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file["layers"].create_virtual_dataset("other", layout)


def huge(file: h5py.File) -> None:
    file.create_dataset("layers/other/vars/0", (25_000, 1_000_000), "f4")


def empty_inside(file: h5py.File) -> None:
    file.create_dataset("layers/other/vars/0", (20_000, 10_000), "f4")


def bomb(file: h5py.File) -> None:
    file.create_dataset("layers/other/vars/0", (30_000, 10_000), "f4", chunks=(1, 10_000), compression="gzip")
    file["layers/other/vars/0"][0] = 0


def deep(file: h5py.File) -> None:
    file.create_group("/".join("d" * 100))


def whole_numbers(file: h5py.File) -> None:
    del file["layers/dense/vars/0"], file["layers/conv2d"]
    file["layers/dense/vars/0"] = np.ones((8, 2), "i4")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (external_link, "link that is not followed"),
        (soft_link, "link that is not followed"),
        (circle, "in circles"),
        (external_storage, "another file"),
        (virtual, "another file"),
        (huge, "at most"),
        (empty_inside, "the file has 0 for it"),
        (bomb, "needs 1,200,000,000 bytes"),
        (deep, "groups in each other"),
        (whole_numbers, "no convolution"),
    ],
)
def test_a_hostile_hdf5_file_is_refused(harm: Callable, said: str, made: tuple[Path, h5py.File]) -> None:
    path, file = made
    keras_3(file)
    harm(file)
    file.close()
    refused(path, said)


def test_half_a_file_is_refused(made: tuple[Path, h5py.File]) -> None:
    path, file = made
    keras_3(file)
    file.close()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "cannot be read")


def archive(path: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def weights_of(tmp_path: Path, fill: Callable = keras_3) -> bytes:
    with h5py.File(tmp_path / "inner.h5", "w") as file:
        fill(file)
    return (tmp_path / "inner.h5").read_bytes()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b"[" * 100_000, "not JSON"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b"[]", "not a JSON object"),
        (b" " * ((8 << 20) + 1), "8,388,6"),
    ],
    ids=["deep", "twice", "list", "long"],
)
def test_a_hostile_configuration_is_refused(config: bytes, said: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "m.keras", {"config.json": config, "model.weights.h5": weights_of(tmp_path)})
    refused(path, said)


def test_damaged_weights_are_the_archives_and_not_a_temporary_files(tmp_path: Path) -> None:
    members = {"config.json": b"{}", "model.weights.h5": weights_of(tmp_path)[:1000]}
    path = archive(tmp_path / "m.keras", members)
    with pytest.raises(FormatError) as caught:
        keras_file.read(path)
    assert str(caught.value).startswith(f"{str(path)!r} cannot be read")


def test_a_file_of_another_kind_is_not_called_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    path.write_bytes(b"some text that is neither")
    refused(path, "is no Keras file")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    members = {"config.json": b"{}", "model.weights.h5": bytes(100 << 20)}
    refused(archive(tmp_path / "m.keras", members, zipfile.ZIP_DEFLATED), "would unpack to")


def test_a_configuration_that_asks_for_other_layers_is_not_believed(tmp_path: Path) -> None:
    layers = [{"class_name": "Conv2D", "config": {"name": "a"}}, {"class_name": "Conv2D", "config": {"name": "b"}}]
    config = {"class_name": "Sequential", "config": {"layers": layers}}
    members = {"config.json": json.dumps(config).encode(), "model.weights.h5": weights_of(tmp_path)}
    refused(archive(tmp_path / "m.keras", members), "layers/conv2d_1")


def test_an_archive_of_keras_2_with_its_other_name_for_layers_is_read(tmp_path: Path) -> None:
    def former(file: h5py.File) -> None:
        keras_3(file)
        file.move("layers", "_layer_checkpoint_dependencies")

    layers = [{"class_name": kind, "config": {"name": kind}} for kind in ("Dense", "Conv2D")]  # not sorted by kind
    config = {"class_name": "Sequential", "config": {"layers": layers}}
    members = {"config.json": json.dumps(config).encode(), "model.weights.h5": weights_of(tmp_path, former)}
    found = keras_file.read(archive(tmp_path / "m.keras", members))
    assert [layer.axes for layer in found.layers] == ["io", "hwio"]


def test_what_our_own_export_says_is_read_back(tmp_path: Path) -> None:
    ours = json.dumps({"network": "cifar-4layer", "preprocessing": "text"}).encode()
    members = {"config.json": b"{}", "model.weights.h5": weights_of(tmp_path), "alexbench.json": ours}
    found = keras_file.read(archive(tmp_path / "m.keras", members))
    assert (found.network, found.preprocessing) == ("cifar-4layer", "text")


def test_without_h5py_the_command_that_installs_it_is_said(
    tmp_path: Path, made: tuple[Path, h5py.File], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = made
    keras_3(file)
    file.close()
    (tmp_path / "h5py.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)  # of the process that reads it
    with pytest.raises(CannotMeasure, match=r"h5py .*install .*formats"):
        keras_file.read(path)
