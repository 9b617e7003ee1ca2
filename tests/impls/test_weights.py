"""Recipes draw what they say, the same on every machine; files come back bit by bit; hostile files are refused."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from impls import catalog, derive, weights
from impls.spec import Conv, Dense, Init, Network
from impls.weights import WeightsError

CIFAR = catalog.CIFAR_4LAYER

GOLDEN = {
    "paper": "e54c6f3054027e786682498f68b6d773c405c338f56fb8686b55ab986eb1818f",
    "original-2012": "10a0c2b133e465b328c0682cb0af079b35241be6bc120b177dc6d96dd6786b7d",
    "scaled": "277c7f7c99d2149c4f047e4ba57a328c64ca5c21e323cd00ae8de30a4a2a33e1",
    "own": "3ce68e573dcc9df6e85aa3807d89cd7e6018fc2f974d1abe01bd964004fe0137",
}

# Named as in the paper, so that every special case of its recipe is met; small, so that it costs nothing.
SMALL = Network(
    name="small",
    summary="",
    source="",
    height=24,
    width=24,
    classes=7,
    layers=(
        Conv(name="conv1", kernels=64, size=5),
        Conv(name="conv2", kernels=96, size=5, groups=2),
        Conv(name="conv3", kernels=128, size=3),
        Conv(name="conv4", kernels=64, size=3),
        Conv(name="conv5", kernels=32, size=3),
        Dense(name="fc6", units=50),
        Dense(name="fc7", units=7),
    ),
)


def with_init(init: Init) -> Network:
    layers = [dataclasses.replace(x, init=init) for x in SMALL.layers if isinstance(x, Conv | Dense)]
    return dataclasses.replace(SMALL, layers=tuple(layers))


@pytest.mark.parametrize("recipe", weights.RECIPES)
def test_a_recipe_draws_the_same_weights_on_every_machine(recipe: str) -> None:
    assert weights.content_hash(weights.generate(CIFAR, recipe, 0)) == GOLDEN[recipe]


def test_weights_do_not_depend_on_the_chunk() -> None:
    whole = weights.generate(CIFAR, "scaled", 3)
    assert weights.content_hash(weights.generate(CIFAR, "scaled", 3, chunk=34)) == weights.content_hash(whole)


def test_another_seed_draws_other_weights() -> None:
    assert weights.content_hash(weights.generate(CIFAR, "paper", 1)) != GOLDEN["paper"]


def test_an_unknown_recipe_is_named_with_those_there_are() -> None:
    with pytest.raises(WeightsError, match="unknown weight recipe 'papr': choose one of paper, original-2012"):
        weights.generate(CIFAR, "papr", 0)


def test_weights_cover_the_networks_tensors_in_order() -> None:
    arrays = weights.generate(SMALL, "paper", 0)
    assert {name: array.shape for name, array in arrays.items()} == derive.parameter_shapes(SMALL)
    assert list(arrays) == list(derive.parameter_shapes(SMALL))
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


def test_the_papers_recipe_has_its_deviation_and_its_biases() -> None:
    arrays = weights.generate(SMALL, "paper", 0)
    ones = {name for name, array in arrays.items() if name.endswith("bias") and (array == 1).all()}
    zeros = {name for name, array in arrays.items() if name.endswith("bias") and not array.any()}
    assert ones == {"conv2/bias", "conv4/bias", "conv5/bias", "fc6/bias"}
    assert zeros == {"conv1/bias", "conv3/bias", "fc7/bias"}
    for name in ("conv1/weight", "conv3/weight", "fc6/weight"):
        assert arrays[name].std() == pytest.approx(0.01, rel=0.03)


def test_the_2012_recipe_is_wider_in_conv3_to_conv5_only() -> None:
    paper, original = weights.generate(SMALL, "paper", 0), weights.generate(SMALL, "original-2012", 0)
    for name, array in original.items():
        factor = 3 if name in ("conv3/weight", "conv4/weight", "conv5/weight") else 1
        np.testing.assert_allclose(array, factor * paper[name], rtol=1e-6)


def test_the_scaled_recipe_follows_the_fan_and_tames_the_classifier() -> None:
    arrays = weights.generate(SMALL, "scaled", 0)
    assert arrays["conv2/weight"].std() == pytest.approx(math.sqrt(2 / (5 * 5 * 32)), rel=0.03)
    fan_in = arrays["fc6/weight"].shape[0]
    assert arrays["fc6/weight"].std() == pytest.approx(math.sqrt(2 / fan_in), rel=0.03)
    assert arrays["fc7/weight"].std() == pytest.approx(math.sqrt(1 / 50) / 64, rel=0.15)
    assert all(array.any() for name, array in arrays.items() if name.endswith("bias"))


def test_torchs_own_initialisation_is_uniform_up_to_one_over_root_fan_in() -> None:
    arrays = weights.generate(with_init(Init.TORCH), "own", 0)
    bound = 1 / math.sqrt(5 * 5 * 32)
    assert np.abs(arrays["conv2/weight"]).max() == pytest.approx(bound, rel=1e-3)
    assert arrays["conv2/weight"].std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert 0.5 * bound < np.abs(arrays["conv2/bias"]).max() <= bound


def test_glorots_initialisation_takes_both_fans_and_leaves_biases_zero() -> None:
    arrays = weights.generate(with_init(Init.GLOROT), "own", 0)
    bound = math.sqrt(6 / (5 * 5 * 3 + 5 * 5 * 64))
    assert np.abs(arrays["conv1/weight"]).max() == pytest.approx(bound, rel=1e-2)
    assert not arrays["conv1/bias"].any()


def test_sixty_million_weights_take_seconds() -> None:
    started = time.perf_counter()
    arrays = weights.generate(catalog.PAPER, "scaled", 0)
    assert time.perf_counter() - started < 10  # 1.6 s on two 2020s cores; the margin is for a busy machine
    assert sum(array.size for array in arrays.values()) == 60_965_224


def test_a_streamed_file_holds_what_is_generated(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    weights.write(CIFAR, "scaled", 5, file)
    loaded = weights.load(file, CIFAR)
    assert loaded.content_hash == weights.content_hash(weights.generate(CIFAR, "scaled", 5))
    assert loaded.metadata == {"network": "cifar-4layer", "recipe": "scaled", "seed": "5"}
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_the_safetensors_library_reads_our_files(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    weights.write(CIFAR, "scaled", 5, file)
    arrays = weights.generate(CIFAR, "scaled", 5)
    theirs = safetensors.numpy.load_file(file)
    assert theirs.keys() == arrays.keys()
    assert all(np.array_equal(theirs[name], arrays[name]) for name in arrays)
    with safe_open(file, "np") as opened:
        assert opened.metadata()["network"] == "cifar-4layer"


def test_we_read_the_safetensors_librarys_files(tmp_path: Path) -> None:
    file, arrays = tmp_path / "w.safetensors", weights.generate(CIFAR, "scaled", 5)
    safetensors.numpy.save_file(arrays, file, metadata={"network": CIFAR.name})
    assert weights.load(file, CIFAR).content_hash == weights.content_hash(arrays)


def test_saved_arrays_come_back_read_only(tmp_path: Path) -> None:
    file, arrays = tmp_path / "w.safetensors", weights.generate(CIFAR, "paper", 0)
    weights.save(file, CIFAR.name, arrays, epoch="3")
    loaded = weights.load(file, CIFAR)
    assert loaded.metadata["epoch"] == "3"
    assert all(np.array_equal(loaded.arrays[name], arrays[name]) for name in arrays)
    with pytest.raises(ValueError, match="read-only"):
        loaded.arrays["conv1/bias"][0] = 1


def test_arrays_of_another_type_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="tensor 'a/weight' has dtype float64, expected float32"):
        weights.save(tmp_path / "w.safetensors", "small", {"a/weight": np.zeros(3)})  # type: ignore[dict-item]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot write '.*w\.safetensors': No such file or directory"):
        weights.write(CIFAR, "paper", 0, tmp_path / "nowhere" / "w.safetensors")


def test_a_write_that_fails_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"before")

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "ascontiguousarray", full_disk)
    with pytest.raises(WeightsError, match="No space left on device"):
        weights.write(CIFAR, "paper", 0, file)
    assert file.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("change", ["name", "value", "shape"])
def test_the_hash_covers_names_shapes_and_values(change: str) -> None:
    arrays = {"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.float32)}
    changed = dict(arrays)
    if change == "name":
        changed["c"] = changed.pop("b")
    elif change == "value":
        changed["b"] = np.nextafter(changed["b"], np.float32(2))
    else:
        changed["a"] = changed["a"].reshape(3, 2)
    assert weights.content_hash(changed) != weights.content_hash(arrays)
    assert weights.content_hash(dict(reversed(arrays.items()))) == weights.content_hash(arrays)


Edit = Callable[[dict[str, Any]], None]


def edited(path: Path, edit: Edit) -> None:
    """Rewrite a file's header; the tensors' bytes stay."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


def set_entry(**changes: Any) -> Edit:
    return lambda header: header["conv1/bias"].update(changes)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda h: h.update(__metadata__={"network": "paper"}), "is of network 'paper', expected 'cifar-4layer'"),
        (lambda h: h.pop("__metadata__"), "names no network in its metadata, expected 'cifar-4layer'"),
        (lambda h: h.update(__metadata__=[1]), "its __metadata__ is not a map of strings"),
        (lambda h: h.update(__metadata__={"seed": 1}), "its __metadata__ is not a map of strings"),
        (lambda h: h.update({"conv9/bias": h.pop("conv1/bias")}), "lacks tensor 'conv1/bias'"),
        (
            lambda h: h.update({"extra": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}),
            "has tensors that the network does not: 'extra'",
        ),
        (set_entry(shape=[4, 8]), r"tensor 'conv1/bias' has shape \(4, 8\), expected \(32,\)"),
        (set_entry(shape=[31]), r"tensor 'conv1/bias' of shape \[31\] needs 124 bytes, it has 128"),
        (set_entry(dtype="F16"), "tensor 'conv1/bias' has dtype 'F16', expected 'F32'"),
        (set_entry(shape=[-32]), r"tensor 'conv1/bias' has shape \[-32\]"),
        (set_entry(shape=[10**30]), "tensor 'conv1/bias' of shape"),
        (set_entry(shape="32"), "tensor 'conv1/bias' has shape '32'"),
        (set_entry(data_offsets=[0]), "tensor 'conv1/bias' lacks a dtype, a shape or two data_offsets"),
        (set_entry(data_offsets=[0, 128]), "tensor 'conv1/.*' starts at byte"),
        (lambda h: h.update({"conv1/bias": 3}), "tensor 'conv1/bias' lacks a dtype"),
    ],
)
def test_a_file_with_a_wrong_header_is_refused(tmp_path: Path, edit: Edit, message: str) -> None:
    file = tmp_path / "w.safetensors"
    weights.write(CIFAR, "scaled", 0, file)
    edited(file, edit)
    with pytest.raises(WeightsError, match=message) as caught:
        weights.load(file, CIFAR)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda raw: raw[:-1], "is truncated: its tensors need"),
        (lambda raw: raw[:300], "is truncated or not a safetensors file: its header wants"),
        (lambda raw: raw[:5], "is not a safetensors file: it has 5 bytes and no header"),
        (lambda raw: b"", "is not a safetensors file: it has 0 bytes and no header"),
        (lambda raw: raw + b"x", "has 1 bytes after its last tensor"),
        (lambda raw: (1 << 40).to_bytes(8, "little") + raw[8:], "its header would have 1099511627776 bytes"),
        (lambda raw: b"\x80\x02}q\x00" * 100, "is not a safetensors file"),
        (lambda raw: (4).to_bytes(8, "little") + b"[12]", "its header is not a JSON object"),
        (lambda raw: (4).to_bytes(8, "little") + b"\xff{}}", "its header is not JSON"),
        (lambda raw: (200_000).to_bytes(8, "little") + b"[" * 200_000, "its header is not JSON"),
    ],
)
def test_a_file_with_damaged_bytes_is_refused(tmp_path: Path, spoil: Callable[[bytes], bytes], message: str) -> None:
    file = tmp_path / "w.safetensors"
    weights.write(CIFAR, "scaled", 0, file)
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(WeightsError, match=message) as caught:
        weights.load(file, CIFAR)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("value", "said"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_a_value_that_is_no_number_is_named_with_its_place(tmp_path: Path, value: float, said: str) -> None:
    file, arrays = tmp_path / "w.safetensors", weights.generate(CIFAR, "scaled", 0)
    arrays["conv2/weight"][1, 2, 3, 4] = value
    arrays["conv2/weight"][4, 4, 3, 4] = np.nan
    weights.save(file, CIFAR.name, arrays)
    with pytest.raises(WeightsError, match=rf"tensor 'conv2/weight' is {said} at index \(1, 2, 3, 4\)"):
        weights.load(file, CIFAR)
    weights.load(file, CIFAR, verify=False)  # values are the caller's concern there


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read weights file '.*none': No such file or directory"):
        weights.load(tmp_path / "none", CIFAR)
    with pytest.raises(WeightsError, match="Is a directory"):
        weights.load(tmp_path, CIFAR)
